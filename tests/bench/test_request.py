import asyncio

import pytest

from chatapp.bench.request import LONGEST_WAIT_S, MOST_ATTEMPTS, Exchange, Gate, until_stopped
from chatapp.stream.events import Message, Notice, Request
from tests.bench.conftest import ScriptedBackend, busy

REQUEST = Request(messages=(Message("user", "hi"),))
S = 1_000_000_000


async def test_a_busy_server_is_waited_for_and_the_waiting_is_in_no_figure(clock):
    backend = ScriptedBackend(clock, failures=[busy(7), busy(3)])
    exchange = Exchange(backend, REQUEST)
    await exchange.run(Gate(clock, seed="x"))
    assert exchange.attempts == 3
    assert exchange.waited_s == pytest.approx(10)
    figures = exchange.answer.final()
    assert (figures.ttft_ms, figures.error) == (100, None)
    assert backend.asked_ns == [0, 7 * S, 10 * S]


async def test_waiting_within_a_backend_is_counted_too(clock):
    class Retrying(ScriptedBackend):
        async def stream(self, request):
            yield Notice("retry", "busy; trying again in 4 s (1 of 2)")
            await clock.sleep_until(clock.now_ns() + 4 * S)
            async for event in super().stream(request):
                yield event

    exchange = Exchange(Retrying(clock), REQUEST)
    await exchange.run(Gate(clock, seed="x"))
    assert exchange.attempts == 2
    assert exchange.waited_s == pytest.approx(4)
    assert exchange.answer.final().ttft_ms == 100


async def test_without_a_stated_time_the_wait_grows(clock):
    backend = ScriptedBackend(clock, failures=[busy(), busy(), busy()])
    exchange = Exchange(backend, REQUEST)
    await exchange.run(Gate(clock, seed="x"))
    waits = [(b - a) / S for a, b in zip(backend.asked_ns, backend.asked_ns[1:], strict=False)]
    assert [1.5 <= waits[0] <= 2.5, 3 <= waits[1] <= 5, 6 <= waits[2] <= 10] == [True] * 3


async def test_a_server_that_stays_busy_is_an_error(clock):
    exchange = Exchange(ScriptedBackend(clock, failures=[busy(1)] * 99), REQUEST)
    await exchange.run(Gate(clock, seed="x"))
    assert exchange.attempts == MOST_ATTEMPTS
    assert exchange.answer.final().error == "rate_limited: slow down"


async def test_a_server_that_asks_for_too_long_is_an_error_at_once(clock):
    exchange = Exchange(ScriptedBackend(clock, failures=[busy(LONGEST_WAIT_S + 1)]), REQUEST)
    await exchange.run(Gate(clock, seed="x"))
    assert (exchange.attempts, exchange.waited_s) == (1, 0)


async def test_one_request_that_is_told_to_wait_holds_back_the_others(clock):
    backend = ScriptedBackend(clock, failures=[busy(5)], ttft_ms=10, tokens=1)
    gate = Gate(clock, seed="x")
    first = Exchange(backend, REQUEST)
    await first.run(gate)
    gate.close(busy(5), 1)
    second = Exchange(backend, REQUEST)
    await second.run(gate)
    assert second.waited_s == pytest.approx(5)


async def test_an_observer_sees_every_event_of_every_attempt(clock):
    seen = []

    class Watcher:
        def begin(self, lane, request, info):
            seen.append(("begin", lane, info.name))

        def event(self, lane, event):
            seen.append((type(event).__name__, lane))

    backend = ScriptedBackend(clock, failures=[busy(1)], tokens=1)
    await Exchange(backend, REQUEST, lane=3, observer=Watcher()).run(Gate(clock, seed="x"))
    names = [entry[0] for entry in seen]
    assert names == ["begin", "Sent", "Failed", "begin", "Sent", "Delta", "Usage", "Finished"]
    assert {entry[1] for entry in seen} == {3}


async def test_stopping_closes_the_upstream_and_keeps_the_answer(clock):
    backend = ScriptedBackend(clock, tokens=1_000)
    exchange = Exchange(backend, REQUEST)
    stop = asyncio.Event()

    async def stop_later():
        await clock.sleep_until(S)
        stop.set()

    later = asyncio.create_task(stop_later())
    await until_stopped(exchange.run(Gate(clock, seed="x")), stop)
    await later
    exchange.close(clock.now_ns())
    assert backend.closed_early == 1
    assert exchange.answer.outcome == "cancelled"
    assert 80 <= len(exchange.answer.timeline) <= 100


async def test_an_error_of_the_work_comes_out_as_itself():
    async def fail():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            raise KeyError("bug")

    with pytest.raises(KeyError):
        await until_stopped(fail(), asyncio.Event())
