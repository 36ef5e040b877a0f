import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.hardware.schedule import NS_PER_S, Pace, emissions


def test_without_jitter_tokens_leave_at_their_exact_multiples():
    pace = Pace(prefill_s=0.05, step_s=0.001, network_s=0.03, queue_s=0.02)
    found = list(emissions(pace, 4, seed=1))
    assert [e.offset_ns for e in found] == [100_000_000, 101_000_000, 102_000_000, 103_000_000]
    assert [e.tokens for e in found] == [1, 1, 1, 1]
    assert pace.ttft_s == pytest.approx(0.1)
    assert pace.output_speed_tps == pytest.approx(1000)


def test_context_slows_decode():
    pace = Pace(prefill_s=0, step_s=0.01, step_s_per_token=0.001)
    offsets = [e.offset_ns for e in emissions(pace, 5, seed=1)]
    gaps = [b - a for a, b in itertools.pairwise(offsets)]
    assert gaps == [11_000_000, 12_000_000, 13_000_000, 14_000_000]


def test_the_same_seed_gives_the_same_schedule_and_another_one_another():
    pace = Pace(prefill_s=0.1, step_s=0.002, tokens_per_step=2.5, draft_tokens=3, jitter=0.1)
    assert list(emissions(pace, 200, seed="a")) == list(emissions(pace, 200, seed="a"))
    assert list(emissions(pace, 200, seed="a")) != list(emissions(pace, 200, seed="b"))


def test_speculation_comes_in_bursts_with_the_stated_mean():
    pace = Pace(prefill_s=0, step_s=0.001, tokens_per_step=2.5, draft_tokens=4)
    found = list(emissions(pace, 20_000, seed=3))[1:-1]
    assert {e.tokens for e in found} == {1, 2, 3, 4, 5}
    assert sum(e.tokens for e in found) / len(found) == pytest.approx(2.5, rel=0.03)


def test_jitter_moves_single_steps_and_not_the_mean():
    pace = Pace(prefill_s=0, step_s=0.001, jitter=0.3)
    found = [e.offset_ns for e in emissions(pace, 20_000, seed=5)]
    gaps = [b - a for a, b in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(1_000_000, rel=0.01)
    assert spread == pytest.approx(300_000, rel=0.1)


@given(
    tokens=st.integers(0, 300),
    seed=st.integers(),
    draft=st.integers(0, 6),
    mean=st.floats(1, 6),
    jitter=st.floats(0, 1),
)
def test_every_token_leaves_once_and_time_never_runs_back(tokens, seed, draft, mean, jitter):
    pace = Pace(prefill_s=0.01, step_s=1e-4, tokens_per_step=mean, draft_tokens=draft, jitter=jitter)
    found = list(emissions(pace, tokens, seed=seed))
    assert sum(e.tokens for e in found) == tokens
    assert all(a.offset_ns <= b.offset_ns for a, b in itertools.pairwise(found))
    assert all(e.offset_ns >= 0.01 * NS_PER_S for e in found)
