"""Many requests against one backend, or several in turn: asyncio in one process, and nothing lost when interrupted.

While streams are open the process does as little as it can: requests are made beforehand, answers are only fed, and
tokens are counted when all is over. What cannot be avoided is watched (`health`) and said in the report.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from chatapp.backends.base import Backend
from chatapp.bench.cost import FREE, Budget, Meter, Price
from chatapp.bench.health import Doubt, Health, Watch, judge
from chatapp.bench.request import FATAL, Exchange, Gate, Observer, Response, catch_up, until_stopped
from chatapp.bench.schedule import Load, arrival_offsets_ns
from chatapp.bench.workloads import Workload
from chatapp.clock import NS_PER_MS, NS_PER_S, Clock
from chatapp.errors import BackendError
from chatapp.scheduling import ask_for_short_slices
from chatapp.stream import metrics
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Request
from chatapp.stream.metrics import Figures

MAX_PREPARED = 64 << 20
"""Characters of requests made before a level begins; the rest are made when their turn comes."""

MAX_ROWS_KEPT = 4_000_000
"""Arrivals whose answers wait to be counted until the level is over: 100 MB."""

WHOLE = ("done", "length")

WARMUP_NUMBERS = 1_000_000_000
"""Warm-up requests are numbered from here, so that they share no prompt with a measured one."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's part of a level that a cluster measured together."""

    worker: str
    address: str
    host: str
    requests: int
    clock_offset_ms: float
    """Its monotonic clock minus that of the machine that reports; on other machines it may be anything."""
    clock_error_ms: float
    """Half of the shortest round trip: how far off the offset, and so the start of this worker, may be."""
    wall_offset_s: float
    """Its wall clock minus ours; no figure comes from that."""
    start_late_ms: float | None
    """Its start, after the instant that all were to start at."""
    health: Health | None
    lost: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One level of load and what came of it."""

    info: BackendInfo
    load: Load
    responses: tuple[Response, ...]
    lasted_s: float
    health: Health
    doubt: Doubt
    partial: str | None = None
    """Why it ended early; None for a whole one."""
    parts: tuple[Part, ...] = ()
    """Of a cluster's workers; empty where this process measured by itself."""

    @property
    def good(self) -> list[Response]:
        """The whole answers; errors are counted, never averaged in."""
        return [response for response in self.responses if response.figures.error is None]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How a level stands, for a display. Tokens are not counted while streams run, so speed is in characters."""

    load: Load
    elapsed_s: float
    done: int
    errors: int
    running: int
    ttft_ms: float | None
    """Of the response that ended last."""
    characters_per_s: float | None
    """Of all running streams together, each since its first chunk."""


class Runner:
    """Runs loads against one backend.

    Args:
        backend: already resolved; the caller closes it.
        workload: what is asked.
        clock: one with precise sleeps.
        run: identifies the run: seeds prompts and random arrivals; by default another each time.
        budget: what may be used; enforced between requests.
        price: of the backend.
        observer: sees every event.
        stop: set it to end early: requests on their way are cancelled, and what was measured is kept.
    """

    def __init__(
        self,
        backend: Backend,
        workload: Workload,
        clock: Clock,
        *,
        run: str | None = None,
        budget: Budget | None = None,
        price: Price = FREE,
        observer: Observer | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self.backend = backend
        self.workload = workload
        self.run_id = run or secrets.token_hex(8)
        self.meter = Meter(budget or Budget(), price)
        self.stop = stop or asyncio.Event()
        self._clock = clock
        self.observer = observer
        self.gate = Gate(clock, seed=self.run_id)
        self._warmups = WARMUP_NUMBERS
        self._numbers = 0
        self._level: _Level | None = None
        self.why_stopped: str | None = None

    def request(self, number: int) -> Request:
        """Return a request of this run; equal numbers give equal requests."""
        return self.workload.request(number, run=self.run_id, simulated=self.backend.info.simulated)

    async def warm(self, requests: int) -> None:
        """Open connections, take lazy start-up out of the first measurement, and ask a few unmeasured requests.

        Raises:
            BackendError: the backend cannot be used at all.
        """
        await self.backend.warm()
        for _ in range(requests):
            if self.stop.is_set():
                return
            exchange = Exchange(self.backend, self.request(self._warmups))
            self._warmups += 1
            await until_stopped(exchange.run(self.gate), self.stop)
            self.count(exchange.answer)
            failure = exchange.answer.failure
            if failure is not None and failure.code in FATAL:
                raise BackendError(failure.code, failure.message, hint=failure.hint, status=failure.status)

    def progress(self) -> Progress | None:
        """Return how the running level stands; None between levels and during warm-up."""
        return self._level.progress() if self._level is not None else None

    async def run(self, load: Load) -> Run:
        """Run one level, warm-up first.

        Raises:
            BackendError: the backend cannot be used at all.
        """
        await self.warm(load.warmup)
        level = self._level = _Level(self, load, self._clock, self._numbers)
        ask_for_short_slices()
        with quiet_collector():
            async with Watch(self._clock) as watch:
                begin = self._clock.now_ns()
                await level.run()
                lasted_s = (self._clock.now_ns() - begin) / NS_PER_S
        self._level = None
        responses = tuple(sorted(level.responses(), key=lambda response: response.number))
        self._numbers += level.begun
        health = watch.health([round(r.late_s * NS_PER_S) for r in responses] if load.rate else ())
        good = [response.figures for response in responses if response.figures.error is None]
        return Run(
            info=self.backend.info,
            load=load,
            responses=responses,
            lasted_s=lasted_s,
            health=health,
            doubt=judge(health, good, rate=load.rate),
            partial=self.why_stopped or ("interrupted" if self.stop.is_set() else None),
        )

    def count(self, answer: Answer) -> Figures:
        """Return an answer's figures, and charge it to the budget."""
        figures = answer.final()
        if figures.input_tokens is None and self.workload.input_tokens is not None:
            figures = msgspec.structs.replace(figures, input_tokens=self.workload.input_tokens, input_estimated=True)
        self.meter.add(figures)
        if (spent := self.meter.spent) is not None:
            self.halt(spent)
        return figures

    def halt(self, why: str) -> None:
        """End early for a reason other than the user's wish."""
        if self.why_stopped is None and not self.stop.is_set():
            self.why_stopped = why
        self.stop.set()


class _Level:
    """The requests of one level of load."""

    def __init__(self, runner: Runner, load: Load, clock: Clock, first_number: int) -> None:
        self._runner = runner
        self._load = load
        self._clock = clock
        self._first = first_number
        self._last_ttft_ms: float | None = None
        self._prepared = self._prepare()
        self._begin_ns = clock.now_ns()
        self._responses: list[Response] = []
        self._uncounted: list[tuple[Response, Answer]] = []
        self._rows = 0
        self._errors = 0
        self._running: dict[int, Exchange] = {}
        self._lanes: list[int] = []
        self._most_lanes = 0
        self.begun = 0

    def _prepare(self) -> list[Request]:
        """Make requests now, as many as may be held, rather than between the chunks of other streams."""
        prepared: list[Request] = []
        held = 0
        for number in range(self._load.requests or 0):
            prepared.append(self._runner.request(self._first + number))
            held += len(prepared[-1].prompt)
            if held > MAX_PREPARED:
                break
        return prepared

    async def run(self) -> None:
        """Send everything, or what can be sent until told to stop."""
        self._begin_ns = self._clock.now_ns()
        if self._runner.stop.is_set():
            return
        await until_stopped(self._open() if self._load.rate else self._closed(), self._runner.stop)

    async def _closed(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.concurrency):
                group.create_task(self._work())
                await asyncio.sleep(0)
                await catch_up(self._clock)

    async def _work(self) -> None:
        while self._more():
            await self._one(late_ns=0)

    def _more(self) -> bool:
        load = self._load
        if self._runner.stop.is_set() or (load.requests is not None and self.begun >= load.requests):
            return False
        lasted_ns = self._clock.now_ns() - self._begin_ns
        return load.duration_s is None or lasted_ns < load.duration_s * NS_PER_S

    async def _open(self) -> None:
        places = asyncio.Semaphore(self._load.concurrency) if self._load.concurrency else None
        async with asyncio.TaskGroup() as group:
            for offset in arrival_offsets_ns(self._load, seed=self._runner.run_id):
                planned = self._begin_ns + offset
                await self._clock.sleep_until(planned)
                if places is not None:
                    await places.acquire()
                group.create_task(self._one(late_ns=max(0, self._clock.now_ns() - planned), places=places))

    async def _one(self, *, late_ns: int, places: asyncio.Semaphore | None = None) -> None:
        index = self.begun
        number = self._first + index
        self.begun += 1
        request = self._prepared[index] if index < len(self._prepared) else self._runner.request(number)
        lane = self._lanes.pop() if self._lanes else self._most_lanes
        self._most_lanes = max(self._most_lanes, lane + 1)
        exchange = Exchange(self._runner.backend, request, lane=lane, observer=self._runner.observer)
        self._running[number] = exchange
        begin = self._clock.now_ns()
        try:
            await exchange.run(self._runner.gate)
        finally:  # also where it was cancelled: what came is kept, and is marked
            self._lanes.append(lane)
            del self._running[number]
            if places is not None:
                places.release()
            self._keep(number, exchange, begin, late_ns)

    def _keep(self, number: int, exchange: Exchange, begin_ns: int, late_ns: int) -> None:
        end_ns = self._clock.now_ns()
        exchange.close(end_ns)
        response = Response(
            number=number,
            level=self._load.label,
            begun_s=(begin_ns - self._begin_ns) / NS_PER_S,
            ended_s=(end_ns - self._begin_ns) / NS_PER_S,
            figures=Figures(),
            attempts=exchange.attempts,
            waited_s=exchange.waited_s,
            late_s=late_ns / NS_PER_S,
        )
        answer = exchange.answer
        self._uncounted.append((response, answer))
        self._rows += len(answer.timeline)
        failure = answer.failure
        if failure is not None and failure.code in FATAL:
            self._runner.halt(f"{failure.code}: every further request would fail alike")
        if not self._running or self._rows > MAX_ROWS_KEPT or self._runner.meter.limited:
            self._count_all()
        self._errors += answer.outcome not in WHOLE
        self._last_ttft_ms = _first_ms(answer)

    def progress(self) -> Progress:
        """Return how it stands now."""
        speeds = [_characters_per_s(exchange.answer) for exchange in self._running.values()]
        known = [speed for speed in speeds if speed is not None]
        return Progress(
            load=self._load,
            elapsed_s=(self._clock.now_ns() - self._begin_ns) / NS_PER_S,
            done=self.begun - len(self._running),
            errors=self._errors,
            running=len(self._running),
            ttft_ms=self._last_ttft_ms,
            characters_per_s=sum(known) if known else None,
        )

    def _count_all(self) -> None:
        for response, answer in self._uncounted:
            self._responses.append(msgspec.structs.replace(response, figures=self._runner.count(answer)))
        self._uncounted.clear()
        self._rows = 0

    def responses(self) -> list[Response]:
        """Return all responses, counted."""
        self._count_all()
        return self._responses


def _first_ms(answer: Answer) -> float | None:
    first = answer.timeline.at_ns[0] if len(answer.timeline) else None
    ttft = metrics.ttft_ns(answer.request_ns, first)
    return None if ttft is None else ttft / NS_PER_MS


def _characters_per_s(answer: Answer) -> float | None:
    timeline = answer.timeline
    if not len(timeline):
        return None
    return metrics.speed_after_first(timeline.at_ns, answer.characters, timeline.characters[0])


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Keep garbage collections out of the measurement: a full one takes 40 ms with textual and openai loaded."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
