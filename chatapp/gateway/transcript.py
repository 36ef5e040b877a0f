"""What has come of an answer, kept small and cheap until its figures are asked for.

An `Answer` counts as it goes, 1.5 us a delta: nothing for a screen with four streams, a third of the gateway's whole
cost with a thousand. So text and arrivals are only kept here, and counted in a thread when the answer has ended.
"""

from __future__ import annotations

from array import array

from chatapp.stream.answer import Answer
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Channel,
    Delta,
    Failed,
    Finished,
    Notice,
    Sent,
    ServerTiming,
    Usage,
)

JOIN_EVERY = 64
"""Parts after which they are joined: a short string of Python's costs ten times its characters."""

COLUMNS = 4
"""Of one arrival: time, characters, tokens, uncertainty; 8 bytes each."""


class Run:
    """Text of one channel, with its arrivals in 32 bytes each."""

    __slots__ = ("_parts", "_recent", "arrivals", "channel")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.arrivals = array("q")
        self._parts: list[str] = []
        self._recent: list[str] = []

    def add(self, delta: Delta, *, longest: int = 1 << 62) -> None:
        """Take more of it. A chunk longer than `longest` becomes several that arrived at one time."""
        text = delta.text
        recent = self._recent
        recent.append(text)
        if len(recent) >= JOIN_EVERY:
            self._parts.append("".join(recent))
            recent.clear()
        rows = self.arrivals
        if not delta.arrivals and len(text) <= longest:
            rows.extend((delta.at_ns, len(text), delta.tokens, delta.uncertainty_ns))
            return
        for arrival in arrivals_of(delta):
            length, tokens = arrival.characters, arrival.tokens
            while length > longest:
                rows.extend((arrival.at_ns, longest, tokens, arrival.uncertainty_ns))
                length, tokens = length - longest, 0
            rows.extend((arrival.at_ns, length, tokens, arrival.uncertainty_ns))

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._parts) + "".join(self._recent)

    def keep(self, text: str, arrivals: array[int]) -> None:
        """Keep only this of it."""
        self.arrivals = arrivals
        self._parts = [text] if text else []
        self._recent = []


def arrivals_of(delta: Delta) -> tuple[Arrival, ...]:
    """Return the arrivals in a delta, one where it is a single chunk."""
    return delta.arrivals or (Arrival(delta.at_ns, len(delta.text), delta.tokens, delta.uncertainty_ns),)


class Transcript:
    """One answer while it is relayed.

    Args:
        info: what answers.
    """

    def __init__(self, info: BackendInfo) -> None:
        self.end: Finished | Failed | None = None
        self._answer = Answer(info)
        self._runs: list[Run] = []

    @property
    def usage(self) -> Usage | None:
        """The server's own count, as far as it has come."""
        return self._answer.usage

    @property
    def server_timing(self) -> ServerTiming | None:
        """What the provider says of its own speed."""
        return self._answer.server_timing

    @property
    def text(self) -> str:
        """The answer's text, reasoning left out."""
        return self._answer.text + "".join(run.text for run in self._runs if run.channel == "answer")

    @property
    def is_whole(self) -> bool:
        """Whether the answer ended as it should, so that it can be continued."""
        return isinstance(self.end, Finished) and self.end.reason in ("stop", "length")

    def add(self, delta: Delta) -> None:
        """Take text."""
        if not self._runs or self._runs[-1].channel != delta.channel:
            self._runs.append(Run(delta.channel))
        self._runs[-1].add(delta)

    def note(self, event: Notice | Sent | Usage | ServerTiming | Finished | Failed) -> None:
        """Take what is no text."""
        if isinstance(event, (Finished, Failed)):
            self.end = self.end or event
        else:
            self._answer.feed(event)

    def settle(self) -> Answer:
        """Return the answer with everything counted: milliseconds for a long one."""
        answer, runs = self._answer, self._runs
        self._runs = []
        for run in runs:
            rows = run.arrivals
            columns = (rows[at::COLUMNS] for at in range(COLUMNS))
            arrivals = tuple(Arrival(*row) for row in zip(*columns, strict=True))
            answer.feed(Delta(run.text, arrivals[-1].at_ns, run.channel, arrivals=arrivals))
        if self.end is not None and answer.outcome is None:
            answer.feed(self.end)
        return answer
