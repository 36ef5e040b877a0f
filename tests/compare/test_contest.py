import asyncio

import pytest

from chatapp.bench.cost import FREE, Price
from chatapp.bench.workloads import Workload
from chatapp.clock import VirtualClock
from chatapp.compare.contest import Contest, Contestant, cost_of, distinct_names
from chatapp.errors import BackendError
from chatapp.stream.events import Delta, Failed, Finished, Sent
from chatapp.stream.metrics import Figures
from tests.bench.conftest import MS, ScriptedBackend, busy

PAID = Price(1_000.0, 10_000.0)  # a cent for ten tokens of input or one of output


@pytest.fixture
def clock():
    return VirtualClock(autojump=True)


@pytest.fixture
def workload():
    return Workload(name="test", title="Test", source="own", prompts=("one",))


def entered(*backends, price=FREE):
    names = distinct_names([backend.info.name for backend in backends])
    return [Contestant(name, name, backend, price) for name, backend in zip(names, backends, strict=True)]


class Silent(ScriptedBackend):
    """Accepts the request and never answers."""

    async def stream(self, request):
        try:
            yield Sent(at_ns=self.clock.now_ns())
            await asyncio.Event().wait()
        finally:
            self.closed_early += 1


class Endless(ScriptedBackend):
    """Streams for ever."""

    async def stream(self, request):
        at = self.clock.now_ns()
        yield Sent(at_ns=at)
        while True:
            at += 10 * MS
            await self.clock.sleep_until(at)
            yield Delta(text=" word", at_ns=at)


class Uncounted(ScriptedBackend):
    """Says nothing of tokens, and ends in half an emoji."""

    async def stream(self, request):
        yield Sent(at_ns=0)
        yield Delta(text="some words", at_ns=5 * MS)
        yield Delta(text=" more \ud83d", at_ns=6 * MS)
        yield Finished(at_ns=7 * MS, provenance={"request_id": "r-1"})


class Seen:
    def __init__(self):
        self.begun, self.events = [], []

    def begin(self, lane, request, info):
        self.begun.append((lane, info.name))

    def event(self, lane, event):
        self.events.append((lane, event))


async def test_one_run_asks_all_at_the_same_moment(clock, workload):
    fast, slow = ScriptedBackend(clock, gap_ms=1), ScriptedBackend(clock, gap_ms=20, name="slow/m")
    contest = Contest(entered(fast, slow), workload, clock, run_id="r")
    said = []
    await contest.run(1, warmup=1, on_run=lambda contestant, run: said.append((contestant.name, run.number)))
    assert contest.at_once
    assert fast.asked_ns[-1] == slow.asked_ns[-1]
    assert fast.requests[-1] == slow.requests[-1]
    assert fast.requests[0] != fast.requests[1]  # the warm-up shares no prompt with what is measured
    assert said == [("scripted/m", 1), ("slow/m", 1)]
    run = contest.contestants[0].runs[0]
    assert (run.figures.ttft_ms, run.departed_ms) == (100, 0)
    assert run.arrivals[0][:2] == (100, 5)
    assert len(run.arrivals) == 11
    assert contest.partial is None


async def test_more_runs_take_turns_in_fair_order_and_never_overlap(clock, workload):
    order = []
    backends = [ScriptedBackend(clock, name=f"{name}/m") for name in "abc"]
    contest = Contest(entered(*backends), workload, clock)
    await contest.run(6, warmup=0, cooldown_s=1.0, on_run=lambda c, run: order.append((c.name[0], run.number)))
    assert all(backend.most_running == 1 for backend in backends)
    rounds = ["".join(name for name, number in order if number == n) for n in range(1, 7)]
    assert sorted(rounds) == ["abc", "acb", "bac", "bca", "cab", "cba"]
    # Three answers of 200 ms and three pauses of a second a round.
    assert backends[0].asked_ns[1] - backends[0].asked_ns[0] >= 2_000 * MS
    assert [request.prompt for request in backends[0].requests] == [r.prompt for r in backends[1].requests]
    assert len({request.prompt for request in backends[0].requests}) == 6


async def test_a_failed_answer_is_counted_and_the_others_go_on(clock, workload):
    broken = ScriptedBackend(clock, failures=[Failed(0, "server_error", "boom")])
    contest = Contest(entered(broken, ScriptedBackend(clock, name="b/m")), workload, clock)
    await contest.run(3, warmup=0)
    first, second = contest.contestants
    assert (len(first.runs), len(first.good), first.failure) == (3, 2, "")
    assert first.runs[0].figures.error == "server_error: boom"
    assert len(second.good) == 3


async def test_what_every_request_would_meet_ends_a_backends_part(clock, workload):
    refused = ScriptedBackend(clock, failures=[Failed(0, "auth", "no such key")] * 9)
    contest = Contest(entered(refused, ScriptedBackend(clock, name="b/m")), workload, clock)
    await contest.run(3, warmup=0)
    assert len(contest.contestants[0].runs) == 1
    assert contest.contestants[0].failure == "auth: no such key"
    assert len(contest.contestants[1].good) == 3


@pytest.mark.parametrize("runs", [1, 2])
async def test_one_that_cannot_even_be_warmed_leaves_the_others_running(clock, workload, runs):
    class Unreachable(ScriptedBackend):
        async def warm(self):
            raise BackendError("unreachable", "nobody listens")

    refusing = ScriptedBackend(clock, name="c/m", failures=[Failed(0, "auth", "no")])
    contest = Contest(entered(Unreachable(clock), ScriptedBackend(clock, name="b/m"), refusing), workload, clock)
    await contest.run(runs, warmup=2)
    assert [len(c.runs) for c in contest.contestants] == [0, runs, 0]
    assert [c.failure for c in contest.contestants] == ["unreachable: nobody listens", "", "auth: no"]
    assert len(refusing.requests) == 1


async def test_a_busy_server_is_waited_for_outside_the_figures(clock, workload):
    backend = ScriptedBackend(clock, failures=[busy(retry_after_s=3)])
    contest = Contest(entered(backend, ScriptedBackend(clock, name="b/m")), workload, clock)
    await contest.run(2, warmup=0)
    run = contest.contestants[0].runs[0]
    assert (run.waited_s, run.figures.ttft_ms, run.figures.error) == (3, 100, None)


async def test_one_that_never_answers_is_given_up_after_the_limit(clock, workload):
    silent = Silent(clock)
    contest = Contest(entered(silent, ScriptedBackend(clock, name="b/m")), workload, clock, timeout_s=20)
    await contest.run(2, warmup=0)
    assert silent.closed_early == 2
    assert [run.figures.outcome for run in contest.contestants[0].runs] == ["failed", "failed"]
    assert "timeout: no end within 20 s" in contest.contestants[0].runs[0].figures.error
    assert contest.contestants[0].runs[0].arrivals == ()
    assert len(contest.contestants[1].good) == 2


async def test_one_that_streams_for_ever_is_cut_and_what_came_is_kept_and_recorded(clock, workload):
    seen = Seen()
    contest = Contest(entered(Endless(clock)), workload, clock, timeout_s=1.0, observer=seen)
    await contest.run(1, warmup=0)
    run = contest.contestants[0].runs[0]
    assert run.figures.outcome == "failed"
    assert len(run.arrivals) == pytest.approx(100, abs=1)
    assert contest.contestants[0].good == []
    assert seen.begun == [(0, "scripted/m")]
    assert seen.events[-1][1].code == "timeout"


async def test_stopping_keeps_what_there_is_and_marks_it(clock, workload):
    class Stopping(Seen):
        def event(self, lane, event):
            super().event(lane, event)
            if len(self.events) == 5:
                contest.stop.set()

    seen = Stopping()
    backends = entered(Endless(clock), ScriptedBackend(clock, name="b/m"))
    contest = Contest(backends, workload, clock, timeout_s=60, observer=seen)
    await contest.run(5, warmup=0)
    assert seen.events[-1][1].reason == "cancelled"
    assert contest.partial == "interrupted"
    assert [run.figures.outcome for run in contest.contestants[0].runs] == ["cancelled"]
    assert contest.contestants[0].runs[0].text.startswith(" word")
    assert contest.contestants[1].runs == []


@pytest.mark.parametrize("runs", [1, 3])
async def test_stopped_before_it_begins_it_asks_nothing(clock, workload, runs):
    backend = ScriptedBackend(clock)
    contest = Contest(entered(backend), workload, clock)
    contest.stop.set()
    await contest.run(runs)
    assert backend.requests == []
    assert contest.contestants[0].runs == []


async def test_the_money_is_counted_with_failures_and_warmup_and_ends_the_contest(clock, workload):
    backend = ScriptedBackend(clock)  # 7 tokens in and 11 out: 0.117 dollars an answer
    contest = Contest(entered(backend, price=PAID), workload, clock, max_usd=0.3)
    await contest.run(10, warmup=1)
    assert contest.partial == "--max-cost $0.3 reached"
    assert len(contest.contestants[0].runs) == 2
    assert contest.contestants[0].spent_usd == pytest.approx(3 * 0.117)


async def test_what_cannot_be_known_is_not_known(clock, workload):
    contest = Contest(entered(ScriptedBackend(clock), price=Price(1.0, None)), workload, clock)
    await contest.run(1, warmup=0)
    assert contest.contestants[0].spent_usd is None
    simulated = Contest(entered(ScriptedBackend(clock, kind="simulated")), workload, clock)
    await simulated.run(1, warmup=0)
    assert simulated.contestants[0].spent_usd == 0
    assert cost_of(PAID, Figures(output_tokens=5)) is None
    assert cost_of(FREE, Figures()) == 0


async def test_input_that_the_server_did_not_count_is_estimated_and_says_so(clock, workload):
    shaped = Workload(name="w", title="w", source="own", prompts=("one",), instructions="be brief")
    contest = Contest(entered(Uncounted(clock)), shaped, clock)
    await contest.run(1, warmup=0)
    run = contest.contestants[0].runs[0]
    assert run.figures.input_estimated
    assert run.figures.input_tokens > 5
    assert run.provenance == {"request_id": "r-1"}
    assert run.text == "some words more ?"


async def test_an_error_of_our_own_is_not_swallowed(clock, workload):
    class Broken(ScriptedBackend):
        async def stream(self, request):
            raise RuntimeError("a bug")
            yield

    with pytest.raises(RuntimeError, match="a bug"):
        await Contest(entered(Broken(clock)), workload, clock).run(1, warmup=0)


def test_the_same_backend_twice_is_named_apart():
    assert distinct_names(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]
