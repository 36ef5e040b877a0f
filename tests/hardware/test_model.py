from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.hardware.facts import load_facts
from chatapp.hardware.model import Workload, serve
from chatapp.hardware.models import find_model
from chatapp.hardware.parameters import load_parameters
from chatapp.hardware.systems import find_system
from chatapp.hardware.terms import Setup

FACTS = load_facts(())


def timing(system="h200", model="kimi-k2.6", chips=8, precision="", endpoint=False, **workload):
    shape = find_model(FACTS, model)
    machine = find_system(FACTS, system)
    setup = Setup(machine, shape, shape.precision(precision), chips, endpoint)
    asked = Workload(**({"input_tokens": 1000, "output_tokens": 1000} | workload))
    return serve(setup, asked, load_parameters().families[machine.family])


def test_users_slow_each_other():
    speeds = [timing(batch=batch, input_tokens=8192).speed_tps for batch in (1, 4, 16, 64)]
    assert speeds == sorted(speeds, reverse=True)
    together = [timing(batch=batch, input_tokens=8192).throughput_tps(batch) for batch in (1, 4, 16, 64)]
    assert together == sorted(together)


def test_long_prompts_of_neighbours_steal_decode_time():
    short, long = timing(batch=64, input_tokens=100), timing(batch=64, input_tokens=8192)
    assert long.interference_s > 10 * short.interference_s
    assert timing(batch=1, input_tokens=8192).interference_s == 0


def test_context_slows_decode_and_prefill():
    assert timing(input_tokens=50_000).speed_tps < timing(input_tokens=1000).speed_tps
    assert timing(input_tokens=50_000).ttft_s > 5 * timing(input_tokens=1000).ttft_s


def test_speculation_gains_less_than_its_tokens():
    plain = timing(tokens_per_step=1.0)
    drafted = timing(tokens_per_step=3.0)
    assert 1.5 < drafted.speed_tps / plain.speed_tps < 3.0
    assert drafted.step["proposing draft tokens"] > 0
    assert "proposing draft tokens" not in plain.step


def test_where_memory_is_full_the_rest_wait():
    crowded = timing("h200", "llama-3.1-70b", 1, "fp8", batch=128, input_tokens=8192, output_tokens=1024)
    assert crowded.running < 64
    assert crowded.queue_s > 30
    roomy = timing("h200", "llama-3.1-70b", 8, "fp8", batch=128, input_tokens=8192, output_tokens=1024)
    assert roomy.running == 128
    assert roomy.queue_s < 10


def test_a_hosted_wafer_gains_what_it_does_not_state_and_more_for_larger_models():
    hosted = timing("cs3", "kimi-k2.6", 15, endpoint=True)
    bare = timing("cs3", "kimi-k2.6", 15)
    assert hosted.tokens_per_step > 1.5
    assert bare.tokens_per_step == 1
    small = timing("cs3", "llama-3.1-8b", 1, endpoint=True)
    assert 1 < small.tokens_per_step < hosted.tokens_per_step
    assert "proposing draft tokens" not in hosted.step  # the gain is net of it


def test_a_wafer_serves_as_many_as_its_layers_before_it_slows():
    alone = timing("cs3", "kimi-k2.6", 15, batch=1)
    assert timing("cs3", "kimi-k2.6", 15, batch=61).step == alone.step
    assert timing("cs3", "kimi-k2.6", 15, batch=122).step["others in the pipeline"] > 0


def test_an_engine_timed_from_within_has_no_request_to_parse():
    shape = find_model(FACTS, "llama-2-7b")
    machine = find_system(FACTS, "h100")
    setup = Setup(machine, shape, shape.precision("fp8"), 1)
    p = load_parameters().families["hopper"]
    served = serve(setup, Workload(128, 1), p)
    inside = serve(replace(setup, inside=True), Workload(128, 1), p)
    assert served.ttft_s - inside.ttft_s == pytest.approx(p["request_s"])


def test_arithmetic_bounds_a_huge_batch():
    assert timing("b200", "llama-3.1-8b", 1, batch=2000, input_tokens=10).step["arithmetic beyond that"] > 0


@given(
    system=st.sampled_from(["cs3", "cs2", "a100", "h100", "b200", "mi355x", "groq-lpu", "sn40l"]),
    model=st.sampled_from(["kimi-k2.6", "gpt-oss-120b", "llama-3.1-8b", "gpt-3-175b", "qwen3-32b"]),
    chips=st.integers(1, 64),
    batch=st.integers(1, 4096),
    tokens=st.integers(1, 200_000),
    answer=st.integers(1, 100_000),
    mean=st.none() | st.floats(1, 16),
    endpoint=st.booleans(),
)
def test_every_prediction_is_finite_and_above_zero(system, model, chips, batch, tokens, answer, mean, endpoint):
    found = timing(
        system,
        model,
        chips,
        endpoint=endpoint,
        batch=batch,
        input_tokens=tokens,
        output_tokens=answer,
        tokens_per_step=mean,
    )
    assert 0 < found.tpot_s < 1e6
    assert 0 < found.ttft_s < 1e12
    assert all(part >= 0 for part in found.step.values())
    assert all(part >= 0 for part in found.prefill.values())
