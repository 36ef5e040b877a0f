"""One benchmark measured by several machines: the same start, raw responses united, and clocks that are known.

Workers are lent by a Dask cluster. Each takes its share of a level, warms up, waits, and begins at one instant that it
is told in terms of its own clock. What comes back is every response, and with `record` every arrival; nothing is
averaged before it is here.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from chatapp.bench import share
from chatapp.bench.cost import Budget
from chatapp.bench.division import Measured, delay_ns, divide, unite
from chatapp.bench.plan import PROGRESS_S, Plan, stopping_on_interrupt
from chatapp.bench.runner import Part, Progress, Run
from chatapp.bench.schedule import Load
from chatapp.bench.share import Outcome, Share, State
from chatapp.bench.workforce import Member, Workforce, open_workforce, remark_clocks, still_there
from chatapp.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from chatapp.errors import ChatappError
from chatapp.recording.combining import Source, combine

LEAD_NS = 500 * NS_PER_MS
"""From the moment at which all are ready to the start: time for every worker to be told."""

STOP_S = 30.0
"""How long workers that are told to stop may take to return what they have."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, by name: each worker resolves it with its own settings and keys."""

    backend: str
    base_url: str | None = None
    model: str | None = None


async def carry_out_together(
    plan: Plan,
    target: Target,
    address: str,
    *,
    on_level: Callable[[Run], None] | None = None,
    on_progress: Callable[[Progress | None], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
) -> list[Run]:
    """Run all levels of a plan on a cluster; Ctrl-C ends it early and keeps what was measured.

    Args:
        plan: what to do. Its own backend is only described by it, and closed.
        target: what workers are to ask.
        address: of the scheduler, or `local:N`.
        on_level: called with each level's result.
        on_progress: called a few times a second with all workers' progress together.
        on_problem: called with one line for whatever is worth saying: a worker lost, a clock that is off.

    Raises:
        UsageError: the address is none; the recording cannot be created.
        ChatappError: the cluster cannot be used, or a worker cannot measure at all.
    """
    say = on_problem or (lambda _line: None)
    stop = asyncio.Event()
    runs: list[Run] = []
    try:
        async with open_workforce(address) as workforce:
            with ExitStack() as stack:
                stack.enter_context(stopping_on_interrupt(stop))
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatapp-bench-")))
                members = await workforce.muster()
                remark_clocks(members, say)
                sources: list[Source] = []
                for index, load in enumerate(plan.loads):
                    if stop.is_set() or not members:
                        break
                    if index:
                        await asyncio.sleep(plan.cooldown_s)
                        members = await still_there(workforce, members, say)
                    level = Level(workforce, plan, target, load, f"{plan.run_id}-{index}", stop, on_progress, say)
                    runs.append(await level.run(members))
                    if plan.record is not None:
                        sources += await level.fetch(folder)
                    if on_level is not None:
                        on_level(runs[-1])
                    members = [member for member in members if member.address not in level.lost]
                if plan.record is not None:
                    title = f"bench of {plan.backend.info.label}"
                    await asyncio.to_thread(combine, plan.record, sources, title=title, on_problem=say)
    finally:
        await plan.backend.aclose()
    if not runs:
        raise ChatappError("every worker was lost before anything was measured")
    return runs


class Level:
    """One level of load on its way through the cluster."""

    def __init__(
        self,
        workforce: Workforce,
        plan: Plan,
        target: Target,
        load: Load,
        run: str,
        stop: asyncio.Event,
        on_progress: Callable[[Progress | None], None] | None,
        say: Callable[[str], None],
    ) -> None:
        self._workforce = workforce
        self._plan = plan
        self._target = target
        self._load = load
        self._run = run
        self._stop = stop
        self._on_progress = on_progress
        self._say = say
        self._identity = ""
        self._members: list[Member] = []
        self._loads: tuple[Load, ...] = ()
        self._futures: dict[str, Any] = {}
        self._waits: dict[str, asyncio.Task[bytes]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._begin_ns = 0
        self.lost: set[str] = set()
        """Addresses of workers that are gone."""

    async def run(self, members: Sequence[Member]) -> Run:
        """Measure; where a worker is lost before the start, its share is divided among the others.

        Raises:
            ChatappError: a worker cannot measure at all, or none is left.
        """
        while True:
            present = [member for member in members if member.address not in self.lost]
            if not present:
                raise ChatappError("every worker was lost before the start")
            try:
                self._submit(present)
                if await self._until_ready():
                    break
                await self._finish()
                if self._stop.is_set():
                    break
            finally:
                await self._clear()
            await self._discard()
            self._say("a worker was lost before the start: its share is divided among the others")
        return self._united()

    # ------------------------------------------------------------------ before the start

    def _submit(self, members: list[Member]) -> None:
        self._loads = divide(self._load, len(members))
        self._members = members[: len(self._loads)]
        self._identity = f"{self._run}-{secrets.token_hex(4)}"
        self._outcomes = {}
        count = len(self._loads)
        budget = self._plan.budget
        for number, (member, load) in enumerate(zip(self._members, self._loads, strict=True)):
            part = Share(
                identity=self._identity,
                backend=self._target.backend,
                base_url=self._target.base_url,
                model=self._target.model,
                workload=self._plan.workload,
                load=load,
                run=f"{self._run}-{number}",
                budget=Budget(
                    None if budget.usd is None else budget.usd / count,
                    None if budget.tokens is None else max(1, budget.tokens // count),
                ),
                price=self._plan.price,
                record=self._plan.record is not None,
            )
            future = self._workforce.client.submit(
                share.measure,
                msgspec.msgpack.encode(part),
                key=f"chatapp-bench-{self._identity}-{number}",
                workers=[member.address],
                allow_other_workers=False,
                retries=0,
                pure=False,
            )
            self._futures[member.address] = future
            self._waits[member.address] = asyncio.create_task(_result(future))

    async def _until_ready(self) -> bool:
        """Wait until all have warmed up, then let all begin; False where one was lost, or all are to stop."""
        if self._on_progress is not None:
            self._on_progress(None)
        while not self._stop.is_set():
            states = await self._look()
            if self.lost & self._futures.keys():
                return False
            failed = [member for member in self._members if self._outcomes.get(member.address, Outcome()).error]
            if failed:
                outcome = self._outcomes[failed[0].address]
                raise ChatappError(f"{failed[0].name} at {failed[0].address}: {outcome.error}", hint=outcome.hint)
            if len(states) == len(self._members) and all(state.ready for state in states.values()):
                await self._begin()
                await self._finish()
                return True
            await asyncio.sleep(PROGRESS_S / 2)
        return False

    async def _begin(self) -> None:
        slowest = max(member.error_ns for member in self._members)
        self._begin_ns = MonotonicClock().now_ns() + LEAD_NS + 4 * slowest * len(self._members)
        answers = await asyncio.gather(
            *(
                self._workforce.ask(
                    share.start,
                    self._identity,
                    self._begin_ns + delay_ns(self._load, number) + member.offset_ns,
                    member=member,
                )
                for number, member in enumerate(self._members)
            )
        )
        for member, answer in zip(self._members, answers, strict=True):
            if isinstance(answer, Exception):  # it would wait for ever
                self._lose(member.address)

    # ------------------------------------------------------------------ while it runs

    async def _look(self) -> dict[str, State]:
        """Take up what has ended and who is gone; return how the others stand."""
        for address, wait in list(self._waits.items()):
            if wait.done():
                self._take(address, wait)
        found = await self._workforce.look(share.look, self._identity)
        states: dict[str, State] = {}
        for address in self._waits if found is not None else ():
            answer = found.get(address) if found is not None else None
            if isinstance(answer, bytes):
                states[address] = msgspec.msgpack.decode(answer, type=State)
            elif answer is None or isinstance(answer, OSError):
                self._lose(address)
        for address in self.lost & self._waits.keys():
            await self._drop(address)
        return states

    def _take(self, address: str, wait: asyncio.Task[bytes]) -> None:
        del self._waits[address]
        error = None if wait.cancelled() else wait.exception()
        if wait.cancelled() or error is not None:
            self._lose(address)
        else:
            self._outcomes[address] = msgspec.msgpack.decode(wait.result(), type=Outcome)

    def _lose(self, address: str) -> None:
        if address in self.lost or address in self._outcomes:
            return
        self.lost.add(address)
        member = next(member for member in self._members if member.address == address)
        self._say(f"{member.name} at {address} was lost")

    async def _drop(self, address: str) -> None:
        wait = self._waits.pop(address)
        wait.cancel()
        await asyncio.wait({wait})
        await self._futures[address].cancel(force=True)

    async def _finish(self) -> None:
        """Watch until all have ended or are lost; pass a wish to stop on."""
        told = False
        end_s = 0.0
        loop = asyncio.get_running_loop()
        while self._waits:
            states = await self._look()
            self._show(states)
            if not told and (self._stop.is_set() or not self._begin_ns):
                told, end_s = True, loop.time() + STOP_S
                await asyncio.gather(
                    *(
                        self._workforce.ask(share.stop, self._identity, member=member)
                        for member in self._members
                        if member.address in self._waits
                    )
                )
            if told and loop.time() > end_s:
                for address in list(self._waits):
                    self._lose(address)
                    await self._drop(address)
            if self._waits:
                await asyncio.wait(self._waits.values(), timeout=PROGRESS_S, return_when=asyncio.FIRST_COMPLETED)

    def _show(self, states: dict[str, State]) -> None:
        if self._on_progress is None or not self._begin_ns:
            return
        ended = [outcome.run for outcome in self._outcomes.values() if outcome.run is not None]
        now = [state.progress for state in states.values() if state.progress is not None]
        speeds = [one.characters_per_s for one in now if one.characters_per_s is not None]
        self._on_progress(
            Progress(
                load=self._load,
                elapsed_s=max(0.0, (MonotonicClock().now_ns() - self._begin_ns) / NS_PER_S),
                done=sum(one.done for one in now) + sum(len(run.responses) for run in ended),
                errors=sum(one.errors for one in now) + sum(len(run.responses) - len(run.good) for run in ended),
                running=sum(one.running for one in now),
                ttft_ms=next((one.ttft_ms for one in now if one.ttft_ms is not None), None),
                characters_per_s=sum(speeds) if speeds else None,
            )
        )

    async def _clear(self) -> None:
        """Leave nothing behind in the scheduler, nor a share that nobody waits for."""
        for address in list(self._waits):
            member = next(member for member in self._members if member.address == address)
            await self._workforce.ask(share.stop, self._identity, member=member)
            await self._drop(address)
        for future in self._futures.values():
            future.release()
        self._futures.clear()

    async def _discard(self) -> None:
        """Remove the recordings of a start that came to nothing."""
        for member in self._members:
            outcome = self._outcomes.get(member.address)
            if outcome is not None and outcome.recording:
                await self._workforce.ask(share.remove, outcome.recording, member=member)

    # ------------------------------------------------------------------ afterwards

    def _united(self) -> Run:
        measured: list[Measured] = []
        missing: list[str] = []
        for number, (member, load) in enumerate(zip(self._members, self._loads, strict=True)):
            outcome = self._outcomes.get(member.address, Outcome())
            late_ns = outcome.begun_ns - member.offset_ns - self._begin_ns if outcome.run and self._begin_ns else 0
            if outcome.error:
                missing.append(f"{member.name} at {member.address}: {outcome.error}")
            elif outcome.run is None:
                of = f" of about {load.requests} requests" if load.requests else ""
                missing.append(f"{member.name} at {member.address} was lost: its share{of} is missing")
            if outcome.problem:
                self._say(f"{member.name}: {outcome.problem}")
            part = Part(
                worker=member.name,
                address=member.address,
                host=member.host,
                requests=len(outcome.run.responses) if outcome.run else 0,
                clock_offset_ms=member.offset_ns / NS_PER_MS,
                clock_error_ms=member.error_ns / NS_PER_MS,
                wall_offset_s=member.wall_offset_s,
                start_late_ms=(late_ns - delay_ns(self._load, number)) / NS_PER_MS if outcome.run else None,
                health=outcome.run.health if outcome.run else None,
                lost=outcome.run is None,
            )
            measured.append(Measured(part=part, run=outcome.run, begun_ns=late_ns))
        partial = "; ".join(missing) or ("interrupted" if self._stop.is_set() else None)
        return unite(self._load, self._plan.backend.info, measured, partial=partial)

    async def fetch(self, folder: Path) -> list[Source]:
        """Bring the workers' recordings here, piece by piece."""
        sources: list[Source] = []
        for member in self._members:
            outcome = self._outcomes.get(member.address)
            if outcome is None or not outcome.recording:
                continue
            path = folder / f"{self._identity}-{member.name}.tokcast"
            with path.open("wb") as file:
                while True:
                    piece = await self._workforce.ask(share.read_piece, outcome.recording, file.tell(), member=member)
                    if not isinstance(piece, bytes):
                        self._say(f"{member.name}: its recording could not be fetched; {file.tell()} bytes are kept")
                        break
                    if not piece:
                        await self._workforce.ask(share.remove, outcome.recording, member=member)
                        break
                    file.write(piece)
            if path.stat().st_size:
                sources.append(Source(path, member.name, outcome.recorded_ns - member.offset_ns))
        return sources


async def _result(future: Any) -> bytes:
    data: bytes = await future.result()
    return data
