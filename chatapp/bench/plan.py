"""A whole benchmark as a value, and the one function that carries it out."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import msgspec

from chatapp.addresses import is_this_machine
from chatapp.backends.base import Backend
from chatapp.backends.catalog import load_catalog
from chatapp.bench.cost import FREE, Budget, Price
from chatapp.bench.runner import Progress, Run, Runner
from chatapp.bench.schedule import Load
from chatapp.bench.workloads import Workload
from chatapp.clock import NS_PER_S
from chatapp.config import Settings
from chatapp.recording.writer import Recorder
from chatapp.stream.events import BackendInfo, Event, Request
from chatapp.stream.metrics import Goodput
from chatapp.stream.tokens import load_encoding
from chatapp.timer import PreciseClock

PROGRESS_S = 0.25
AGAIN_S = 1.0
"""How long a second Ctrl-C counts as the first."""


class Plan(msgspec.Struct, kw_only=True):
    """What is to be measured, and what it may use."""

    backend: Backend
    workload: Workload
    loads: tuple[Load, ...]
    run_id: str
    limits: Goodput
    budget: Budget
    price: Price
    cooldown_s: float = 0.0
    record: Path | None = None


def price_of(info: BackendInfo, settings: Settings, *, base_url: str | None = None) -> Price:
    """Return what a backend charges: nothing on this machine, the catalog's price elsewhere, unknown without one."""
    if info.kind != "live":
        return FREE
    if base_url is not None:
        return FREE if is_this_machine(base_url) else Price()
    entry = load_catalog(settings).get(info.name.partition("/")[0])
    if entry is None:
        return Price()
    if is_this_machine(entry.base_url):
        return FREE
    listed = entry.price(info.model)
    return Price(listed.input, listed.output) if listed else Price()


class RecordingObserver:
    """Writes every request and event into a recording, one stream for each of the requests at once."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def begin(self, lane: int, request: Request, info: BackendInfo) -> None:
        """Write what is asked."""
        self._recorder.begin(f"worker-{lane + 1}", request, info)

    def event(self, lane: int, event: Event) -> None:
        """Write what happened."""
        self._recorder.record(f"worker-{lane + 1}", event)


async def carry_out(
    plan: Plan,
    *,
    on_level: Callable[[Run], None] | None = None,
    on_progress: Callable[[Progress | None], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
) -> list[Run]:
    """Run all levels of a plan; Ctrl-C ends it early and keeps what was measured.

    Args:
        plan: what to do. Its backend is closed at the end.
        on_level: called with each level's result.
        on_progress: called a few times a second; with None during warm-up and cool-down.
        on_problem: called with one line where the recording had to stop.

    Raises:
        BackendError: the backend cannot be used at all.
        UsageError: the recording cannot be created.
    """
    load_encoding()  # before anything is timed
    stop = asyncio.Event()
    clock = PreciseClock()
    runs: list[Run] = []
    with ExitStack() as stack:
        stack.callback(clock.close)
        observer = None
        if plan.record is not None:
            title = f"bench of {plan.backend.info.label}"
            recorder = stack.enter_context(Recorder.open(plan.record, title=title, on_problem=on_problem))
            observer = RecordingObserver(recorder)
        stack.enter_context(stopping_on_interrupt(stop))
        runner = Runner(
            plan.backend,
            plan.workload,
            clock,
            run=plan.run_id,
            budget=plan.budget,
            price=plan.price,
            observer=observer,
            stop=stop,
        )
        ticker = asyncio.create_task(_tick(runner, on_progress))
        try:
            for index, load in enumerate(plan.loads):
                if stop.is_set():
                    break
                if index and plan.cooldown_s:
                    await clock.sleep_until(clock.now_ns() + round(plan.cooldown_s * NS_PER_S))
                runs.append(await runner.run(load))
                if on_level is not None:
                    on_level(runs[-1])
        finally:
            ticker.cancel()
            await asyncio.wait({ticker})
            await plan.backend.aclose()
    return runs


async def _tick(runner: Runner, on_progress: Callable[[Progress | None], None] | None) -> None:
    while on_progress is not None:
        on_progress(runner.progress())
        await asyncio.sleep(PROGRESS_S)


@contextmanager
def stopping_on_interrupt(stop: asyncio.Event) -> Iterator[None]:
    """Let the first Ctrl-C set `stop`, and one that comes `AGAIN_S` later interrupt as usual.

    Whoever presses it twice at once, or sends it to a group of processes and to each of them, wants what was measured.
    """
    loop = asyncio.get_running_loop()
    asked_s: float | None = None

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked_s
        if asked_s is None:
            asked_s = time.monotonic()
            loop.call_soon_threadsafe(stop.set)
        elif time.monotonic() - asked_s >= AGAIN_S:
            signal.signal(signal.SIGINT, previous)
            if callable(previous):
                previous(number, frame)

    try:
        previous = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not in the main thread: whoever runs the loop there handles interrupts
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
