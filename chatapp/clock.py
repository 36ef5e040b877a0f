"""Time, as a thing that can be handed in: the machine's monotonic clock, or a virtual one for tests and demo checks.

All times in this project are integers of nanoseconds on CLOCK_MONOTONIC, the clock that no NTP step moves.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_US = 1_000


class Clock(Protocol):
    """What code that waits or measures is given."""

    def now_ns(self) -> int:
        """Return the time now, in nanoseconds since an arbitrary fixed point."""

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns`, at once (after one turn of the loop) where that has passed."""


class MonotonicClock:
    """The machine's monotonic clock."""

    def now_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()

    async def sleep_until(self, deadline_ns: int) -> None:
        """Sleep to an absolute deadline, so that the error of one wait never adds to the next."""
        delay = deadline_ns - time.monotonic_ns()
        await asyncio.sleep(delay / NS_PER_S if delay > 0 else 0)


class VirtualClock:
    """A clock that moves only when told to, or, with `autojump`, whenever everything waits for it.

    Autojump follows trio's MockClock: when no callback of the event loop has run for `settle` turns except our own,
    every task is taken to be asleep and time jumps to the earliest deadline. A task that waits for real I/O is
    indistinguishable from a sleeping one, so use it with in-process parts only.
    """

    def __init__(self, start_ns: int = 0, *, autojump: bool = False, settle: int = 25) -> None:
        self._now_ns = start_ns
        self._autojump = autojump
        self._settle = settle
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._watching = False

    def now_ns(self) -> int:
        """Return the virtual time in nanoseconds."""
        return self._now_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return once the virtual time has reached `deadline_ns`."""
        if deadline_ns <= self._now_ns:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (deadline_ns, next(self._order), future))
        if self._autojump and not self._watching:
            self._watching = True
            self._watch(self._settle, next(self._order))
        await future

    def _watch(self, turns: int, seen: int) -> None:
        loop = asyncio.get_running_loop()
        current = next(self._order)
        if current != seen + 1:  # somebody went to sleep since the last turn: start to count again
            turns = self._settle
        if turns:
            loop.call_soon(self._watch, turns - 1, current)
            return
        self._watching = False
        while self._waiting and self._waiting[0][2].done():  # its sleeper was cancelled: no reason to move time
            heapq.heappop(self._waiting)
        if self._waiting:
            self._advance_to(self._waiting[0][0])
            if self._waiting:
                self._watching = True
                self._watch(self._settle, next(self._order))

    def _advance_to(self, now_ns: int) -> None:
        self._now_ns = max(self._now_ns, now_ns)
        while self._waiting and self._waiting[0][0] <= self._now_ns:
            _deadline, _order, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    async def advance(self, duration_ns: int) -> None:
        """Move time forward step by step, giving every sleeper its turn at its own deadline."""
        target = self._now_ns + duration_ns
        while self._waiting and self._waiting[0][0] <= target:
            self._advance_to(self._waiting[0][0])
            for _ in range(self._settle):
                await asyncio.sleep(0)
        self._advance_to(target)
        for _ in range(self._settle):
            await asyncio.sleep(0)
