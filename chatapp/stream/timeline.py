"""The arrivals of one answer: one row a chunk that carried text, in append-only typed columns.

A row costs about a microsecond to append and 25 bytes to keep, so 100,000 arrivals take 2.5 MB. Rows are only ever
added; what is derived from them (token counts, gaps, speeds) lives elsewhere and can be computed again.
"""

from __future__ import annotations

from array import array

from chatapp.stream.events import Channel

ANSWER = 0
REASONING = 1
CHANNELS: tuple[Channel, Channel] = ("answer", "reasoning")
"""Names of the channel codes, by code."""

CAPACITY = 1_000_000
"""Rows kept of one answer: 25 MB. Ten times what the fastest system writes in an hour of ordinary answers."""

_INT32 = 2**31 - 1
_INT64 = 2**63 - 1


class Timeline:
    """When what arrived, in columns of equal length.

    Stamps never decrease within a timeline: one that does is raised to the stamp before it, its uncertainty widened by
    the difference, and counted in `disorder`. Past `capacity` rows, arrivals are added to the last row and counted in
    `folded`: totals, first and last arrival stay exact, single gaps are lost.

    Attributes:
        at_ns: arrival, nanoseconds of the monotonic clock.
        characters: Unicode code points that arrived.
        tokens: tokens in it as the source counted them; 0 where it did not say.
        common: tokens in it by the common tokenizer; filled in later, when they are counted.
        channel: `ANSWER` or `REASONING`.
        uncertainty_ns: the arrival lies between `at_ns - uncertainty_ns` and `at_ns`.
        disorder: how many stamps lay before their predecessor.
        disorder_ns: the largest such step back.
        folded: arrivals that were added to the last row because the timeline was full.
    """

    __slots__ = (
        "at_ns",
        "capacity",
        "channel",
        "characters",
        "common",
        "disorder",
        "disorder_ns",
        "folded",
        "tokens",
        "uncertainty_ns",
    )

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self.at_ns = array("q")
        self.characters = array("i")
        self.tokens = array("i")
        self.common = array("i")
        self.channel = array("b")
        self.uncertainty_ns = array("i")
        self.capacity = capacity
        self.disorder = 0
        self.disorder_ns = 0
        self.folded = 0

    def __len__(self) -> int:
        return len(self.at_ns)

    def append(
        self, at_ns: int, characters: int, *, tokens: int = 0, channel: int = ANSWER, uncertainty_ns: int = 0
    ) -> None:
        """Add one arrival. Values outside their column's range are clipped to it, never refused."""
        stamps = self.at_ns
        if not -_INT64 <= at_ns <= _INT64:
            at_ns = max(-_INT64, min(at_ns, _INT64))
        if stamps and at_ns < stamps[-1]:
            back = stamps[-1] - at_ns
            self.disorder += 1
            self.disorder_ns = max(self.disorder_ns, back)
            uncertainty_ns += back
            at_ns = stamps[-1]
        if len(stamps) >= self.capacity:
            self.folded += 1
            stamps[-1] = at_ns
            self.characters[-1] = min(self.characters[-1] + characters, _INT32)
            self.tokens[-1] = min(self.tokens[-1] + tokens, _INT32)
            self.uncertainty_ns[-1] = max(0, min(uncertainty_ns, _INT32))
            return
        stamps.append(at_ns)
        self.characters.append(min(characters, _INT32))
        self.tokens.append(min(tokens, _INT32))
        self.common.append(0)
        self.channel.append(channel)
        self.uncertainty_ns.append(max(0, min(uncertainty_ns, _INT32)))

    def first(self) -> int | None:
        """Return the row of the first arrival, if there is one."""
        return 0 if self.at_ns else None

    @property
    def nbytes(self) -> int:
        """Memory the columns' values take, in bytes."""
        columns = (self.at_ns, self.characters, self.tokens, self.common, self.channel, self.uncertainty_ns)
        return sum(len(column) * column.itemsize for column in columns)
