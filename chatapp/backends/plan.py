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
    """An answer with its schedule. Parts are worked out as they are asked for: nobody waits for the last of them."""

    pieces: tuple[TaggedPiece, ...]
    pace: Pace
    seed: str
    input_tokens: int
    reason: FinishReason
    notices: tuple[Notice, ...]

    def iterate(self) -> Iterator[Part]:
        """Yield the scheduled deltas in their order; the same ones every time."""
        return spread(self.pieces, self.pace, seed=self.seed)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All scheduled deltas."""
        return tuple(self.iterate())

    @property
    def output_tokens(self) -> int:
        """Tokens of reasoning and answer."""
        return sum(piece.tokens for _channel, piece in self.pieces)

    @property
    def usage(self) -> Usage:
        """What a server would say that it counted."""
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            reasoning_tokens=sum(piece.tokens for channel, piece in self.pieces if channel == "reasoning"),
        )

    def closing(self, at_ns: int, last: Part | None) -> tuple[Event, ...]:
        """Return the events after the last delta: usage, the model's own timing, the end."""
        pace = self.pace
        decode_s = max(0.0, last.offset_ns / NS_PER_S - pace.ttft_s) if last else 0.0
        timing = ServerTiming(
            source="simulation",
            queue_s=pace.queue_s,
            prefill_s=pace.prefill_s,
            decode_s=decode_s,
            total_s=pace.queue_s + pace.prefill_s + decode_s,
            prefill_tps=self.input_tokens / pace.prefill_s if pace.prefill_s > 0 else None,
            decode_tps=(self.output_tokens - 1) / decode_s if decode_s > 0 else None,
        )
        return (self.usage, timing, Finished(at_ns=at_ns, reason=self.reason))


def limit(pieces: Sequence[TaggedPiece], most: int) -> tuple[tuple[TaggedPiece, ...], FinishReason]:
    """Cut an answer to a number of tokens, reasoning included, as the Responses API counts."""
    used = 0
    for i, (_channel, piece) in enumerate(pieces):
        if used + piece.tokens > most:
            return tuple(pieces[:i]), "length"
        used += piece.tokens
    return tuple(pieces), "stop"


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
