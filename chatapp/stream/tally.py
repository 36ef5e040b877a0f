"""The running token count of one answer, and the pace that follows from it.

Two counts run side by side: the source's own, chunk by chunk, where it states them (simulations, recordings, servers
with continuous usage), and the common tokenizer's, for every answer. The first that is complete drives live speed.
"""

from __future__ import annotations

from collections.abc import Sequence

from chatapp.stream.counts import TokenCounts, reconcile
from chatapp.stream.events import Usage
from chatapp.stream.pace import Pace
from chatapp.stream.timeline import ANSWER, REASONING, Timeline
from chatapp.stream.tokens import Encoding, TokenAttribution


class Tally:
    """Counts the tokens of a timeline's rows.

    Args:
        timeline: the arrivals; the tally fills its `common` column.
        encoding: the common tokenizer; by default the shared offline one.
    """

    def __init__(self, timeline: Timeline, encoding: Encoding | None = None) -> None:
        self._timeline = timeline
        self._texts = tuple(TokenAttribution(timeline, code, encoding) for code in (ANSWER, REASONING))
        self._channel = ANSWER
        self._stated = [0, 0]
        self._stated_rows = 0
        self._paced_by_source = False
        self._settled = 0
        self.pace = Pace(timeline.at_ns)

    def feed_text(self, text: str, channel: int) -> None:
        """Take text whose arrivals are in the timeline already; no token spans a change of channel."""
        if channel != self._channel:
            self._texts[self._channel].cut()
            self._channel = channel
        self._texts[channel].feed(text)

    def feed_stated(self, tokens: int, channel: int) -> None:
        """Take the source's own count of the timeline's last row."""
        self._stated[channel] += tokens
        self._stated_rows += 1

    def finish(self) -> None:
        """Say that no more text comes."""
        for text in self._texts:
            text.cut()

    @property
    def stated(self) -> bool:
        """Whether the source counts its own chunks: nearly all rows, since one may hold only part of a character."""
        return self._stated_rows > 0 and self._stated_rows * 10 >= len(self._timeline) * 9

    @property
    def column(self) -> Sequence[int]:
        """Tokens of each row, by the count that drives the figures."""
        return self._timeline.tokens if self.stated else self._timeline.common

    @property
    def common(self) -> int:
        """All tokens by the common tokenizer."""
        return sum(text.count for text in self._texts)

    @property
    def total(self) -> int:
        """All tokens by the count that drives the figures."""
        return sum(self._seen())

    def _seen(self) -> tuple[int, int]:
        answer, reasoning = self._stated if self.stated else (text.count for text in self._texts)
        return answer, reasoning

    def update(self, usage: Usage | None) -> TokenCounts:
        """Count what has arrived since the last time, bring the pace up to date, and reconcile with usage."""
        rows = len(self._timeline)
        settled = min(text.advance() for text in self._texts)
        if self.stated:
            settled = rows
        if self.stated != self._paced_by_source:
            self.pace = Pace(self._timeline.at_ns)
            self._paced_by_source = self.stated
            self._settled = 0
        if rows == self._timeline.capacity:
            settled = min(settled, rows - 1)  # the last row of a full timeline goes on growing
        self.pace.truncate(self._settled)
        self.pace.extend(self.column[self._settled : rows])
        self.pace.settle(settled)
        self._settled = settled
        answer, reasoning = self._seen()
        return reconcile(answer, reasoning, usage, stated=self.stated, common=self.common)

    def scaled(self, counts: TokenCounts) -> list[float]:
        """Return k_i of every row, scaled so that they sum to the stated total."""
        scales = (counts.scale_answer, counts.scale_reasoning)
        if scales == (1.0, 1.0):
            return list(self.column)
        return [tokens * scales[code] for tokens, code in zip(self.column, self._timeline.channel, strict=True)]

    def scale(self, counts: TokenCounts) -> float:
        """Return scaled tokens over counted ones, of all text."""
        answer, reasoning = self._seen()
        seen = answer + reasoning
        return (answer * counts.scale_answer + reasoning * counts.scale_reasoning) / seen if seen else 1.0
