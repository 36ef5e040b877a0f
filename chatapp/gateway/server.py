"""The WebSocket server on `/v1/responses`, with `/v1/models` and `/healthz` beside it on the same port."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chatapp import __version__
from chatapp.backends.base import Backend
from chatapp.errors import UsageError
from chatapp.gateway.access import Access, Refusal
from chatapp.gateway.outbox import SEND_DEADLINE_S, Outbox, Ticker
from chatapp.gateway.pool import BackendPool
from chatapp.gateway.relay import Talk
from chatapp.protocol.responses import MODELS_PATH, PATH, ModelListing

MOST_CONNECTIONS = 10_000
LARGEST_MESSAGE = 4 << 20
"""A long conversation sent whole; one megabyte of text is some 250,000 tokens, more than most contexts hold."""

SOCKET_BUFFER = 64 * 1024
"""The kernel would hold 3.8 MiB for a slow reader, minutes of text that a cancel has to wait behind (measured)."""

DRAIN_S = 30.0

_log = logging.getLogger(__name__)


class Gateway:
    """A listening gateway.

    Args:
        resolve: from a name to a backend.
        models: what can be chosen, for `/v1/models`.
        access: who may connect.
        send_deadline_s: how long a client may take nothing before it is dropped.
        most_connections: more are answered 503.
    """

    def __init__(
        self,
        resolve: Callable[[str], Backend],
        models: Callable[[], Awaitable[Sequence[ModelListing]]],
        access: Access,
        *,
        send_deadline_s: float = SEND_DEADLINE_S,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self.pool = BackendPool(resolve)
        self.ticker = Ticker()
        self.connections = 0
        self._talks: set[Talk] = set()
        self._models = models
        self._access = access
        self._send_deadline_s = send_deadline_s
        self._most_connections = most_connections
        self._server: Server | None = None
        self._draining = False

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Begin to accept connections.

        Raises:
            UsageError: the address is in use, not allowed, or not one of this machine.
        """
        try:
            self._server = await serve(
                self._talk,
                host,
                port,
                ssl=tls,
                process_request=self._answer_http,
                compression=None,  # doubles the CPU time of a frame and buys nothing on loopback (measured)
                max_size=LARGEST_MESSAGE,
                max_queue=16,
                write_limit=(32 * 1024, 8 * 1024),
                ping_interval=15,  # proxies cut what is silent for 30 or 60 s
                ping_timeout=20,
                close_timeout=2,
                server_header=f"chatapp/{__version__}",
                logger=logging.getLogger("chatapp.gateway.websockets"),
            )
        except OSError as exc:
            raise _cannot_listen(exc, host, port) from None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def streams(self) -> int:
        """Responses in flight."""
        return sum(talk.in_flight for talk in self._talks)

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """Accept nothing new, let what is in flight finish for at most `patience_s`, then close with 1001."""
        self._draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + patience_s
        while self.streams and loop.time() < end:  # noqa: ASYNC110 - a look 20 times a second, once in a lifetime
            await asyncio.sleep(0.05)
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection (1001, going away), cancel what is in flight, and release the backends."""
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()
        await self.pool.aclose()

    # HTTP

    async def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain requests, and refuse what may not become a WebSocket; None goes on with the handshake."""
        path = request.path.partition("?")[0]
        open_to_all = path not in (PATH, MODELS_PATH)
        refusal = self._access.check_place(request.headers)
        if refusal is None and not open_to_all:
            refusal = self._access.check_token(request.headers)
        if refusal is not None:
            return _refuse(connection, refusal, request)
        if open_to_all:
            return self._answer_open(connection, path)
        if path == MODELS_PATH:
            listed = [msgspec.to_builtins(model) | {"simulated": model.simulated} for model in await self._models()]
            return _json(connection, HTTPStatus.OK, {"object": "list", "data": listed})
        return self._before_handshake(connection, request)

    def _answer_open(self, connection: ServerConnection, path: str) -> Response:
        """Answer what needs no token: health says nothing that a port scan would not."""
        if path == "/healthz":
            return _json(connection, HTTPStatus.OK, {"status": "ok", "version": __version__})
        if path == "/readyz":
            status = HTTPStatus.SERVICE_UNAVAILABLE if self._draining else HTTPStatus.OK
            return _json(connection, status, {"ready": not self._draining, "streams": self.streams})
        known = f"{PATH} (WebSocket), {MODELS_PATH}, /healthz, /readyz"
        return _json(connection, HTTPStatus.NOT_FOUND, _error(f"no such path; there are {known}"))

    def _before_handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            response = _json(
                connection,
                HTTPStatus.UPGRADE_REQUIRED,
                _error("this path speaks WebSocket: connect with ws:// or wss://"),
            )
            response.headers["Upgrade"] = "websocket"
            return response
        if self._draining or self.connections >= self._most_connections:
            response = _json(connection, HTTPStatus.SERVICE_UNAVAILABLE, _error("no more connections at the moment"))
            response.headers["Retry-After"] = "5"
            return response
        return None

    # WebSocket

    async def _talk(self, connection: ServerConnection) -> None:
        """Serve one connection until it ends."""
        self.connections += 1
        sock: socket.socket | None = connection.transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        outbox = Outbox(connection, self.ticker, connection.transport.abort, deadline_s=self._send_deadline_s)
        talk = Talk(self.pool, outbox)
        self._talks.add(talk)
        sender = asyncio.create_task(_send(outbox))
        try:
            async for message in connection:
                if not talk.receive(message):
                    await asyncio.sleep(0)  # let the last error out
                    await connection.close(1008, "too many messages that make no sense")
                    break
        except ConnectionClosed:
            pass
        finally:
            self.connections -= 1
            self._talks.discard(talk)
            await talk.close()
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender


async def _send(outbox: Outbox) -> None:
    with suppress(ConnectionClosed):
        await outbox.run()


def _refuse(connection: ServerConnection, refusal: Refusal, request: Request) -> Response:
    origin = request.headers.get_all("Origin")
    _log.warning("refused %d: %s (Origin %s)", refusal.status, refusal.message, ", ".join(origin) or "none")
    response = _json(connection, refusal.status, _error(refusal.message))
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _error(message: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "message": message}}


def _json(connection: ServerConnection, status: HTTPStatus, body: Any) -> Response:
    data = msgspec.json.encode(body)
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(data)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, data)


def _cannot_listen(exc: OSError, host: str, port: int) -> UsageError:
    where = f"{host}:{port}"
    if exc.errno == errno.EADDRINUSE:
        return UsageError(f"cannot listen on {where}: the port is in use", hint="--port 0 takes a free one")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return UsageError(f"cannot listen on {where}: not permitted", hint="ports below 1024 need privileges")
    return UsageError(
        f"cannot listen on {where}: {exc.strerror or exc}", hint="--host takes an address of this machine"
    )
