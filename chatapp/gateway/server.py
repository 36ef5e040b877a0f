"""The gateway: a WebSocket on `/v1/responses`, with `/v1/models` and an operator's pages on the same port."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from chatapp.backends.base import Backend
from chatapp.errors import UsageError
from chatapp.gateway.access import Access
from chatapp.gateway.account import Account
from chatapp.gateway.fallback import Fallback
from chatapp.gateway.meter import NO_TRACE, Meter
from chatapp.gateway.outbox import Outbox, Ticker
from chatapp.gateway.pages import Pages, too_many, unavailable
from chatapp.gateway.peer import Limits, Peer
from chatapp.gateway.pool import BackendPool
from chatapp.gateway.relay import Talk
from chatapp.gateway.tokens import Grant
from chatapp.protocol.responses import ModelListing, WireError
from chatapp.stream.tokens import load_encoding

MOST_CONNECTIONS = 10_000
MOST_OPENING = 512
"""Connections whose opening request has not come: they have not shown a token, and cost a descriptor each."""

CHECK_S = 0.25
"""Between two looks at all deadlines."""

DRAIN_S = 30.0
GOODBYE_S = 1.0
"""How long clients have to answer the close frame of a gateway that stops."""

TRACE_HEADERS = ("traceparent", "tracestate")
"""https://www.w3.org/TR/trace-context/"""

_log = logging.getLogger(__name__)


class Gateway:
    """A listening gateway.

    Args:
        resolve: from a name to a backend; called in a thread.
        models: what can be chosen, for `/v1/models`.
        access: who may connect.
        limits: what one client may do.
        send_deadline_s: how long a client may read nothing before it is dropped; None as `limits` says.
        most_connections: more are answered 503.
        meter: told what happens, and closed with the gateway.
        fallback: name of the backend that answers where another one fails before its first token; empty for none.
        most_age_s: after which a connection between two answers is told to open another, as the protocol has it.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that an operator decides
        self,
        resolve: Callable[[str], Backend],
        models: Callable[[], Awaitable[Sequence[ModelListing]]],
        access: Access,
        *,
        limits: Limits | None = None,
        send_deadline_s: float | None = None,
        most_connections: int = MOST_CONNECTIONS,
        most_age_s: float = 3600.0,
        meter: Meter | None = None,
        fallback: str = "",
    ) -> None:
        limits = limits or Limits()
        self.limits = limits if send_deadline_s is None else replace(limits, deadline_s=send_deadline_s)
        self.pool = BackendPool(resolve)
        self.ticker = Ticker()
        self._access = access
        self._meter = meter or Meter()
        self._fallback = Fallback(fallback, self.pool, self._meter) if fallback else None
        self._pages = Pages(access, models, self, self._meter)
        self._peers: dict[Peer, Talk | None] = {}
        self._accounts: dict[str, Account] = {}
        self._admitted: dict[Peer, Account] = {}
        """Whose each connection is, from its opening request on."""
        self._traces: dict[Peer, Mapping[str, str]] = {}
        """The trace contexts that clients have sent, until their conversations begin."""
        self._opening = 0
        self._most_connections = most_connections
        self._most_age_s = most_age_s
        self._server: asyncio.Server | None = None
        self._housekeeper: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._due_s = time.monotonic()
        self._looked = asyncio.Event()
        self._alone = asyncio.Event()
        self._alone.set()
        self.draining = False

    async def listen(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None, share_port: bool = False
    ) -> None:
        """Begin to accept connections.

        Args:
            host: address of this machine.
            port: 0 takes a free one.
            tls: None for clear text.
            share_port: let other processes of this user listen on the same port; the kernel deals connections out.

        Raises:
            UsageError: the address is in use, not allowed, or not one of this machine.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                self._accept,
                host,
                port,
                ssl=tls,
                backlog=1024,
                ssl_handshake_timeout=10 if tls else None,
                reuse_port=share_port or None,
            )
        except (OSError, OverflowError) as exc:
            raise cannot_listen(exc, host, port) from None
        self._look_after()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def connections(self) -> int:
        """Open WebSockets."""
        return len(self._peers) - self._opening

    @property
    def streams(self) -> int:
        """Responses in flight."""
        return sum(talk.in_flight for talk in self._peers.values() if talk is not None)

    async def warm(self) -> None:
        """Load what the first figures would wait for (0.2 s), in a thread and while nothing streams."""
        self._looked.clear()
        await self._looked.wait()
        while self.streams:
            self._looked.clear()
            await self._looked.wait()
        await asyncio.to_thread(load_encoding)

    async def drain(self, patience_s: float = DRAIN_S) -> None:
        """Accept nothing new, let what is in flight finish for at most `patience_s`, then close with 1001."""
        self.draining = True
        for talk in self._peers.values():
            if talk is not None:
                talk.draining = True
        end = time.monotonic() + patience_s
        while self._busy() and time.monotonic() < end:
            self._looked.clear()
            await self._looked.wait()
        await self.aclose()

    def _busy(self) -> bool:
        return any(talk.in_flight or talk.outbox.held for talk in self._peers.values() if talk is not None)

    async def aclose(self) -> None:
        """Close every connection (1001, going away), cancel what is in flight, and release the backends. Idempotent."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers):
            if peer.is_open:
                peer.close(1001, "the gateway is stopping")
            else:
                peer.abort()
        await asyncio.gather(*(talk.close() for talk in self._peers.values() if talk is not None), *self._closing)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._alone.wait()
        for peer in list(self._peers):
            peer.abort()
        if self._housekeeper is not None:
            self._housekeeper.cancel()
        self.ticker.close()
        await self.pool.aclose()
        await self._meter.aclose()

    def _accept(self) -> Peer:
        peer = Peer(self, self.limits)
        if self._opening >= MOST_OPENING:
            oldest = next(other for other, talk in self._peers.items() if talk is None)
            oldest.abort()  # the slowest of those that have shown no token makes room
        self._opening += 1
        self._peers[peer] = None
        self._alone.clear()
        return peer

    def _look_after(self) -> None:
        now_s = time.monotonic()
        self._meter.lag(max(0.0, now_s - self._due_s))
        self._meter.stands(self.connections, self.streams)
        self._due_s = now_s + CHECK_S
        self._access.tokens.refresh()
        for peer, talk in list(self._peers.items()):
            peer.check(now_s)
            if talk is not None and now_s - peer.born_s > self._most_age_s and not talk.in_flight and peer.is_open:
                message = f"this connection is {self._most_age_s / 60:g} minutes old: open another one"
                peer.send([WireError("websocket_connection_limit_reached", message).to_frame()])
                peer.close(1000, "open another connection")
        self._looked.set()
        self._housekeeper = asyncio.get_running_loop().call_later(CHECK_S, self._look_after)

    # What a peer tells its owner

    def requested(self, peer: Peer, request: Request) -> Response | asyncio.Future[Response] | None:
        """Answer an opening request over HTTP, or let it become a WebSocket (None)."""
        answer = self._pages.answer(request, peer.address)
        if not isinstance(answer, Grant):
            return answer
        if self.draining or self.connections >= self._most_connections:
            return unavailable()
        account = self._accounts.setdefault(answer.name, Account(answer))
        account.grant = answer
        if answer.connections is not None and account.connections >= answer.connections:
            return too_many(f"the token {answer.name!r} may have {answer.connections} connections open")
        account.connections += 1
        self._admitted[peer] = account
        self._traces[peer] = trace_context(request.headers)
        return None

    def opened(self, peer: Peer) -> None:
        """Begin a conversation."""
        self._opening -= 1
        outbox, account, trace = Outbox(peer, self.ticker), self._admitted[peer], self._traces.pop(peer)
        self._peers[peer] = Talk(self.pool, outbox, account, self._meter, self._fallback, trace)

    def received(self, peer: Peer, message: str | bytes) -> None:
        """Pass a message on; whoever sends only nonsense is not talking to us."""
        talk = self._peers.get(peer)
        if talk is not None and not talk.receive(message):
            peer.close(1008, "too many messages that make no sense")

    def roomy(self, peer: Peer) -> None:
        """Send on."""
        talk = self._peers.get(peer)
        if talk is not None:
            talk.outbox.flush()

    def lost(self, peer: Peer) -> None:
        """Close the upstreams of whoever has left."""
        if peer not in self._peers:
            return
        talk = self._peers.pop(peer)
        self._traces.pop(peer, None)
        account = self._admitted.pop(peer, None)
        if account is not None:
            account.connections -= 1
        if peer.dropped_for:
            self._meter.dropped(peer.dropped_for)
        if not self._peers:
            self._alone.set()
        if talk is None:
            self._opening -= 1
            return
        self._meter.joined(talk.outbox.deltas, talk.outbox.frames)
        talk.outbox.close()
        task = asyncio.get_running_loop().create_task(talk.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def trace_context(headers: Headers) -> Mapping[str, str]:
    """Return the W3C trace context of a request, where it has one."""
    found = {name: ",".join(values) for name in TRACE_HEADERS if (values := headers.get_all(name))}
    return found or NO_TRACE


def cannot_listen(exc: Exception, host: str, port: int) -> UsageError:
    """Return what to tell of an address that cannot be listened on."""
    where = f"{host}:{port}"
    number = exc.errno if isinstance(exc, OSError) else None
    if number == errno.EADDRINUSE:
        return UsageError(f"cannot listen on {where}: the port is in use", hint="--port 0 takes a free one")
    if number in (errno.EACCES, errno.EPERM):
        return UsageError(f"cannot listen on {where}: not permitted", hint="ports below 1024 need privileges")
    reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return UsageError(f"cannot listen on {where}: {reason}", hint="--host takes an address of this machine")
