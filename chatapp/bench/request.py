"""One measured request: its events into an answer; the waiting that a busy server asks for stays out of the figures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Protocol

import msgspec

from chatapp.backends.base import Backend
from chatapp.clock import NS_PER_MS, NS_PER_S, Clock
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Event, Failed, Finished, Notice, Request, Sent
from chatapp.stream.metrics import Figures

MOST_ATTEMPTS = 6
LONGEST_WAIT_S = 120.0
"""A server that asks for more than this is counted as an error instead of waited for."""

QUICK_TURN_NS = NS_PER_MS
MOST_TURNS = 100

FATAL = frozenset({"auth", "not_found", "bad_request", "unsupported", "dns", "tls", "loading_failed"})
"""Failures that every further request would repeat."""


class Observer(Protocol):
    """Sees every event as it is taken, for a recording. `lane` is one of as many as there are requests at once."""

    def begin(self, lane: int, request: Request, info: BackendInfo) -> None:
        """A request is about to be sent."""

    def event(self, lane: int, event: Event) -> None:
        """An event was taken."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One request's outcome."""

    number: int
    level: str
    """The load it was part of, as `Load.label`."""
    begun_s: float
    """When it was taken up, seconds since the level began."""
    ended_s: float
    figures: Figures
    attempts: int = 1
    waited_s: float = 0.0
    """Waited because the server said 429; outside every figure."""
    late_s: float = 0.0
    """How long after its planned time it was taken up, in an open load."""
    worker: str = ""
    """Which worker of a cluster measured it; empty for this process."""

    @property
    def kind_of_error(self) -> str | None:
        """The failure's code, None for a whole answer."""
        return None if self.figures.error is None else self.figures.error.partition(":")[0]


class Gate:
    """Holds back all requests of a run while the server wants to be left alone."""

    def __init__(self, clock: Clock, *, seed: str) -> None:
        self._clock = clock
        self._source = random.Random(seed)
        self._open_ns = 0

    def close(self, failure: Failed, attempt: int) -> bool:
        """Wait as the server asked, else exponentially longer each time; return False where that is too long."""
        wait_s = failure.retry_after_s
        if wait_s is None:
            wait_s = 2.0**attempt * self._source.uniform(0.75, 1.25)  # spread, so that workers do not return at once
        if wait_s > LONGEST_WAIT_S:
            return False
        self._open_ns = max(self._open_ns, self._clock.now_ns() + round(wait_s * NS_PER_S))
        return True

    def now_ns(self) -> int:
        """Return the time on the clock that waits are measured with."""
        return self._clock.now_ns()

    async def passed(self) -> float:
        """Wait until the gate is open; return the seconds waited."""
        begin = now = self._clock.now_ns()
        while self._open_ns > now:
            await self._clock.sleep_until(self._open_ns)
            now = self._clock.now_ns()
        return (now - begin) / NS_PER_S


class Exchange:
    """A request on its way, with the answer so far: what a progress display looks at, and what Ctrl-C keeps."""

    def __init__(self, backend: Backend, request: Request, *, lane: int = 0, observer: Observer | None = None) -> None:
        self._backend = backend
        self._request = request
        self._lane = lane
        self._observer = observer
        self.answer = Answer(backend.info)
        self.attempts = 0
        self.waited_s = 0.0

    async def run(self, gate: Gate) -> None:
        """Ask, again where the server was busy before it had said anything."""
        while True:
            self.waited_s += await gate.passed()
            self.attempts += 1
            await self._ask(gate)
            failure = self.answer.failure
            if failure is None or failure.code != "rate_limited" or len(self.answer.timeline):
                return
            if self.attempts >= MOST_ATTEMPTS or not gate.close(failure, self.attempts):
                return

    def close(self, now_ns: int) -> None:
        """Mark an answer that was cut off from this side."""
        if self.answer.outcome is None:
            self.answer.feed(Finished(at_ns=now_ns, reason="cancelled"))

    async def _ask(self, gate: Gate) -> None:
        answer = self.answer = Answer(self._backend.info)
        if self._observer is not None:
            self._observer.begin(self._lane, self._request, self._backend.info)
        stream: AsyncGenerator[Event, None] = self._backend.stream(self._request)
        waiting_since_ns: int | None = None
        async with aclosing(stream):
            async for event in stream:
                answer.feed(event)
                if isinstance(event, Notice) and event.kind == "retry":  # the backend waits and asks again by itself
                    waiting_since_ns = gate.now_ns()
                    self.attempts += 1
                elif waiting_since_ns is not None:
                    until_ns = event.at_ns if isinstance(event, (Sent, Failed)) else gate.now_ns()
                    self.waited_s += max(0, until_ns - waiting_since_ns) / NS_PER_S
                    waiting_since_ns = None
                if self._observer is not None:
                    self._observer.event(self._lane, event)


async def catch_up(clock: Clock) -> None:
    """Return when the event loop turns quickly again.

    Sending a request costs the SDK 2 ms. A hundred begun in one turn, or in turns that follow each other, would keep
    the streams already begun from being read, and arrivals that are read late share one stamp.
    """
    for _ in range(MOST_TURNS):
        begin = clock.now_ns()
        await asyncio.sleep(0)
        if clock.now_ns() - begin < QUICK_TURN_NS:
            return


async def until_stopped(work: Coroutine[None, None, None], stop: asyncio.Event) -> None:
    """Await `work`; where `stop` is set first, cancel it and wait until it has closed its upstreams."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if task.cancelled():
        return
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):  # a task group wraps even a single error; the first is what failed
        error = error.exceptions[0]
    if error is not None:
        raise error
