import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.bench.division import Measured, delay_ns, divide, unite, worst
from chatapp.bench.health import Doubt, Health
from chatapp.bench.request import Response
from chatapp.bench.runner import Part, Run
from chatapp.bench.schedule import Load
from chatapp.stream.events import BackendInfo
from chatapp.stream.metrics import Figures
from chatapp.stream.statistics import median

INFO = BackendInfo("a/b", "A", "live", "A", "b")


@given(requests=st.integers(1, 500), concurrency=st.integers(1, 100), workers=st.integers(1, 64))
def test_the_parts_of_a_closed_load_add_up_to_it(requests, concurrency, workers):
    parts = divide(Load(requests=requests, concurrency=concurrency), workers)
    assert 1 <= len(parts) <= workers
    assert sum(part.requests for part in parts) == requests
    assert sum(part.concurrency for part in parts) <= concurrency
    if requests >= concurrency:
        assert sum(part.concurrency for part in parts) == concurrency


@given(requests=st.none() | st.integers(1, 500), workers=st.integers(1, 64), rate=st.floats(0.1, 1e4))
def test_the_parts_of_an_open_load_add_up_to_it(requests, workers, rate):
    load = Load(requests=requests, duration_s=None if requests else 3.0, concurrency=0, rate=rate)
    parts = divide(load, workers)
    assert sum(part.rate for part in parts) == pytest.approx(rate)
    assert all(part.concurrency == 0 for part in parts), "no limit stays none"
    assert requests is None or sum(part.requests for part in parts) == requests


def test_more_places_than_requests_are_no_reason_for_an_empty_share():
    assert [(p.requests, p.concurrency) for p in divide(Load(requests=3, concurrency=8), 2)] == [(2, 4), (1, 4)]
    assert len(divide(Load(duration_s=1.0, concurrency=1), 5)) == 1


def test_constant_arrivals_of_several_workers_are_evenly_spaced():
    load = Load(requests=9, rate=10.0, arrivals="constant", concurrency=0)
    parts = divide(load, 3)
    at = sorted(delay_ns(load, k) + round(n / part.rate * 1e9) for k, part in enumerate(parts) for n in range(3))
    assert at == [n * 100_000_000 for n in range(9)]
    assert delay_ns(Load(requests=9, rate=10.0), 2) == 0, "random ones need no order"


def part(name, **changed):
    return Part(
        **{
            "worker": name,
            "address": f"tcp://{name}:1",
            "host": name,
            "requests": 0,
            "clock_offset_ms": 0.0,
            "clock_error_ms": 0.1,
            "wall_offset_s": 0.0,
            "start_late_ms": 0.0,
            "health": None,
            **changed,
        }
    )


def run(*ttft_ms, partial=None, cpu=0.1, lag=1.0):
    responses = [
        Response(number=k, level="×1", begun_s=float(k), ended_s=k + 1.0, figures=Figures(outcome="done", ttft_ms=ttft))
        for k, ttft in enumerate(ttft_ms)
    ]
    health = Health(cpu_share=cpu, lag_p50_ms=lag, lag_p99_ms=lag, lag_max_ms=lag)
    doubt = Doubt(fitness="fit", latency_error_ms=0.0, speed_error=0.0)
    load = Load(requests=len(ttft_ms) or 1)
    return Run(
        info=INFO, load=load, responses=tuple(responses), lasted_s=3.0, health=health, doubt=doubt, partial=partial
    )


def test_figures_come_from_all_responses_and_from_no_average():
    one = Measured(part=part("worker-1"), run=run(1.0, 1.0, 100.0), begun_ns=0)
    two = Measured(part=part("worker-2"), run=run(3.0), begun_ns=500_000_000)
    united = unite(Load(requests=4, concurrency=2), INFO, [one, two], partial=None)
    assert [(r.number, r.worker, r.begun_s) for r in united.responses] == [
        (0, "worker-1", 0.0),
        (1, "worker-2", 0.5),
        (2, "worker-1", 1.0),
        (3, "worker-1", 2.0),
    ]
    assert median([r.figures.ttft_ms for r in united.responses]) == 2.0, (
        "the median of medians would be 2.0 only by 1, 3"
    )
    assert {r.level for r in united.responses} == {"×2"}
    assert united.lasted_s == 3.5
    assert united.partial is None
    assert [p.worker for p in united.parts] == ["worker-1", "worker-2"]


def test_a_lost_worker_is_said_and_everybody_elses_reasons_are_kept():
    measured = [
        Measured(part=part("worker-1"), run=run(1.0, partial="--max-tokens 5 reached"), begun_ns=0),
        Measured(part=part("worker-2", lost=True), run=None, begun_ns=0),
    ]
    united = unite(Load(requests=2, concurrency=2), INFO, measured, partial="worker-2 was lost")
    assert united.partial == "worker-2 was lost; --max-tokens 5 reached"
    assert unite(Load(requests=2), INFO, [measured[1]], partial="gone").responses == ()


def test_an_interrupted_run_says_so_as_on_one_machine():
    measured = [Measured(part=part("worker-1"), run=run(1.0, partial="interrupted"), begun_ns=0)]
    assert unite(Load(requests=2), INFO, measured, partial="worker-2 was lost").partial == "interrupted"


def test_the_worst_health_counts():
    measured = [
        Measured(part=part("worker-1"), run=run(10.0, cpu=0.95, lag=0.1), begun_ns=0),
        Measured(part=part("worker-2"), run=run(10.0, cpu=0.1, lag=9.0), begun_ns=0),
    ]
    united = unite(Load(requests=2, concurrency=2), INFO, measured, partial=None)
    assert (united.health.cpu_share, united.health.lag_p99_ms) == (0.95, 9.0)
    assert any("95% of a core" in reason for reason in united.doubt.reasons)
    assert worst([]) == Health()
