"""The way to a gateway: a child process of ours, started again when it was lost, or a fixed address."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from chatapp.stream.events import Event


class Speaker(Protocol):
    """An open connection, as far as the screen uses it; `chatapp.client.connection.Connection` is one."""

    def respond(self, request: Any) -> AsyncGenerator[Event, None]:
        """Ask, and yield the answer's events; closing the generator cancels the answer."""

    async def models(self) -> Sequence[Any]:
        """Return what can be chosen."""

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""


class Link(Protocol):
    """Opens connections to one gateway."""

    async def connect(self) -> Speaker:
        """Return a new connection; starts the gateway again where it was ours and has ended.

        Raises:
            GatewayError: it can be neither reached nor started.
        """

    async def aclose(self) -> None:
        """Stop a gateway of ours. Idempotent."""
