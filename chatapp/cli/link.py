"""The way from a command to a gateway: a child of ours, or one that somebody else runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chatapp.config import Settings
from chatapp.errors import UsageError
from chatapp.redaction import Secret

if TYPE_CHECKING:
    from chatapp.client.connection import Connection
    from chatapp.gateway.process import ChildGateway, ChildOptions

TOKEN_VARIABLE = "CHATAPP_GATEWAY_TOKEN"


class ChildLink:
    """A gateway in a child process, started again where it was lost."""

    def __init__(self, child: ChildGateway) -> None:
        self.child = child

    async def connect(self) -> Connection:
        """Return a new connection, starting the gateway where it does not run.

        Raises:
            GatewayError: it cannot be started.
        """
        from chatapp.client.connection import Connection

        endpoint = await self.child.ready()
        return await Connection.open(endpoint.url, endpoint.token)

    async def aclose(self) -> None:
        """Stop the gateway. Idempotent."""
        self.child.stop()


class FixedLink:
    """A gateway at a known address."""

    def __init__(self, url: str, token: Secret | None) -> None:
        self.url = url
        self.token = token

    async def connect(self) -> Connection:
        """Return a new connection.

        Raises:
            GatewayError: it cannot be reached, or refuses.
        """
        from chatapp.client.connection import Connection

        return await Connection.open(self.url, self.token)

    async def aclose(self) -> None:
        """Leave the gateway as it is."""


def child_link(settings: Settings, *, options: ChildOptions | None = None) -> ChildLink:
    """Start a gateway of our own and return the way to it; does not wait until it listens.

    Raises:
        GatewayError: the OS cannot start a process.
    """
    from chatapp.gateway.process import ChildGateway

    del settings  # the child reads them itself: keys never cross a pipe
    child = ChildGateway(options)
    child.spawn()
    return ChildLink(child)


def fixed_link(url: str) -> FixedLink:
    """Return the way to a gateway that runs, or to any server that speaks the protocol.

    Raises:
        UsageError: not a WebSocket address.
    """
    address = url.rstrip("/")
    if not address.startswith(("ws://", "wss://")):
        raise UsageError(f"not the address of a gateway: {url!r}", hint="for example ws://127.0.0.1:8765/v1/responses")
    if not address.endswith("/responses"):
        address += "/responses" if address.endswith("/v1") else "/v1/responses"
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    return FixedLink(address, Secret(TOKEN_VARIABLE, token) if token else None)
