"""What one worker of a cluster does: its share of a level, measured as on one machine, begun when all others begin.

These functions run inside a Dask worker. `measure` is the task; the others are called beside it, through the worker's
own event loop, to start, watch and stop it. Requests go to what the *worker's* settings and environment say a name
means: no key is ever sent to it.
"""

from __future__ import annotations

import asyncio
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from chatapp.bench.cost import Budget, Price
from chatapp.bench.request import Observer
from chatapp.bench.runner import Progress, Run, Runner
from chatapp.bench.schedule import Load
from chatapp.bench.workloads import Workload
from chatapp.errors import ChatappError
from chatapp.stream.tokens import load_encoding
from chatapp.timer import PreciseClock

ABANDONED_S = 30.0
"""A share that nobody has looked at for so long has lost its coordinator, and stops."""

TICK_S = 0.1
PIECE_BYTES = 4 << 20


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's part of one level."""

    identity: str
    backend: str
    base_url: str | None
    model: str | None
    workload: Workload
    load: Load
    run: str
    """Seeds prompts and arrivals: another one for each share, so that no two send the same."""
    budget: Budget
    price: Price
    record: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a share."""

    run: Run | None = None
    begun_ns: int = 0
    """When the first request was due, on the worker's monotonic clock."""
    recording: str = ""
    """The file that the worker wrote; empty for none."""
    recorded_ns: int = 0
    """The recording's zero, on the worker's monotonic clock."""
    problem: str = ""
    """Why the recording stopped."""
    error: str = ""
    """Why nothing could be measured."""
    hint: str = ""


class State(msgspec.Struct, frozen=True):
    """How a share stands."""

    ready: bool = False
    """Warmed up, and waiting for the start."""
    progress: Progress | None = None


class _Control:
    """The way from a worker's event loop to a share that runs in another thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stop = asyncio.Event()
        self.start: asyncio.Future[int] | None = None
        self.ready = False
        self.stopped = False
        self.progress: Progress | None = None
        self.seen_s = time.monotonic()

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, *arguments)


_controls: dict[str, _Control] = {}
_lock = threading.Lock()


def _control(identity: str) -> _Control:
    with _lock:
        return _controls.setdefault(identity, _Control())


# Beside a share


def host_name() -> str:
    """Return the name of this worker's machine."""
    return platform.node()


def read_clocks() -> tuple[int, int]:
    """Return the monotonic and the wall clock, in nanoseconds."""
    return time.monotonic_ns(), time.time_ns()


def look(identity: str) -> bytes:
    """Return an encoded `State`."""
    control = _controls.get(identity)
    if control is None:  # not begun, or over
        return msgspec.msgpack.encode(State())
    control.seen_s = time.monotonic()
    return msgspec.msgpack.encode(State(control.ready, control.progress))


def start(identity: str, at_ns: int) -> None:
    """Let a share begin at an instant of this worker's monotonic clock."""
    control = _controls.get(identity)
    if control is not None and control.start is not None:
        control.call(_set, control.start, at_ns)


def stop(identity: str) -> None:
    """Let a share end early and return what it has measured; also one that has not begun yet."""
    control = _control(identity)
    control.stopped = True
    control.call(control.stop.set)


def read_piece(path: str, offset: int) -> bytes:
    """Return the next bytes of a recording; none at its end."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)


def remove(path: str) -> None:
    """Remove a recording that has been fetched, and the folder made for it."""
    Path(path).unlink(missing_ok=True)
    with suppress(OSError):
        Path(path).parent.rmdir()


def _set(future: asyncio.Future[int], value: int) -> None:
    if not future.done():
        future.set_result(value)


# The share


def measure(data: bytes) -> bytes:
    """Measure an encoded `Share` and return the encoded `Outcome`. Errors are in it: they cross versions as text."""
    share = msgspec.msgpack.decode(data, type=Share)
    control = _control(share.identity)
    try:
        outcome = asyncio.run(_measure(share, control))
    except ChatappError as exc:
        outcome = Outcome(error=exc.message, hint=exc.hint)
    except Exception as exc:
        outcome = Outcome(error=f"unexpected {type(exc).__name__}: {exc}")
    finally:
        with _lock:
            del _controls[share.identity]
    return msgspec.msgpack.encode(outcome)


async def _measure(share: Share, control: _Control) -> Outcome:
    from chatapp.backends.registry import resolve
    from chatapp.config import load_settings

    control.start = asyncio.get_running_loop().create_future()
    control.seen_s = time.monotonic()
    control.loop = asyncio.get_running_loop()
    if control.stopped:
        control.stop.set()
    load_encoding()
    backend = resolve(share.backend, load_settings(), base_url=share.base_url, model=share.model)
    clock = PreciseClock()
    taping = Taping() if share.record else None
    runner = Runner(
        backend,
        share.workload,
        clock,
        run=share.run,
        budget=share.budget,
        price=share.price,
        observer=taping.observer if taping else None,
        stop=control.stop,
    )
    ticker = asyncio.create_task(_tick(runner, control))
    try:
        await runner.warm(share.load.warmup)
        begun_ns = await _wait_for_start(control, clock)
        run = await runner.run(msgspec.structs.replace(share.load, warmup=0))
    except BaseException:
        if taping is not None:
            remove(taping.path)
        raise
    finally:
        ticker.cancel()
        await asyncio.wait({ticker})
        await backend.aclose()
        clock.close()
        if taping is not None:
            taping.close()
    run = msgspec.structs.replace(run, load=share.load)
    if taping is None:
        return Outcome(run=run, begun_ns=begun_ns)
    return Outcome(
        run=run, begun_ns=begun_ns, recording=taping.path, recorded_ns=taping.zero_ns, problem=taping.problem
    )


async def _wait_for_start(control: _Control, clock: PreciseClock) -> int:
    """Return at the instant that all shares begin at; at once where this one is to stop."""
    assert control.start is not None
    control.ready = True
    stopping = asyncio.create_task(control.stop.wait())
    either: set[asyncio.Future[Any]] = {control.start, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not control.start.done():
        return clock.now_ns()
    await clock.sleep_until(control.start.result())
    return clock.now_ns()


async def _tick(runner: Runner, control: _Control) -> None:
    """Keep the progress where the worker's event loop can read it, and stop where nobody does any more."""
    while True:
        control.progress = runner.progress()
        if time.monotonic() - control.seen_s > ABANDONED_S:
            runner.halt("the coordinator was lost")
        await asyncio.sleep(TICK_S)


class Taping:
    """The recording that a worker makes of its share, in a file of its own."""

    def __init__(self) -> None:
        from chatapp.bench.plan import RecordingObserver
        from chatapp.recording.writer import Recorder

        folder = tempfile.mkdtemp(prefix="chatapp-bench-")
        self.path = str(Path(folder) / "share.tokcast")
        self._recorder = Recorder.open(self.path)
        self.observer: Observer = RecordingObserver(self._recorder)

    @property
    def zero_ns(self) -> int:
        """The recording's zero, on this worker's monotonic clock."""
        return self._recorder.zero_ns

    @property
    def problem(self) -> str:
        """Why it stopped: the disk is full."""
        return self._recorder.problem

    def close(self) -> None:
        """Seal the file."""
        self._recorder.close()
