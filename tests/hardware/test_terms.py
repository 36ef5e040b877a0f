from dataclasses import replace

import pytest

from chatapp.hardware import terms
from chatapp.hardware.facts import load_facts
from chatapp.hardware.models import find_model
from chatapp.hardware.parameters import load_parameters
from chatapp.hardware.systems import find_system
from chatapp.hardware.terms import Setup

FACTS = load_facts(())


def setup(system="h200", model="kimi-k2.6", chips=8, precision=""):
    shape = find_model(FACTS, model)
    return Setup(find_system(FACTS, system), shape, shape.precision(precision), chips)


def parameters(system="h200"):
    return load_parameters().families[find_system(FACTS, system).family]


def test_batch_one_reads_33_gb_of_kimi():
    read = terms.read_bytes(setup(), 1, 1.0)
    assert sum(read.values()) / 1e9 == pytest.approx(32.98, rel=0.002)  # facts: 21.1 BF16 and 11.9 INT4
    assert read["unpacked"] / 1e9 == pytest.approx(11.9, rel=0.01)


def test_experts_touched_grow_with_the_batch_up_to_all():
    model = find_model(FACTS, "kimi-k2.6")
    touched = [terms.experts_touched(model, tokens, 1.0) for tokens in (1, 8, 64, 10_000)]
    assert touched[0] == pytest.approx(8)
    assert touched == sorted(touched)
    assert touched[2] == pytest.approx(384 * (1 - (1 - 8 / 384) ** 64))
    assert touched[-1] == pytest.approx(384)
    assert terms.experts_touched(model, 64, 0.75) < touched[2]
    assert terms.experts_touched(find_model(FACTS, "llama-3.1-8b"), 64, 1.0) == 0


def test_time_to_read_is_bytes_over_bandwidth_and_share():
    p = parameters()
    read = terms.read_bytes(setup(), 1, p["routing_skew"])
    expected = sum(size / (8 * 4.8e12 * p[f"bandwidth_{width}"]) for width, size in read.items())
    assert terms.weight_time(setup(), 1, p) == pytest.approx(expected)


def test_four_bit_weights_are_native_where_the_chip_multiplies_them():
    assert terms.width_of(setup("b200", precision="nvfp4"), 4.5) == "4bit"
    assert terms.width_of(setup("b200", precision="int4"), 4.5) == "unpacked"
    assert terms.width_of(setup("h200", "gpt-oss-120b", 1), 4.25) == "unpacked"
    assert terms.width_of(setup(precision="fp8"), 8) == "8bit"
    assert setup("b200", "gpt-oss-120b", 1).arithmetic_bits == 8
    assert setup("h200", "gpt-oss-120b", 1).arithmetic_bits == 16


def test_the_latent_cache_is_read_by_every_chip():
    p = parameters()
    one, eight = setup(chips=1), setup(chips=8)
    assert terms.cache_time(eight, 4, 8192, p) == pytest.approx(terms.cache_time(one, 4, 8192, p))
    heads = terms.cache_time(setup(model="llama-3.1-70b", chips=8), 4, 8192, p)
    assert heads == pytest.approx(terms.cache_time(setup(model="llama-3.1-70b", chips=1), 4, 8192, p) / 8)


def test_two_nodes_are_two_stages_of_the_first():
    both = setup("h100", chips=16)
    assert (both.group, both.stages) == (8, 2)
    one = replace(both, chips=8)
    assert terms.exchange_time(both, 1) == pytest.approx(terms.exchange_time(one, 1) + terms.PIPELINE_HOP_S)
    assert terms.exchange_time(setup(chips=1, model="llama-3.1-8b"), 1) == 0


def test_a_wafer_passes_layers_and_hops():
    p = parameters("cs3")
    one = setup("cs3", "llama-3.1-8b", 1)
    assert terms.hop_time(one, p) == 0
    assert terms.layer_time(one, p) == pytest.approx(32 * (p["layer_s"] + p["width_s"]))
    assert terms.hop_time(setup("cs3", chips=15), p) == pytest.approx(15 * p["hop_s"])
    assert terms.serial_depth(find_model(FACTS, "kimi-k2.6")) > 61  # experts and the latent wait for one another


def test_the_physical_limit_is_far_above_any_wafers_speed():
    assert 1 / terms.physical_limit(setup("cs3", chips=15), 1000) > 1e6


def test_a_sliding_window_shortens_attention():
    p = parameters()
    long = terms.arithmetic_time(setup("h200", "gpt-oss-120b", 1), 1000, 100_000, p)
    full = setup("h200", "gpt-oss-120b", 1)
    unbounded = replace(full, model=replace(full.model, sliding_window=0))
    assert long < terms.arithmetic_time(unbounded, 1000, 100_000, p)


def test_narrow_slices_reach_less_of_the_peak():
    p = parameters()
    assert terms.arithmetic_share(setup(chips=8), p) < terms.arithmetic_share(setup(chips=4), p)
    assert terms.arithmetic_share(setup("cs3", chips=15), parameters("cs3")) == parameters("cs3")["prefill_share"]
