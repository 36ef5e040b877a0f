import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.compare.claims import Claim
from chatapp.compare.verdict import MOST_MORE_RUNS, decide

FIELDS = {
    "id": "c",
    "vendor": "v",
    "model": "m",
    "system": "s",
    "workload": "w",
    "measured_by": "x",
    "date": "2026-05-06",
    "source": "https://example.org",
    "statement": "s",
    "method": "m",
}
SPEED = Claim(**FIELDS, kind="speed", metric="output_speed_tps", value=1000, unit="tok/s")
TIME = Claim(**FIELDS, kind="time", metric="e2e_ms", value=1000, unit="ms")


@pytest.mark.parametrize(
    ("claim", "ci95", "outcome", "confirmed"),
    [
        (SPEED, (960, 1040), "confirmed", True),
        (SPEED, (950, 1050), "confirmed", True),
        (SPEED, (1060, 1100), "faster", True),
        (SPEED, (800, 900), "slower", False),
        (SPEED, (900, 1000), "inconclusive", False),
        (SPEED, (900, 1200), "inconclusive", False),
        (TIME, (800, 900), "faster", True),
        (TIME, (1060, 1100), "slower", False),
    ],
)
def test_the_interval_decides(claim, ci95, outcome, confirmed):
    verdict = decide(claim, sum(ci95) / 2, ci95, 10)
    assert verdict.outcome == outcome
    assert verdict.confirmed is confirmed
    assert outcome.split(",")[0] in verdict.sentence
    assert (verdict.low, verdict.high) == (950, 1050)


def test_a_simulated_run_verifies_nothing_whatever_it_measured():
    verdict = decide(SPEED, 1000, (990, 1010), 10, simulated=True)
    assert verdict.outcome == "model only"
    assert not verdict.confirmed
    assert "verifies nothing" in verdict.sentence


def test_without_an_interval_nothing_is_decided():
    assert decide(SPEED, 1000, None, 1).outcome == "inconclusive"
    assert decide(SPEED, 1000, None, 1).more_runs == 2
    nothing = decide(SPEED, None, None, 0)
    assert (nothing.outcome, nothing.more_runs) == ("inconclusive", None)


def test_more_runs_follow_from_the_spread():
    # Half-width 40, 20 from the edge: four times as many runs.
    assert decide(SPEED, 1030, (990, 1070), 5).more_runs == 15
    assert decide(SPEED, 1050, (1000, 1100), 5).more_runs is None  # on the edge: no number of runs decides
    assert decide(SPEED, 1049.9, (900, 1200), 5).more_runs is None  # more than anybody would run


@given(st.floats(1, 1e5), st.floats(0, 1e5), st.floats(0, 1e5), st.integers(2, 1000))
def test_every_interval_has_exactly_one_verdict(median, below, above, n):
    verdict = decide(SPEED, median, (median - below, median + above), n)
    assert verdict.outcome in ("confirmed", "faster", "slower", "inconclusive")
    assert verdict.more_runs is None or (verdict.outcome == "inconclusive" and 1 <= verdict.more_runs <= MOST_MORE_RUNS)
