"""The one interface of everything that produces tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from chatapp.stream.events import BackendInfo, Event, Request


class Backend(Protocol):
    """A source of timed answers.

    `stream` is an async generator of events in the order `chatapp.stream.events` states. Once begun it does not raise:
    what goes wrong becomes a `Failed` event. Closing the generator (or cancelling the task that iterates it) closes
    the upstream within 100 ms, also before the first token.
    """

    info: BackendInfo

    def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer, each stamped at its arrival."""

    async def warm(self) -> None:
        """Open connections, load models, take lazy start-up costs out of the first measurement.

        Raises:
            BackendError: where the backend cannot be reached or loaded.
        """

    async def aclose(self) -> None:
        """Release connections and processes. Idempotent."""


@runtime_checkable
class Remote(Protocol):
    """What a backend that asks a server has beside: where that is, for whoever reports on it. Viewers are not told."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
