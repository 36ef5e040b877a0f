"""`sim:SYSTEM[xN]/MODEL`: text from the conversation or the bundled library, timing from the hardware model.

It never pretends to have answered. It tells either a text it was given (a real answer to the same prompt, at its own
pace) or the nearest bundled answer under that answer's own title, or says that none fits.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Literal, get_args

from chatapp.backends.library import load_library
from chatapp.backends.pieces import cut
from chatapp.backends.plan import Part, Plan, TaggedPiece, limit
from chatapp.backends.telling import tell
from chatapp.clock import Clock
from chatapp.config import Settings
from chatapp.errors import ChatappError, UnknownNameError, UsageError
from chatapp.hardware.explain import detail_of
from chatapp.hardware.models import Model
from chatapp.hardware.names import SimulationName, parse_name
from chatapp.hardware.pacing import claimed_pace, pace_of
from chatapp.hardware.predict import Prediction, predict
from chatapp.hardware.schedule import Pace
from chatapp.stream.events import BackendInfo, Delta, Event, Failed, Notice, Request, Sent
from chatapp.stream.tokens import count_tokens
from chatapp.timer import PreciseClock

PaceSource = Literal["model", "claimed"]

_USUAL = 500
"""Tokens of input and of output for which a backend describes itself before it knows a request."""


class SimulatedBackend:
    """A backend whose timing is computed. Deterministic with a seed.

    Args:
        name: what is simulated.
        settings: gives the default seed and whether models that think show a reasoning phase.
        seed: of the jitter and of speculative bursts; None takes the settings'.
        pace: `model`, or `claimed` to play a vendor's published figure back.
        load: requests in flight on the system, this one included.
        clock: None makes a precise one for each answer.

    Raises:
        UsageError: system or model is unknown, the model does not fit, or nothing is claimed for it.
    """

    def __init__(
        self,
        name: SimulationName,
        settings: Settings,
        *,
        seed: int | None = None,
        pace: PaceSource = "model",
        load: int = 1,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._seed = settings.seed if seed is None else seed
        self._source = pace
        self._load = load
        self._clock = clock
        self._usual = self.predict(_USUAL, _USUAL)
        self._pace(self._usual)  # fails here, before any answer, where nothing is claimed
        self.info = describe(name, self._usual, pace)

    def predict(self, input_tokens: int, output_tokens: int) -> Prediction:
        """Return what the model says of a request of that size."""
        return predict(
            self.name.system,
            self.name.model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            batch=self._load,
        )

    def _pace(self, prediction: Prediction) -> Pace:
        return claimed_pace(prediction) if self._source == "claimed" else pace_of(prediction)

    def plan(self, request: Request) -> Plan:
        """Return the answer to a request with the scheduled time of every delta.

        Raises:
            UsageError: the conversation is beyond the model's window.
        """
        model = self._usual.setup.model
        telling = tell(request, load_library(), timing=self._timing())
        thinks = model.thinks and self._settings.sim_reasoning and request.reasoning_effort != "none"
        pieces: list[TaggedPiece] = [("reasoning", piece) for piece in cut(telling.reasoning)] if thinks else []
        pieces += [("answer", piece) for piece in cut(telling.answer)]
        input_tokens = count_input(request)
        room = model.context - input_tokens
        if room < 1:
            raise UsageError(
                f"the conversation has {input_tokens:,} tokens, the window of {model.label} {model.context:,}",
                hint="begin a new conversation, or choose a model with a larger window",
            )
        most = room if request.max_output_tokens is None else min(room, request.max_output_tokens)
        kept, reason = limit(pieces, most)
        output_tokens = max(1, sum(piece.tokens for _channel, piece in kept))
        notices = telling.notices
        if thinks and telling.reasoning_is_bundled:
            thought = sum(piece.tokens for channel, piece in kept if channel == "reasoning")
            notices = tuple(_with_length_of_reasoning(notice, thought, model) for notice in notices)
        seed = self._seed if request.seed is None else request.seed
        return Plan(
            pieces=kept,
            pace=self._pace(self.predict(input_tokens, output_tokens)),
            seed=f"{seed} {self.name} {_digest(request.prompt)}",
            input_tokens=input_tokens,
            reason=reason,
            notices=notices,
        )

    def _timing(self) -> str:
        """Return what a reader is told of the timing: "simulated CS-3", how many, how busy, and whose figure it is."""
        usual = self._usual
        chips = usual.setup.chips
        parts = [f"× {chips}{'' if usual.counted else SMALLEST}"] if chips > 1 else []
        parts += [f"{self._load:,} users at once"] if self._load > 1 else []
        said = f"simulated {usual.setup.system.label}" + (f" ({'; '.join(parts)})" if parts else "")
        return f"{said}, {PLAYED_BACK}" if self._source == "claimed" else said

    def schedule(self, request: Request) -> list[Event]:
        """Return the events of an answer as scheduled, its `Sent` at 0.

        Raises:
            UsageError: the conversation is beyond the model's window.
        """
        plan = self.plan(request)
        parts = plan.parts
        last = parts[-1] if parts else None
        deltas = [Delta(part.text, part.offset_ns, part.channel, part.tokens) for part in parts]
        closing = plan.closing(last.offset_ns if last else 0, last)
        return [*plan.notices, Sent(at_ns=0, source="schedule", reused=True), *deltas, *closing]

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the planned answer, each delta at its deadline and stamped when it really left."""
        clock = self._clock or PreciseClock()
        try:
            try:
                plan = self.plan(request)
            except ChatappError as exc:
                yield Failed(at_ns=clock.now_ns(), code="bad_request", message=exc.message, hint=exc.hint)
                return
            for notice in plan.notices:
                yield notice
            await asyncio.sleep(0)  # answers asked for at one moment are all planned before the first of them starts
            start_ns = clock.now_ns()
            yield Sent(at_ns=start_ns, source="process", reused=True)
            last: Part | None = None
            for part in plan.iterate():
                deadline_ns = start_ns + part.offset_ns
                if clock.now_ns() < deadline_ns:
                    await clock.sleep_until(deadline_ns)
                at_ns = clock.now_ns()
                # What came late because this machine was busy says so: it is not the modelled system that was late.
                late_ns = max(0, at_ns - deadline_ns)
                yield Delta(part.text, at_ns, part.channel, part.tokens, uncertainty_ns=late_ns)
                last = part
            for event in plan.closing(clock.now_ns(), last):
                yield event
        finally:
            if isinstance(clock, PreciseClock) and clock is not self._clock:
                clock.close()

    async def warm(self) -> None:
        """Load the library and the vocabulary, which the first answer would otherwise wait for."""
        load_library()
        count_tokens("warm")

    async def aclose(self) -> None:
        """Hold nothing open, so release nothing."""


SMALLEST = ", the smallest number that holds the model"
PLAYED_BACK = "a vendor's figure played back"


def open_simulated(
    name: str,
    settings: Settings,
    *,
    seed: int | None = None,
    pace: str = "model",
    load: int = 1,
    clock: Clock | None = None,
) -> SimulatedBackend:
    """Open `sim:SYSTEM[xN]/MODEL`.

    Raises:
        UsageError: the name has another form, the system or the model is unknown, the count is absurd, the model does
            not fit, or nothing is claimed that could be played back.
    """
    if pace not in get_args(PaceSource):
        raise UnknownNameError("pace", str(pace), get_args(PaceSource), hint="--pace model, or --pace claimed")
    source: PaceSource = "claimed" if pace == "claimed" else "model"
    return SimulatedBackend(parse_name(name), settings, seed=seed, pace=source, load=load, clock=clock)


LISTED = (
    "cs3/kimi-k2.6",
    "cs2/kimi-k2.6",
    "b200x8/kimi-k2.6",
    "h200x8/kimi-k2.6",
    "h100x16/kimi-k2.6",
    "mi355x/kimi-k2.6",
    "groq-lpu/kimi-k2.6",
    "cs3/gpt-oss-120b",
    "h100x2/gpt-oss-120b",
    "h100/llama-3.1-8b",
    "cs3/gpt-3-175b",
    "h100x8/gpt-3-175b",
)


def listings() -> list[BackendInfo]:
    """Return the simulated backends that a switcher offers; every other system and model can be typed.

    Raises:
        SourceError: a facts file of the user is broken.
    """
    found = []
    for listed in LISTED:
        name = parse_name(listed)
        found.append(describe(name, predict(name.system, name.model, input_tokens=_USUAL, output_tokens=_USUAL)))
    return found


def describe(name: SimulationName, prediction: Prediction, pace: PaceSource = "model") -> BackendInfo:
    """Return what a viewer must know of a simulated backend."""
    setup = prediction.setup
    shown = replace(name.system, count=None if (name.system.count or 1) == 1 else name.system.count)
    count = f"{shown.count} × " if shown.count else ""
    machines = f"{setup.chips} × {setup.system.label}"
    source = PLAYED_BACK if pace == "claimed" else "timing from a model"
    return BackendInfo(
        name=str(name),
        label=f"{count}{setup.system.label} · {setup.model.label}",
        kind="simulated",
        provider="simulated",
        model=setup.model.name,
        note=f"simulated ({machines}): {source}, text from the bundled library",
        detail=detail_of(prediction, claimed=pace == "claimed"),
    )


def _with_length_of_reasoning(notice: Notice, tokens: int, model: Model) -> Notice:
    """Return the notice with how long the bundled reasoning is, and how long a live model thinks.

    The phase between the first token and the answer is as long as its text, and nobody publishes how long that is live.
    """
    live = model.record.facts.get("reasoning_tokens")
    if live is not None and live.low is not None and live.high is not None:
        length = f"{live.low:,.0f} to {live.high:,.0f} live ({live.confidence})"
    else:
        length = "live of unpublished length, often far longer"
    return Notice(notice.kind, f"{notice.message}, reasoning: {tokens:,} bundled tokens, {length}")


def count_input(request: Request) -> int:
    """Return the prompt's tokens: instructions and every message of the conversation."""
    texts = [request.instructions or "", *(message.content for message in request.messages)]
    return max(1, sum(count_tokens(text) for text in texts))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
