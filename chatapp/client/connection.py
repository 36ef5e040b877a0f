"""One WebSocket to a gateway, or to any server that speaks the Responses API's WebSocket mode.

Frames are read raw and decoded here: the official SDK's parsed events cost 105 us each, these a few (measured).
"""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from chatapp import __version__
from chatapp.addresses import is_this_machine
from chatapp.clock import Clock, MonotonicClock
from chatapp.errors import GatewayError
from chatapp.protocol.responses import MODELS_PATH, ModelListing
from chatapp.protocol.responses_client import Frame, ResponseCreate, ResponseDecoder, cancel_frame, decode_frame
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Event, Failed

__all__ = ["Connection", "ResponseCreate"]

OPEN_S = 10.0
LOST = "gateway_lost"
"""Code of the failure that says nothing about the backend: the connection ended."""


MOST_WAITING = 256
"""Frames kept for the reader of one answer."""


class _Models(msgspec.Struct):
    data: list[ModelListing] = []


class Connection:
    """An open connection; several responses at once, each a stream of its own. Use `Connection.open`."""

    def __init__(
        self, socket: ClientConnection, url: str, token: Secret | None, clock: Clock, *, when_lost: str = ""
    ) -> None:
        self._socket = socket
        self._url = url
        self._token = token
        self._clock = clock
        self._when_lost = when_lost
        # A gateway of ours need not repeat an answer's text at its end; others would refuse to be asked for that.
        response = socket.response
        self._compact = response is not None and response.headers.get("Server", "").startswith("chatapp/")
        self._streams: dict[str, asyncio.Queue[tuple[Frame, int] | None]] = {}
        self._ended = False
        self._numbers = 0
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, url: str, token: Secret | None = None, *, clock: Clock | None = None, when_lost: str = ""
    ) -> Connection:
        """Connect.

        Args:
            url: `ws://` or `wss://`, with the path.
            token: sent as a bearer token.
            clock: stamps what a server without our extensions does not.
            when_lost: what the reader of an answer is told to do where the connection ends in it.

        Raises:
            GatewayError: it cannot be reached, or refuses.
        """
        headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}
        try:
            socket = await connect(
                url,
                additional_headers=headers,
                compression=None,
                user_agent_header=f"chatapp/{__version__}",
                max_size=64 << 20,
                max_queue=256,
                open_timeout=OPEN_S,
                close_timeout=1,
                proxy=True if not is_this_machine(url) else None,
            )
        except InvalidStatus as exc:
            raise _refused(exc, url) from None
        except InvalidURI:
            raise GatewayError(
                f"not the address of a gateway: {url!r}", hint="like ws://HOST:PORT/v1/responses"
            ) from None
        except (OSError, TimeoutError, InvalidHandshake, EOFError) as exc:
            raise GatewayError(f"the gateway at {url} cannot be reached: {_reason(exc)}") from None
        return cls(socket, url, token, clock or MonotonicClock(), when_lost=when_lost)

    @property
    def alive(self) -> bool:
        """Whether frames can still come."""
        return not self._ended

    async def respond(self, request: ResponseCreate) -> AsyncGenerator[Event, None]:
        """Ask, and yield the answer's events; a lost connection ends them with a `Failed`. Closing it cancels.

        What is behind the answer, as the gateway says it, is passed on through `info`.
        """
        async for event, _decoder in self.exchange(request):
            yield event

    async def exchange(self, request: ResponseCreate) -> AsyncGenerator[tuple[Event, ResponseDecoder], None]:
        """As `respond`, with the decoder beside each event: it knows the response's id and the backend's info."""
        self._numbers += 1
        stream_id = f"s{self._numbers}"
        queue: asyncio.Queue[tuple[Frame, int] | None] = asyncio.Queue(MOST_WAITING)
        self._streams[stream_id] = queue
        decoder = ResponseDecoder(self._clock.now_ns())
        try:
            with suppress(ConnectionClosed):  # the queue says so, too
                await self._socket.send(request.to_frame(stream_id, compact=self._compact), text=True)
            while not decoder.ended:
                waiting = None if self._ended and queue.empty() else await queue.get()
                if waiting is None:
                    decoder.ended = True
                    yield self._lost(self._clock.now_ns()), decoder
                    return
                frame, arrived_ns = waiting
                for event in decoder.feed(frame, arrived_ns):
                    yield event, decoder
        finally:
            del self._streams[stream_id]
            while not queue.empty():  # the reader may be waiting for room in it
                queue.get_nowait()
            if not decoder.ended and self.alive:
                with suppress(ConnectionClosed):
                    await self._socket.send(cancel_frame(stream_id), text=True)

    async def models(self) -> Sequence[ModelListing]:
        """Return what can be chosen.

        Raises:
            GatewayError: the list cannot be had.
        """
        return await asyncio.to_thread(list_models, self._url, self._token)

    async def aclose(self) -> None:
        """Close. Idempotent."""
        self._reader.cancel()  # it may be waiting for a reader who has gone
        await self._socket.close()
        with suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        """Hand each frame to its stream; without a stream id, to the only one there is."""
        try:
            while True:
                data = await self._socket.recv(decode=False)
                arrived_ns = self._clock.now_ns()
                frame = decode_frame(data)
                if frame is None:
                    continue
                queue = self._streams.get(frame.stream_id) if frame.stream_id is not None else None
                if queue is None and frame.stream_id is None and len(self._streams) == 1:
                    queue = next(iter(self._streams.values()))
                if queue is not None:  # where its reader is slow, all wait: the gateway joins what comes meanwhile
                    await queue.put((frame, arrived_ns))
        except ConnectionClosed:
            pass
        finally:
            self._ended = True
            for queue in self._streams.values():
                if queue.empty():  # whoever waits is woken; whoever has more to read finds out afterwards
                    queue.put_nowait(None)

    def _lost(self, now_ns: int) -> Failed:
        code, reason = self._socket.close_code, self._socket.close_reason
        said = f" ({code} {reason})".rstrip() if code not in (None, 1006) else ""
        return Failed(now_ns, LOST, f"the connection to the gateway was lost{said}", self._when_lost, retryable=True)


def list_models(url: str, token: Secret | None, *, timeout_s: float = 5.0) -> list[ModelListing]:
    """Ask `GET /v1/models` of a gateway whose WebSocket URL is known. Blocks.

    Raises:
        GatewayError: no list.
    """
    parts: SplitResult = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    path = parts.path.removesuffix("/responses") + "/models" if parts.path.endswith("/responses") else MODELS_PATH
    client: http.client.HTTPConnection
    if parts.scheme == "wss":
        client = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    else:
        client = http.client.HTTPConnection(host, port, timeout=timeout_s)
    headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}
    try:
        client.request("GET", path, headers=headers)
        response = client.getresponse()
        body = response.read(8 << 20)
        if response.status != http.HTTPStatus.OK:
            raise GatewayError(f"the gateway does not list its backends: {response.status} {response.reason}")
        return msgspec.json.decode(body, type=_Models).data
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as exc:
        raise GatewayError(f"the gateway does not list its backends: {_reason(exc)}") from None
    finally:
        client.close()


def _refused(exc: InvalidStatus, url: str) -> GatewayError:
    status = exc.response.status_code
    hints = {
        401: "CHATAPP_GATEWAY_TOKEN must hold the gateway's token",
        403: "the gateway allows other origins only",
        404: "the path is /v1/responses",
        421: "the gateway answers to localhost only",
        503: "the gateway is full or stopping; try again",
    }
    return GatewayError(f"the gateway at {url} refused the connection: {status}", hint=hints.get(status, ""))


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, ConnectionRefusedError):  # asyncio's own words repeat the address
        return "connection refused"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {exc.verify_message}"
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    return str(exc) or type(exc).__name__


def unknown_info(name: str) -> BackendInfo:
    """Return what can be said of a backend before the gateway has said it."""
    return BackendInfo(name, name, "live", "", name)
