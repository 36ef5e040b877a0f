"""What the gateway tells of itself, to whom it may concern: `chatapp.gateway.metrics`, `chatapp.gateway.otlp`, nobody.

Nothing is told per token. A response is told of when it has ended, with the arrivals that its answer keeps anyway, so
that watching a thousand streams costs what a thousand ends cost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from chatapp.stream.answer import Answer
from chatapp.stream.events import Request

MOST_NAMES = 200
LONGEST_NAME = 200
OTHER = "other"
"""What all names beyond these are counted under."""

NO_TRACE: Mapping[str, str] = MappingProxyType({})


_log = logging.getLogger(__name__)


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


class Meter:
    """What the gateway reports to. This one tells nobody; a subclass hears of what it overrides."""

    reads_answers = False
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
        return None

    async def aclose(self) -> None:
        """Deliver what has not been delivered, in bounded time. Idempotent."""


class Names:
    """Which names have figures of their own: the first so many, so that nobody can make up series without end.

    Clients choose names, as in `PROVIDER/ANY-MODEL`, and what is counted under one is held for ever.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()  # answers are told of from several threads

    def of(self, name: str) -> str:
        """Return what is counted under for a name: the name, or `other` where that is long or one too many."""
        with self._lock:
            if name in self._known:
                return name
            if len(name) > LONGEST_NAME or len(self._known) >= MOST_NAMES:
                return OTHER
            self._known.add(name)
            return name


class Meters(Meter):
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
                try:
                    meter.ended(ended)
                except Exception:  # a bug of one must not cost the others their figures
                    _log.exception("%s could not take an answer", type(meter).__name__)

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
