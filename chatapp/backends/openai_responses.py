"""Servers that speak the Responses API's WebSocket mode: OpenAI, xAI, Azure, or another chatapp gateway.

The wire is `chatapp.protocol.responses_client`'s; here are the connection, its hour of life, and the way failures are
told. Arrivals bear the process clock: the WebSocket library owns its socket. A chatapp gateway behind the URL sends its
own stamps, and those are kept.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from socket import gaierror
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from chatapp import __version__
from chatapp.addresses import host_and_port, is_this_machine
from chatapp.backends.patience import Patience
from chatapp.clock import NS_PER_S
from chatapp.errors import BackendError
from chatapp.protocol.failures import HINTS, as_error, clean, failed, failure_from_body
from chatapp.protocol.responses_client import ResponseCreate, ResponseDecoder, decode_frame
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Delta, Event, Failed, Finished, Notice, Request, Sent

MAX_AGE_S = 55 * 60.0
"""Servers end a connection after 60 minutes: ours are replaced before, between two answers."""
MAX_FRAME_BYTES = 16 << 20
CONNECTION_LIMIT = "websocket_connection_limit_reached"
"""The error by which a server says that the connection has lived its hour."""


class ResponsesBackend:
    """One model of one server.

    Args:
        info: what a viewer is told.
        base_url: `wss://HOST/v1`, or the HTTP base URL it is beside.
        key: sent as a bearer token.
        key_variable: named where the key is refused.
        patience: how long to wait.
    """

    def __init__(
        self,
        info: BackendInfo,
        *,
        base_url: str,
        key: Secret | None = None,
        key_variable: str = "",
        patience: Patience | None = None,
    ) -> None:
        self.info = info
        self._url = websocket_url(base_url)
        self._key = key
        self._key_variable = key_variable
        self._patience = patience or Patience()
        self._idle: list[tuple[float, ClientConnection]] = []  # (opened at, connection)
        self._where = info.provider or urlsplit(self._url).netloc

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        return host_and_port(self._url)

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer. A connection that ended between two answers is replaced silently."""
        while True:
            try:
                opened_s, socket, connect_ns = await self._connection()
            except BackendError as exc:
                yield _as_failed(exc)
                return
            answered = False
            whole = False
            try:
                async with aclosing(self._exchange(socket, request, connect_ns)) as events:
                    async for event in events:
                        if not answered and not connect_ns and _is_worn_out(event):
                            break  # it was kept too long: again on a new one
                        answered = True
                        yield event
                        whole = isinstance(event, Finished) and event.reason != "truncated"
            finally:
                if whole:
                    self._idle.append((opened_s, socket))
                else:
                    socket.transport.abort()  # a polite close would wait for the peer's answer
            if answered:
                return

    async def _exchange(
        self, socket: ClientConnection, request: Request, connect_ns: int
    ) -> AsyncGenerator[Event, None]:
        create = ResponseCreate(
            model=self.info.model,
            input=request.messages,
            instructions=request.instructions,
            max_output_tokens=request.max_output_tokens,
            temperature=request.temperature,
            metadata=request.metadata,
        )
        frame_bytes = create.to_frame(None)
        sent_ns = time.monotonic_ns()
        decoder = ResponseDecoder(sent_ns)
        last_text_ns = 0
        broken = ""
        try:
            await socket.send(frame_bytes, text=True)
            while not decoder.ended:
                limit_s = self._patience.idle_s if last_text_ns else self._patience.first_s
                left_s = limit_s - (time.monotonic_ns() - (last_text_ns or sent_ns)) / NS_PER_S
                async with asyncio.timeout(max(0.0, left_s)):
                    data = await socket.recv(decode=False)
                now_ns = time.monotonic_ns()
                frame = decode_frame(data)
                if frame is None:
                    continue
                for event in decoder.feed(frame, now_ns):
                    if isinstance(event, Delta):
                        last_text_ns = now_ns
                    yield self._own(event, connect_ns)
            return
        except TimeoutError:
            broken = "stalled" if last_text_ns else "timeout"
        except ConnectionClosed as exc:
            broken = "truncated"
            said = clean(exc.rcvd.reason, limit=200) if exc.rcvd is not None else ""
        now_ns = time.monotonic_ns()
        if broken == "truncated" and last_text_ns:
            yield Notice("warning", f"{self._where}: the connection was closed {said}".rstrip())
            yield Finished(now_ns, "truncated")
        elif broken == "truncated":
            message = f"{self._where}: the connection was closed before any text {said}".rstrip()
            yield failed("truncated", message, at_ns=now_ns, retryable=True)
        else:
            message = f"{self._where}: no text within {limit_s:g} s"
            yield failed(broken, message, at_ns=now_ns)

    def _own(self, event: Event, connect_ns: int) -> Event:
        """Return an event as this side knows it: our connection's set-up, a foreign error made safe."""
        if isinstance(event, Sent) and not event.connect_ns:
            return msgspec.structs.replace(
                event, connect_ns={"websocket": connect_ns} if connect_ns else {}, reused=not connect_ns
            )
        if isinstance(event, Failed):
            code = "truncated" if event.code == CONNECTION_LIMIT else event.code
            code = code if code in HINTS else "server_error"
            said = clean(event.message, limit=400)
            hint = clean(event.hint, limit=200) or HINTS.get(code, "")
            return msgspec.structs.replace(event, code=code, message=f"{self._where}: {said}", hint=hint)
        return event

    async def _connection(self) -> tuple[float, ClientConnection, int]:
        """Return (opened at, connection, duration of its set-up in ns, 0 for a kept one)."""
        while self._idle:
            opened_s, socket = self._idle.pop()
            if time.monotonic() - opened_s < MAX_AGE_S and socket.close_code is None:
                return opened_s, socket, 0
            socket.transport.abort()
        started_ns = time.monotonic_ns()
        socket = await self._open()
        return time.monotonic(), socket, time.monotonic_ns() - started_ns

    async def _open(self) -> ClientConnection:
        headers = {"Authorization": f"Bearer {self._key.reveal()}"} if self._key is not None else {}
        try:
            return await connect(
                self._url,
                additional_headers=headers,
                user_agent_header=f"chatapp/{__version__}",
                compression=None,
                max_size=MAX_FRAME_BYTES,
                open_timeout=self._patience.connect_s,
                close_timeout=0.2,
                proxy=None if is_this_machine(self._url) else True,
            )
        except InvalidStatus as exc:
            failure = failure_from_body(
                bytes(exc.response.body or b""), at_ns=0, status=exc.response.status_code, where=self._where
            )
            if failure.code == "auth" and self._key_variable:
                failure = msgspec.structs.replace(failure, hint=f"the key in {self._key_variable} was not accepted")
            raise as_error(failure) from None
        except TimeoutError:
            said = f"{self._where}: no connection within {self._patience.connect_s:g} s"
            raise BackendError("unreachable", said, hint=HINTS["unreachable"], retryable=True) from None
        except (OSError, InvalidHandshake, EOFError) as exc:
            code = "dns" if isinstance(exc, gaierror) else "tls" if isinstance(exc, ssl.SSLError) else "unreachable"
            said = clean(f"{self._where} cannot be reached: {getattr(exc, 'strerror', None) or exc}", limit=400)
            raise BackendError(code, said, hint=HINTS[code], retryable=code == "unreachable") from None

    async def warm(self) -> None:
        """Open the connection that the first answer will use.

        Raises:
            BackendError: the server cannot be reached, or refuses the key.
        """
        if not self._idle:
            self._idle.append((time.monotonic(), await self._open()))

    async def aclose(self) -> None:
        """Close the connections."""
        idle, self._idle = self._idle, []
        for _opened_s, socket in idle:
            with suppress(ConnectionClosed):
                await socket.close()


def websocket_url(base_url: str) -> str:
    """Return the address of the mode beside a base URL: `https://HOST/v1` gives `wss://HOST/v1/responses`."""
    url = base_url.rstrip("/")
    if url.startswith("http"):
        url = "ws" + url.removeprefix("http")
    return url if url.endswith("/responses") else f"{url}/responses"


def _is_worn_out(event: Event) -> bool:
    """Return whether a kept connection had come to its end, before anything of the answer had come."""
    return isinstance(event, Failed) and event.code == "truncated"


def _as_failed(error: BackendError) -> Failed:
    return Failed(
        time.monotonic_ns(), error.code, error.message, error.hint, error.status, error.retryable, error.retry_after_s
    )
