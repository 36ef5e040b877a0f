"""A monotonic clock whose sleeps end within some tens of microseconds, where asyncio's end up to 1.1 ms late.

The event loop hands its timeouts to `epoll_wait`, in whole milliseconds rounded up. A Linux timerfd becomes readable at
its exact deadline and costs one system call to arm, so waiting for it through the loop is precise without spinning.
Elsewhere kqueue already has the resolution (macOS), or nothing better is to be had (Windows): plain sleeps are used.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import itertools
import os
import sys
import time

from chatapp.clock import NS_PER_S, MonotonicClock

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK = os.O_NONBLOCK if sys.platform != "win32" else 0
_TFD_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("it_interval", _Timespec), ("it_value", _Timespec)]


class PreciseClock(MonotonicClock):
    """A monotonic clock with precise sleeps, for one event loop. Close it after use: it holds a file descriptor.

    Any number of tasks may sleep on one clock; one timer serves the earliest of them.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = -1
        if self._libc is not None:
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)

    @property
    def precise(self) -> bool:
        """Whether sleeps go through a timer of nanosecond resolution."""
        return self._fd >= 0

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns`; at once, after one turn of the loop, where that has passed."""
        if deadline_ns <= time.monotonic_ns():
            await asyncio.sleep(0)
            return
        if not self.precise:
            await super().sleep_until(deadline_ns)
            return
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._fd, self._fire)
        future: asyncio.Future[None] = self._loop.create_future()
        entry = (deadline_ns, next(self._order), future)
        heapq.heappush(self._waiting, entry)
        if self._waiting[0] is entry:
            self._arm(deadline_ns)
        await future

    def _arm(self, deadline_ns: int) -> None:
        assert self._libc is not None
        seconds, nanoseconds = divmod(deadline_ns, NS_PER_S)
        setting = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, nanoseconds))
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(setting), None)

    def _fire(self) -> None:
        with contextlib.suppress(BlockingIOError):  # where it was armed anew between readiness and this call
            os.read(self._fd, 8)  # the count of expirations; reading it makes the timer unreadable again
        now = time.monotonic_ns()
        while self._waiting and self._waiting[0][0] <= now:
            _deadline, _order, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        while self._waiting and self._waiting[0][2].done():
            heapq.heappop(self._waiting)  # its sleeper was cancelled
        if self._waiting:
            self._arm(self._waiting[0][0])

    def close(self) -> None:
        """Release the timer. Idempotent; nobody may be asleep on it."""
        if self._fd >= 0:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
