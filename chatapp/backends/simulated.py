"""`sim:SYSTEM[xN]/MODEL`: text from the conversation or the bundled library, timing from the hardware model.

It never pretends to have answered. It tells either a text it was given (a real answer to the same prompt, at its own
pace) or the nearest bundled answer under that answer's own title, or says that none fits.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Literal

from chatapp.backends.library import MATCH_THRESHOLD, Library, LibraryEntry, load_library
from chatapp.backends.pieces import Piece, count_tokens, cut
from chatapp.clock import NS_PER_S, Clock
from chatapp.config import Settings
from chatapp.hardware.constant import MODELS, SYSTEMS, THINKING, constant_pace
from chatapp.hardware.names import SimulationName, parse_name
from chatapp.hardware.schedule import Pace, emissions
from chatapp.stream.events import (
    BackendInfo,
    Channel,
    Delta,
    Event,
    Finished,
    FinishReason,
    Notice,
    Request,
    Sent,
    ServerTiming,
    Usage,
)
from chatapp.timer import PreciseClock

PaceSource = Literal["model", "claimed"]


@dataclass(frozen=True, slots=True)
class Part:
    """One scheduled delta."""

    offset_ns: int
    """Since `Sent`."""
    channel: Channel
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Telling:
    """What a simulated answer will say, and why that text."""

    answer: str
    reasoning: str
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole simulated answer before it is told: every delta with its scheduled time."""

    notices: tuple[Notice, ...]
    parts: tuple[Part, ...]
    usage: Usage
    timing: ServerTiming
    reason: FinishReason


class SimulatedBackend:
    """A backend whose timing is computed. Deterministic with a seed.

    Args:
        name: what is simulated.
        settings: gives the default seed and whether models that think show a reasoning phase.
        seed: of the jitter and of speculative bursts; None takes the settings'.
        clock: None makes a precise one for each answer.
    """

    def __init__(
        self, name: SimulationName, settings: Settings, *, seed: int | None = None, clock: Clock | None = None
    ) -> None:
        self.name = name
        self._settings = settings
        self._seed = settings.seed if seed is None else seed
        self._clock = clock
        self.pace(1)  # fails here, before any answer, where system or model is unknown
        self.info = describe(name)

    def pace(self, input_tokens: int) -> Pace:
        """Return how this system answers a prompt of that length."""
        return constant_pace(self.name, input_tokens)

    def plan(self, request: Request) -> Plan:
        """Return the answer to a request with the scheduled time of every delta."""
        telling = tell(request, load_library(), system=self.info.label)
        thinks = self.name.model in THINKING and self._settings.sim_reasoning and request.reasoning_effort != "none"
        pieces: list[tuple[Channel, Piece]] = []
        if thinks:
            pieces += [("reasoning", piece) for piece in cut(telling.reasoning)]
        pieces += [("answer", piece) for piece in cut(telling.answer)]
        pieces, reason = limit(pieces, request.max_output_tokens)
        input_tokens = count_input(request)
        output_tokens = sum(piece.tokens for _channel, piece in pieces)
        pace = self.pace(input_tokens)
        seed = self._seed if request.seed is None else request.seed
        parts = tuple(spread(pieces, pace, seed=f"{seed} {self.name} {_digest(request.prompt)}"))
        end_ns = parts[-1].offset_ns if parts else round(pace.ttft_s * NS_PER_S)
        decode_s = max(0.0, end_ns / NS_PER_S - pace.ttft_s)
        return Plan(
            notices=telling.notices,
            parts=parts,
            usage=Usage(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                reasoning_tokens=sum(piece.tokens for channel, piece in pieces if channel == "reasoning"),
            ),
            timing=ServerTiming(
                source="simulation",
                queue_s=pace.queue_s,
                prefill_s=pace.prefill_s,
                decode_s=decode_s,
                total_s=pace.queue_s + pace.prefill_s + decode_s,
                prefill_tps=input_tokens / pace.prefill_s if pace.prefill_s > 0 else None,
                decode_tps=(output_tokens - parts[0].tokens) / decode_s if parts and decode_s > 0 else None,
            ),
            reason=reason,
        )

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the planned answer, each delta at its deadline and stamped when it really left."""
        plan = self.plan(request)
        for notice in plan.notices:
            yield notice
        clock = self._clock or PreciseClock()
        try:
            start_ns = clock.now_ns()
            yield Sent(at_ns=start_ns, source="schedule", reused=True)
            for part in plan.parts:
                deadline_ns = start_ns + part.offset_ns
                if clock.now_ns() < deadline_ns:
                    await clock.sleep_until(deadline_ns)
                yield Delta(text=part.text, at_ns=clock.now_ns(), channel=part.channel, tokens=part.tokens)
            yield plan.usage
            yield plan.timing
            yield Finished(at_ns=clock.now_ns(), reason=plan.reason)
        finally:
            if isinstance(clock, PreciseClock) and clock is not self._clock:
                clock.close()

    async def warm(self) -> None:
        """Load the library and the vocabulary, which the first answer would otherwise wait for."""
        load_library()
        count_tokens("warm")

    async def aclose(self) -> None:
        """Hold nothing open, so release nothing."""


def open_simulated(
    name: str,
    settings: Settings,
    *,
    seed: int | None = None,
    pace: PaceSource = "model",
    load: int = 1,
    clock: Clock | None = None,
) -> SimulatedBackend:
    """Open `sim:SYSTEM[xN]/MODEL`.

    Raises:
        UsageError: the name has another form, the system or the model is unknown, or the count is absurd.
    """
    return SimulatedBackend(parse_name(name), settings, seed=seed, clock=clock)


LISTED = (
    "cs3/kimi-k2.6",
    "cs2/kimi-k2.6",
    "b200x8/kimi-k2.6",
    "h200x8/kimi-k2.6",
    "h100x16/kimi-k2.6",
    "h100x8/gpt-3-175b",
)


def listings() -> list[BackendInfo]:
    """Return the simulated backends that a switcher offers; every other system and model can be typed."""
    return [describe(parse_name(name)) for name in LISTED]


def describe(name: SimulationName) -> BackendInfo:
    """Return what a viewer must know of a simulated backend."""
    count = f"{name.system.count} × " if name.system.count and name.system.count > 1 else ""
    return BackendInfo(
        name=str(name),
        label=f"{count}{SYSTEMS.get(name.system.system, name.system.system)} · {MODELS.get(name.model, name.model)}",
        kind="simulated",
        provider="simulated",
        model=name.model,
        note="simulated: timing from a model, text from the bundled library",
    )


def tell(request: Request, library: Library, *, system: str) -> Telling:
    """Choose the text: the one to retell, else the nearest bundled answer, else an honest word that none fits."""
    if request.retell is not None:
        notice = Notice("text_source", f"text: {request.retell.source}, timing: simulated {system}")
        return Telling(request.retell.text, request.retell.reasoning, (notice,))
    best = next(iter(library.search(request.prompt, limit=1)), None)
    if best is not None and best.fits:
        notice = Notice(
            "text_source",
            f"text: the bundled answer “{best.entry.title}” (match {best.score:.2f}), timing: simulated {system}",
        )
        return Telling(best.entry.text, best.entry.reasoning, (notice,))
    score = f"the nearest matches {best.score:.2f}" if best else "there is nothing to match"
    notice = Notice("no_match", f"no bundled answer fits this prompt ({score}, {MATCH_THRESHOLD:.2f} is needed)")
    return Telling(_no_match_text(library.starters), "", (notice,))


def _no_match_text(starters: Iterable[LibraryEntry]) -> str:
    offers = "".join(f"{entry.starter}. {_question(entry)}\n" for entry in starters)
    return (
        "This backend is simulated: only its timing is computed, and its texts come from a bundled library. "
        "No text there fits your prompt, so there is no answer to show.\n\n"
        + (f"These prompts have one:\n\n{offers}\n" if offers else "")
        + "Or ask a real backend (`local`, or a provider), and have this system retell that answer at its own pace.\n"
    )


def _question(entry: LibraryEntry) -> str:
    return entry.prompts[0] if entry.prompts else entry.title


def limit(
    pieces: list[tuple[Channel, Piece]], max_output_tokens: int | None
) -> tuple[list[tuple[Channel, Piece]], FinishReason]:
    """Cut the answer to a number of tokens, reasoning included, as the Responses API counts."""
    if max_output_tokens is None:
        return pieces, "stop"
    used = 0
    for i, (_channel, piece) in enumerate(pieces):
        if used + piece.tokens > max_output_tokens:
            return pieces[:i], "length"
        used += piece.tokens
    return pieces, "stop"


def spread(pieces: list[tuple[Channel, Piece]], pace: Pace, *, seed: str) -> Iterable[Part]:
    """Lay pieces onto the schedule: each step of the model sends what its tokens complete."""
    total = sum(piece.tokens for _channel, piece in pieces)
    position = budget = 0
    for emission in emissions(pace, total, seed=seed):
        budget += emission.tokens
        while position < len(pieces) and pieces[position][1].tokens <= budget:
            channel = pieces[position][0]
            text: list[str] = []
            tokens = 0
            while position < len(pieces) and pieces[position][0] == channel:
                piece = pieces[position][1]
                if piece.tokens > budget:
                    break
                text.append(piece.text)
                tokens += piece.tokens
                budget -= piece.tokens
                position += 1
            yield Part(emission.offset_ns, channel, "".join(text), tokens)


def count_input(request: Request) -> int:
    """Return the prompt's tokens: instructions and every message of the conversation."""
    texts = [request.instructions or "", *(message.content for message in request.messages)]
    return max(1, sum(count_tokens(text) for text in texts))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
