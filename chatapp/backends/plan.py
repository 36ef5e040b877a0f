"""A whole simulated answer before it is told: every delta with its scheduled time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chatapp.backends.pieces import Piece
from chatapp.clock import NS_PER_S
from chatapp.hardware.schedule import Pace, emissions
from chatapp.stream.events import Channel, Event, Finished, FinishReason, Notice, ServerTiming, Usage

TaggedPiece = tuple[Channel, Piece]


@dataclass(frozen=True, slots=True)
class Part:
    """One scheduled delta."""

    offset_ns: int
    """Since the request was sent."""
    channel: Channel
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer with its schedule."""

    notices: tuple[Notice, ...]
    parts: tuple[Part, ...]
    usage: Usage
    timing: ServerTiming
    reason: FinishReason

    def closing(self, at_ns: int) -> tuple[Event, ...]:
        """Return the events after the last delta."""
        return (self.usage, self.timing, Finished(at_ns=at_ns, reason=self.reason))


def make_plan(
    pieces: Sequence[TaggedPiece],
    pace: Pace,
    *,
    seed: str,
    input_tokens: int,
    reason: FinishReason,
    notices: tuple[Notice, ...],
) -> Plan:
    """Lay the pieces of an answer onto the schedule of a pace."""
    parts = tuple(spread(pieces, pace, seed=seed))
    output_tokens = sum(piece.tokens for _channel, piece in pieces)
    end_s = parts[-1].offset_ns / NS_PER_S if parts else pace.ttft_s
    decode_s = max(0.0, end_s - pace.ttft_s)
    return Plan(
        notices=notices,
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
            decode_tps=(output_tokens - parts[0].tokens) / decode_s if decode_s > 0 else None,
        ),
        reason=reason,
    )


def limit(pieces: list[TaggedPiece], most: int) -> tuple[list[TaggedPiece], FinishReason]:
    """Cut an answer to a number of tokens, reasoning included, as the Responses API counts."""
    used = 0
    for i, (_channel, piece) in enumerate(pieces):
        if used + piece.tokens > most:
            return pieces[:i], "length"
        used += piece.tokens
    return pieces, "stop"


def spread(pieces: Sequence[TaggedPiece], pace: Pace, *, seed: str) -> Iterator[Part]:
    """Yield the deltas: each step of the model sends what its tokens complete; reasoning and answer never mix."""
    total = sum(piece.tokens for _channel, piece in pieces)
    position = budget = 0
    for emission in emissions(pace, total, seed=seed):
        budget += emission.tokens
        while position < len(pieces) and pieces[position][1].tokens <= budget:
            channel = pieces[position][0]
            begin = position
            tokens = 0
            while position < len(pieces) and pieces[position][0] == channel and pieces[position][1].tokens <= budget:
                budget -= pieces[position][1].tokens
                tokens += pieces[position][1].tokens
                position += 1
            text = "".join(piece.text for _channel, piece in pieces[begin:position])
            yield Part(emission.offset_ns, channel, text, tokens)
