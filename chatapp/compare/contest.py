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
from chatapp.scheduling import ask_for_short_slices
from chatapp.stream.answer import Answer
from chatapp.stream.events import Event, Failed, Finished, Request
from chatapp.stream.metrics import Figures
from chatapp.stream.tokens import count_tokens


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
    unmeasured: list[Figures] = field(default_factory=list)
    """Of the warm-up: in no figure, but they cost something."""

    @property
    def good(self) -> list[Figures]:
        """Figures of whole answers; failures are counted, never averaged in."""
        return [run.figures for run in self.runs if run.figures.error is None]

    @property
    def spent_usd(self) -> float | None:
        """What all its requests cost so far, failed ones and the warm-up included; None where that is not known."""
        if self.backend.info.kind != "live":
            return 0.0
        total = 0.0
        for figures in self._all:
            cost = cost_of(self.price, figures)
            if cost is None:
                return None
            total += cost
        return total

    @property
    def spent_tokens(self) -> int:
        """Input and output of all its requests so far, estimated ones included."""
        return sum((figures.input_tokens or 0) + (figures.output_tokens or 0) for figures in self._all)

    @property
    def _all(self) -> list[Figures]:
        return [*self.unmeasured, *(run.figures for run in self.runs)]


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
        max_usd: ends the contest before a request, where those so far have cost this much.
        max_tokens: the same of tokens, input and output together.
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
        max_usd: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.contestants = list(contestants)
        self.workload = workload
        self.run_id = run_id or secrets.token_hex(8)
        self.stop = asyncio.Event()
        """Set it to end early; what was measured is kept."""
        self.at_once = False
        self._max_usd = max_usd
        self._max_tokens = max_tokens
        self._spent_up = ""
        self._clock = clock
        self._timeout_s = timeout_s
        self._observer = observer
        self._gates = [Gate(clock, seed=f"{self.run_id} {index}") for index in range(len(self.contestants))]

    @property
    def partial(self) -> str | None:
        """Why it ended early; None where it did not."""
        if self.stop.is_set():
            return "interrupted"
        return self._spent_up or None

    def _over(self) -> bool:
        """Whether no further request may be sent: told to stop, or a budget is spent."""
        if self._max_usd is not None and sum(c.spent_usd or 0.0 for c in self.contestants) >= self._max_usd:
            self._spent_up = f"--max-cost ${self._max_usd:g} reached"
        if self._max_tokens is not None and sum(c.spent_tokens for c in self.contestants) >= self._max_tokens:
            self._spent_up = f"--max-tokens {self._max_tokens:,} reached"
        return bool(self._spent_up) or self.stop.is_set()

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
        if self._over():
            return
        ask_for_short_slices()
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
            if self._over() or contestant.failure:
                return
            request = self._request(index, WARMUP_NUMBERS + number)
            exchange = Exchange(contestant.backend, request)
            await self._limited(exchange.run(self._gates[index]))
            contestant.unmeasured.append(figures_of(exchange.answer, request))
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
                if self._over():
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
        await self._limited(exchange.run(self._gates[index]))
        if exchange.answer.outcome is None:
            now = self._clock.now_ns()
            end: Event = Finished(now, "cancelled")
            if not self.stop.is_set():
                end = Failed(now, "timeout", f"no end within {self._timeout_s:g} s; what came by then is kept")
            exchange.answer.feed(end)
            if self._observer is not None and exchange.attempts:
                self._observer.event(index, end)
        return exchange

    async def _limited(self, work: Coroutine[None, None, None]) -> None:
        """Await `work`, at most for the limit and until stopped; what is still running then is cancelled."""
        limit_ns = self._clock.now_ns() + round(self._timeout_s * NS_PER_S)
        task = asyncio.create_task(work)
        others = {asyncio.create_task(self.stop.wait()), asyncio.create_task(self._clock.sleep_until(limit_ns))}
        try:
            await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for other in others:
                other.cancel()
            await asyncio.wait(others)
        if task.done():
            task.result()
            return
        task.cancel()
        await asyncio.wait({task})

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
            figures=figures_of(answer, self._request(index, number - 1)),
            arrivals=arrivals_of(answer),
            departed_ms=None if request_ns is None or first_ns is None else (request_ns - first_ns) / 1e6,
            waited_s=exchange.waited_s,
            provenance=answer.finished.provenance if answer.finished is not None else {},
            text=answer.text.encode("utf-8", "replace").decode(),  # half an emoji has no place in a JSON file
        )
        contestant.runs.append(run)
        failure = answer.failure
        if failure is not None and failure.code in FATAL:
            contestant.failure = f"{failure.code}: {failure.message}"
        said(contestant, run)


def figures_of(answer: Answer, request: Request) -> Figures:
    """Return an answer's figures; where the server did not count the input, with our own count, marked as such."""
    figures = answer.final()
    if figures.input_tokens is not None:
        return figures
    texts = [message.content for message in request.messages] + ([request.instructions] if request.instructions else [])
    return msgspec.structs.replace(figures, input_tokens=sum(map(count_tokens, texts)), input_estimated=True)


def cost_of(price: Price, figures: Figures) -> float | None:
    """Return what one answer cost in US dollars; None where a price or a count that matters is not known."""
    if price == FREE:
        return 0.0
    if figures.input_tokens is None or figures.output_tokens is None:
        return None
    return price.of(figures.input_tokens, figures.output_tokens)


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
