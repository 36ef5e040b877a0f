"""The way to a gateway: a child process of ours, started again when it was lost, or a fixed address."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Protocol

from chatapp.errors import GatewayError
from chatapp.protocol.responses import ModelListing
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Event

if TYPE_CHECKING:  # the WebSocket library costs 40 ms, which the first paint need not wait for
    from chatapp.client.connection import Connection
    from chatapp.protocol.responses_client import ResponseCreate


class Identified(Protocol):
    """What the gateway says of a response: who answers, and the response's name."""

    @property
    def info(self) -> BackendInfo | None:
        """What is behind it; None until the gateway said so, or where it is a server without the extension."""

    @property
    def response_id(self) -> str:
        """The response's name, empty until it has one."""


class Speaker(Protocol):
    """An open connection, as far as a session uses it; `chatapp.client.connection.Connection` is one."""

    @property
    def alive(self) -> bool:
        """Whether answers can still come."""

    def exchange(self, request: ResponseCreate) -> AsyncGenerator[tuple[Event, Identified], None]:
        """Ask, and yield the answer's events; closing the generator cancels the answer."""

    def respond(self, request: ResponseCreate) -> AsyncGenerator[Event, None]:
        """As `exchange`, the events only."""

    async def models(self) -> Sequence[ModelListing]:
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


class FixedLink:
    """A gateway that somebody else runs, or a server that speaks its protocol.

    Args:
        url: `ws://HOST:PORT/v1/responses`, or `wss://`.
        token: its bearer token.
    """

    def __init__(self, url: str, token: Secret | None = None) -> None:
        self.url = url
        self.token = token

    async def connect(self) -> Connection:
        """Connect.

        Raises:
            GatewayError: it cannot be reached, or refuses; nobody here can start it.
        """
        try:
            return await open_connection(self.url, self.token, when_lost="the next prompt connects again")
        except GatewayError as exc:
            raise GatewayError(exc.message, hint=exc.hint or "is it running, and is the address right?") from None

    async def aclose(self) -> None:
        """There is nothing of ours to stop."""


async def open_connection(url: str, token: Secret | None, *, when_lost: str) -> Connection:
    """Open a connection; its library is imported beside the event loop, which paints meanwhile.

    Args:
        url: of the gateway.
        token: its bearer token.
        when_lost: what the reader of an answer is told to do where the connection ends in it.

    Raises:
        GatewayError: it cannot be reached, or refuses.
    """
    module = await asyncio.to_thread(importlib.import_module, "chatapp.client.connection")
    connection: Connection = await module.Connection.open(url, token, when_lost=when_lost)
    return connection
