"""Several backends, the same requests, in fair order: the headless half of compare and of verify.

One run starts all at the same moment, as the screen does. More runs take turns, in a balanced Latin square, so that
neither drift nor what ran before favours one, and no two share this machine's CPU while they are measured.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

import msgspec

from chatapp.backends.base import Backend
from chatapp.bench.cost import FREE, Price
from chatapp.bench.request import FATAL, Exchange, Gate, Observer
from chatapp.bench.runner import WARMUP_NUMBERS, quiet_collector
from chatapp.bench.schedule import fair_orders
from chatapp.bench.workloads import Workload
from chatapp.clock import NS_PER_S, Clock
from chatapp.compare.race import progress_curve
from chatapp.errors import BackendError
from chatapp.stream.answer import Answer
from chatapp.stream.events import Failed, Request
from chatapp.stream.metrics import Figures


@dataclass(slots=True)
class Contestant:
    """One backend in a contest."""

    name: str
    """Unlike any other's in the contest: the same backend twice has a number behind it."""
    label: str
    backend: Backend
    price: Price = FREE
    failure: str = ""
    """Why it takes part no longer: what every further request would meet, too."""
    runs: list[MeasuredRun] = field(default_factory=list)

    @property
    def good(self) -> list[Figures]:
        """Figures of whole answers; failures are counted, never averaged in."""
        return [run.figures for run in self.runs if run.figures.error is None]


class MeasuredRun(msgspec.Struct, frozen=True, kw_only=True):
    """One measured answer with its raw arrivals."""

    number: int
    """Of the run, from 1."""
    figures: Figures
    arrivals: tuple[tuple[float, int, int], ...]
    """Of each chunk: milliseconds since the request left, characters, common tokens (cl100k)."""
    departed_ms: float | None
    """When the request left, since the run's first one did."""
    waited_s: float = 0.0
    provenance: dict[str, str] = {}
    text: str = ""


class Contest:
    """Runs the same workload against several backends.

    Args:
        contestants: already resolved; the caller closes their backends.
        workload: what is asked; the same request to all in one run, another one in the next.
        clock: for pauses and limits.
        timeout_s: longest one answer may take; what came by then is kept and marked.
        run_id: seeds the prompts; another each time by default.
        observer: sees every event, for a recording: `lane` is the contestant's index.
    """

    def __init__(
        self,
        contestants: Sequence[Contestant],
        workload: Workload,
        clock: Clock,
        *,
        timeout_s: float = 300.0,
        run_id: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.contestants = list(contestants)
        self.workload = workload
        self.run_id = run_id or secrets.token_hex(8)
        self.stop = asyncio.Event()
        """Set it to end early; what was measured is kept."""
        self.at_once = False
        self._clock = clock
        self._timeout_s = timeout_s
        self._observer = observer
        self._gates = [Gate(clock, seed=f"{self.run_id} {index}") for index in range(len(self.contestants))]

    @property
    def partial(self) -> str | None:
        """Why it ended early; None where it did not."""
        return "interrupted" if self.stop.is_set() else None

    async def run(
        self,
        runs: int,
        *,
        warmup: int = 1,
        cooldown_s: float = 0.0,
        on_run: Callable[[Contestant, MeasuredRun], None] | None = None,
    ) -> None:
        """Warm up, then measure `runs` answers of each."""
        await asyncio.gather(*(self._warm(index, warmup) for index in range(len(self.contestants))))
        self.at_once = runs == 1
        said = on_run or (lambda _contestant, _run: None)
        with quiet_collector():
            if self.at_once:
                await self._all_at_once(said)
            else:
                await self._in_turns(runs, cooldown_s, said)

    async def _warm(self, index: int, requests: int) -> None:
        contestant = self.contestants[index]
        try:
            await contestant.backend.warm()
        except BackendError as exc:
            contestant.failure = f"{exc.code}: {exc.message}"
            return
        for number in range(requests):
            if self.stop.is_set() or contestant.failure:
                return
            exchange = Exchange(contestant.backend, self._request(index, WARMUP_NUMBERS + number))
            await self._limited(exchange.run(self._gates[index]))
            failure = exchange.answer.failure
            if failure is not None and failure.code in FATAL:
                contestant.failure = f"{failure.code}: {failure.message}"

    async def _all_at_once(self, said: Callable[[Contestant, MeasuredRun], None]) -> None:
        taking_part = [i for i, contestant in enumerate(self.contestants) if not contestant.failure]
        exchanges = await asyncio.gather(*(self._ask(index, 0) for index in taking_part))
        departures = [e.answer.request_ns for e in exchanges if e.answer.request_ns is not None]
        first = min(departures, default=None)
        for index, exchange in zip(taking_part, exchanges, strict=True):
            self._keep(index, 1, exchange, first, said)

    async def _in_turns(self, runs: int, cooldown_s: float, said: Callable[[Contestant, MeasuredRun], None]) -> None:
        for number, order in enumerate(fair_orders(len(self.contestants), runs)):
            for index in order:
                if self.stop.is_set():
                    return
                if self.contestants[index].failure:
                    continue
                exchange = await self._ask(index, number)
                self._keep(index, number + 1, exchange, exchange.answer.request_ns, said)
                if cooldown_s:
                    await self._limited(self._clock.sleep_until(self._clock.now_ns() + round(cooldown_s * NS_PER_S)))

    def _request(self, index: int, number: int) -> Request:
        simulated = self.contestants[index].backend.info.simulated
        return self.workload.request(number, run=self.run_id, simulated=simulated)

    async def _ask(self, index: int, number: int) -> Exchange:
        contestant = self.contestants[index]
        exchange = Exchange(contestant.backend, self._request(index, number), lane=index, observer=self._observer)
        in_time = await self._limited(exchange.run(self._gates[index]))
        now = self._clock.now_ns()
        if not in_time and not self.stop.is_set() and exchange.answer.outcome is None:
            limit = f"no end within {self._timeout_s:g} s; what came by then is kept"
            exchange.answer.feed(Failed(now, "timeout", limit))
        exchange.close(now)
        return exchange

    async def _limited(self, work: Coroutine[None, None, None]) -> bool:
        """Await `work`, at most for the limit and until stopped; return whether it came to its end."""
        task = asyncio.create_task(work)
        stopped = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({task, stopped}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        await asyncio.wait({task})
        return False

    def _keep(
        self,
        index: int,
        number: int,
        exchange: Exchange,
        first_ns: int | None,
        said: Callable[[Contestant, MeasuredRun], None],
    ) -> None:
        contestant = self.contestants[index]
        answer = exchange.answer
        request_ns = answer.request_ns
        run = MeasuredRun(
            number=number,
            figures=answer.final(),
            arrivals=arrivals_of(answer),
            departed_ms=None if request_ns is None or first_ns is None else (request_ns - first_ns) / 1e6,
            waited_s=exchange.waited_s,
            provenance=answer.finished.provenance if answer.finished is not None else {},
            text=answer.text,
        )
        contestant.runs.append(run)
        failure = answer.failure
        if failure is not None and failure.code in FATAL:
            contestant.failure = f"{failure.code}: {failure.message}"
        said(contestant, run)


def arrivals_of(answer: Answer) -> tuple[tuple[float, int, int], ...]:
    """Return each chunk's milliseconds since the request, characters and common tokens; empty without a request."""
    if answer.request_ns is None:
        return ()
    timeline = answer.timeline
    curve = progress_curve(timeline, answer.request_ns)
    return tuple(
        (ms, characters, common)
        for (ms, _total), characters, common in zip(curve, timeline.characters, timeline.common, strict=True)
    )


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return the names with a number behind those that occur more than once."""
    return [
        name if names.count(name) == 1 else f"{name} ({list(names[: index + 1]).count(name)})"
        for index, name in enumerate(names)
    ]
