import pytest

from chatapp.clock import VirtualClock
from chatapp.demo.faults import apply_fault
from chatapp.demo.script import Fault, Place
from chatapp.stream.answer import Answer
from chatapp.stream.events import Arrival, BackendInfo, Delta, Failed, Finished, Notice, Sent

MS = 1_000_000
PLACE = Place(1, 1)


async def source(clock, closed, *, joined=False):
    try:
        start = clock.now_ns()
        yield Notice("cold", "n")
        yield Sent(start)
        for i in range(10):
            at = start + (100 + 10 * i) * MS
            await clock.sleep_until(at)
            arrivals = (Arrival(at - 1, 1), Arrival(at, 1)) if joined else ()
            yield Delta("ab", clock.now_ns(), tokens=2, arrivals=arrivals)
        yield Finished(clock.now_ns())
    finally:
        closed.append(True)


async def events(fault, **options):
    clock = VirtualClock(autojump=True)
    closed = []
    stream = apply_fault(source(clock, closed, **options), fault, clock)
    seen = [(clock.now_ns() // MS, event) async for event in stream]
    assert closed == [True]
    return seen


def texts(seen):
    return [(now, event.at_ns // MS, event.text) for now, event in seen if isinstance(event, Delta)]


async def test_a_stall_moves_everything_after_it_in_time_and_in_the_figures():
    seen = await events(Fault(kind="stall", at_tokens=8, duration_ns=4000 * MS, place=PLACE))
    assert texts(seen)[:4] == [(100 + 10 * i, 100 + 10 * i, "ab") for i in range(4)]
    assert texts(seen)[4:] == [(4140 + 10 * i, 4140 + 10 * i, "ab") for i in range(6)]
    assert seen[-1][1] == Finished(4190 * MS)
    answer = Answer(BackendInfo("x", "x", "live", "", ""))
    for _now, event in seen:
        answer.feed(event)
    assert answer.final().icl_ms == 10.0
    assert answer.final().icl_p99_ms > 3600


async def test_latency_comes_before_the_first_token_and_moves_joined_arrivals_too():
    seen = await events(Fault(kind="latency", duration_ns=500 * MS, place=PLACE), joined=True)
    assert texts(seen)[0] == (600, 600, "ab")
    first = next(event for _now, event in seen if isinstance(event, Delta))
    assert [arrival.at_ns for arrival in first.arrivals] == [600 * MS - 1, 600 * MS]


@pytest.mark.parametrize(
    ("fault", "code", "kept"),
    [
        (Fault(kind="disconnect", at_tokens=6, place=PLACE), "truncated", 3),
        (Fault(kind="reset", at_tokens=6, place=PLACE), "truncated", 3),
        (Fault(kind="malformed", at_tokens=1, place=PLACE), "bad_stream", 1),
        (Fault(kind="status", status=429, place=PLACE), "rate_limited", 0),
        (Fault(kind="status", status=503, place=PLACE), "server_error", 0),
    ],
)
async def test_endings(fault, code, kept):
    seen = await events(fault)
    assert len(texts(seen)) == kept
    ending = seen[-1][1]
    assert isinstance(ending, Failed)
    assert ending.code == code
    assert "fault of the demo" in ending.message or fault.kind == "malformed"


async def test_a_limit_ends_the_answer_in_order():
    seen = await events(Fault(kind="limit", at_tokens=4, place=PLACE))
    assert len(texts(seen)) == 2
    assert seen[-1][1].reason == "length"


async def test_slices_deliver_character_by_character():
    seen = await events(Fault(kind="slice", at_tokens=16, place=PLACE))
    assert [text for _now, _at, text in texts(seen)] == ["ab"] * 8 + ["a", "b"] * 2
    assert sum(event.tokens for _now, event in seen if isinstance(event, Delta)) == 20


async def test_a_fault_beyond_the_end_of_an_answer_hits_its_end():
    seen = await events(Fault(kind="disconnect", at_tokens=20, place=PLACE))
    assert len(texts(seen)) == 10
    assert isinstance(seen[-1][1], Failed)
    seen = await events(Fault(kind="disconnect", at_tokens=21, place=PLACE))
    assert isinstance(seen[-1][1], Finished)


async def test_an_abandoned_answer_closes_its_source():
    clock = VirtualClock(autojump=True)
    closed = []
    stream = apply_fault(source(clock, closed), Fault(kind="stall", duration_ns=1, place=PLACE), clock)
    async for event in stream:
        if isinstance(event, Delta):
            break
    await stream.aclose()
    assert closed == [True]
