"""What the gateway tells of itself, to whom it may concern: `chatapp.gateway.metrics`, `chatapp.gateway.otlp`, nobody.

Nothing is told per token. A response is told of when it has ended, with the arrivals that its answer keeps anyway, so
that watching a thousand streams costs what a thousand ends cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from chatapp.stream.answer import Answer
from chatapp.stream.events import Request

NO_TRACE: Mapping[str, str] = MappingProxyType({})


class Ended(NamedTuple):
    """A response that has ended, however it did."""

    response_id: str
    conversation_id: str
    """The first response's id of the conversation that it continues."""
    request: Request
    answer: Answer
    """With all its arrivals, on CLOCK_MONOTONIC."""
    begun_ns: int
    """When the gateway began with it; the request to the backend left later, or never."""
    address: tuple[str, int] | None = None
    """Host and port of the server that was asked, where one was."""
    asked: str = ""
    """The backend that a fallback answers for."""
    asked_code: str = ""
    """How that one failed."""
    trace: Mapping[str, str] = NO_TRACE
    """The client's W3C trace context: the headers `traceparent` and `tracestate` of its opening request."""


class Meter(Protocol):
    """What the gateway reports to."""

    @property
    def reads_answers(self) -> bool:
        """Whether `ended` is to be called: to settle an answer costs milliseconds where it is long."""

    def ended(self, ended: Ended) -> None:
        """A response has ended. Called in a thread, never in the event loop's."""

    def refused(self, code: str) -> None:
        """A request was refused before any backend was asked."""

    def fell_back(self, asked: str, answers: str, code: str) -> None:
        """A backend failed before its first token, and another one answers."""

    def joined(self, deltas: int, frames: int) -> None:
        """A connection has ended: it was sent so many deltas in so many frames."""

    def dropped(self, reason: str) -> None:
        """A client was dropped."""

    def lag(self, seconds: float) -> None:
        """How late the event loop ran something that was due."""

    def stands(self, connections: int, streams: int) -> None:
        """How many connections are open and responses in flight; said a few times a second."""

    def render(self, connections: int, streams: int) -> bytes | None:
        """Return the page `/metrics`, None where this has none."""

    async def aclose(self) -> None:
        """Deliver what has not been delivered, in bounded time. Idempotent."""


class NoMeter:
    """Reports to nobody; the base of those who want to hear of a part."""

    reads_answers = False

    def ended(self, ended: Ended) -> None:
        """Ignore."""

    def refused(self, code: str) -> None:
        """Ignore."""

    def fell_back(self, asked: str, answers: str, code: str) -> None:
        """Ignore."""

    def joined(self, deltas: int, frames: int) -> None:
        """Ignore."""

    def dropped(self, reason: str) -> None:
        """Ignore."""

    def lag(self, seconds: float) -> None:
        """Ignore."""

    def stands(self, connections: int, streams: int) -> None:
        """Ignore."""

    def render(self, connections: int, streams: int) -> bytes | None:
        """Have no page."""
        return None

    async def aclose(self) -> None:
        """Have nothing to deliver."""


class Meters:
    """Reports to several.

    Args:
        meters: all of them.
    """

    def __init__(self, *meters: Meter) -> None:
        self._meters = meters
        self.reads_answers = any(meter.reads_answers for meter in meters)

    def ended(self, ended: Ended) -> None:
        """Tell those that read answers."""
        for meter in self._meters:
            if meter.reads_answers:
                meter.ended(ended)

    def refused(self, code: str) -> None:
        """Tell all."""
        for meter in self._meters:
            meter.refused(code)

    def fell_back(self, asked: str, answers: str, code: str) -> None:
        """Tell all."""
        for meter in self._meters:
            meter.fell_back(asked, answers, code)

    def joined(self, deltas: int, frames: int) -> None:
        """Tell all."""
        for meter in self._meters:
            meter.joined(deltas, frames)

    def dropped(self, reason: str) -> None:
        """Tell all."""
        for meter in self._meters:
            meter.dropped(reason)

    def lag(self, seconds: float) -> None:
        """Tell all."""
        for meter in self._meters:
            meter.lag(seconds)

    def stands(self, connections: int, streams: int) -> None:
        """Tell all."""
        for meter in self._meters:
            meter.stands(connections, streams)

    def render(self, connections: int, streams: int) -> bytes | None:
        """Return the page of the first that has one."""
        pages = (meter.render(connections, streams) for meter in self._meters)
        return next((page for page in pages if page is not None), None)

    async def aclose(self) -> None:
        """Have all deliver."""
        for meter in self._meters:
            await meter.aclose()
