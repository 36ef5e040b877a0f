import pytest

from chatapp.hardware.facts import load_facts
from chatapp.hardware.memory import (
    batch_limit,
    check_fit,
    kv_bytes,
    kv_bytes_per_token,
    smallest_count,
    usable_bytes,
    weight_bytes,
)
from chatapp.hardware.models import find_model
from chatapp.hardware.systems import find_system

FACTS = load_facts(())


def case(system, model, precision=""):
    shape = find_model(FACTS, model)
    return find_system(FACTS, system), shape, shape.precision(precision)


@pytest.mark.parametrize(
    ("model", "gigabytes"),
    [("kimi-k2.6", 594.2), ("gpt-oss-120b", 65.2), ("llama-3.1-70b", 141.1), ("gpt-3-175b", 349.1)],
)
def test_weights_are_as_large_as_published(model, gigabytes):
    _system, shape, form = case("h100", model)
    assert weight_bytes(shape, form) / 1e9 == pytest.approx(gigabytes, rel=0.002)


@pytest.mark.parametrize(
    ("model", "precision", "size"),
    [
        ("kimi-k2.6", "int4", 70_272),
        ("llama-3.1-8b", "bf16", 131_072),
        ("llama-3.1-70b", "fp8", 163_840),
        ("gpt-3-175b", "bf16", 4_718_592),
        ("gpt-oss-120b", "bf16", 36_864),
    ],
)
def test_the_cache_grows_as_published(model, precision, size):
    _system, shape, form = case("h100", model, precision)
    assert kv_bytes_per_token(shape, form) == size


def test_a_sliding_window_adds_a_constant():
    _system, shape, form = case("h100", "gpt-oss-120b", "bf16")
    assert kv_bytes(shape, form, 1000) - kv_bytes_per_token(shape, form) * 1000 == 36_864 * 128


@pytest.mark.parametrize(
    ("system", "count"),
    [("h100", 16), ("h200", 8), ("b200", 4), ("cs3", 15), ("cs2", 16), ("mi355x", 4)],
)
def test_the_smallest_number_that_holds_kimi(system, count):
    machine, shape, form = case(system, "kimi-k2.6")
    assert smallest_count(machine, shape, form, 16_384) == count
    assert check_fit(machine, shape, form, count, 16_384).fits


@pytest.mark.parametrize(("system", "chips"), [("cs2", 1), ("cs3", 1), ("h100", 8), ("cs3", 14)])
def test_what_does_not_fit_says_so_and_what_would(system, chips):
    machine, shape, form = case(system, "kimi-k2.6")
    fit = check_fit(machine, shape, form, chips, 16_384)
    assert not fit.fits
    assert "594 GB of weights" in fit.explanation
    assert f"smallest number that holds it is {fit.smallest}" in fit.explanation


def test_a_model_too_large_for_any_number_is_said_to_be():
    machine, shape, form = case("h100", "gpt-3-175b")
    assert smallest_count(machine, shape, form, 10**9) == 0


def test_70b_at_16_bits_needs_the_four_wafers_that_the_vendor_states():
    machine, shape, form = case("cs3", "llama-3.1-70b")
    assert smallest_count(machine, shape, form, 16_384) == 4


def test_more_conversations_fit_beside_smaller_weights():
    machine, shape, form = case("h200", "llama-3.1-70b", "fp8")
    narrow = batch_limit(machine, shape, form, 1, 8704)
    assert 20 < narrow < 60
    assert batch_limit(machine, shape, form, 2, 8704) > narrow
    assert usable_bytes(machine, 2) == pytest.approx(2 * 0.9 * 141e9)
