"""One client's socket: bytes and websockets' sans-I/O protocol on one side, messages and frames on the other.

The library's own asyncio layer is left out for three reasons, all measured on 17.4: it never drops a client that stops
reading, since its keepalive waits for the same full buffer; it lets megabytes queue in front of what is said last; and
it costs twice the processor time of a frame. What is a protocol stays the library's: parsing, limits, close codes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

from websockets.exceptions import InvalidState
from websockets.frames import BINARY, CONT, PING, PONG, TEXT, Frame
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from chatapp import __version__
from chatapp.gateway.window import MOST, Window

CLOSE_S = 2.0
"""How long a close waits for the client's part of it."""

BURST_NS = 50_000
BURST_AFTER = 8
"""Frames that follow one another faster than that, after so many of them, are written together, once a turn of the
loop: each write is a call of the kernel, 4 to 7 us. The head of an answer is shorter, and a reader's usual stream never
comes so fast: none of their frames waits."""

_NO_LINGER = struct.pack("ii", 1, 0)
"""A reset at once: else the kernel goes on offering its buffer to a reader who does not read, for minutes."""

_TLS_HELLO = b"\x16\x03"

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger("chatapp.gateway.wire")
_wire_log.setLevel(logging.WARNING)  # the library logs every connection at INFO


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may do. Sizes in bytes, times in seconds."""

    message_bytes: int = 4 << 20
    """A long conversation sent whole; one megabyte of text is some 250,000 tokens, more than most contexts hold."""
    fragments: int = 4096
    """Of one message. A byte limit alone is not enough: each fragment costs memory and time of its own."""
    message_s: float = 10.0
    """From a message's first byte to its last."""
    open_s: float = 5.0
    """From the connection to the whole opening request."""
    deadline_s: float = 9.0
    """A client that reads nothing for so long is dropped, so within 10 s all told; so is one that has vanished."""
    ping_s: float = 8.0
    """Silence after which a client is asked whether it is there; proxies cut what is silent for 30 or 60 s."""
    burst: int = 500
    per_s: float = 100.0
    """Messages and pings: so many at once, and so many a second for ever."""
    send_buffer: int = 64 * 1024
    """Of the kernel. By default it would hold 3.8 MiB for a slow reader."""
    window: int = MOST
    """That may be on their way to a client which reads promptly."""


class Owner(Protocol):
    """Whose client a peer is."""

    def requested(self, peer: Peer, request: Request) -> Response | asyncio.Future[Response] | None:
        """Answer an opening request over HTTP, or let it become a WebSocket (None)."""

    def opened(self, peer: Peer) -> None:
        """The WebSocket is open."""

    def received(self, peer: Peer, message: str | bytes) -> None:
        """A whole message came."""

    def roomy(self, peer: Peer) -> None:
        """More may be sent after a time in which it might not."""

    def lost(self, peer: Peer) -> None:
        """The connection has ended, however it did."""


def text_header(size: int) -> bytes:
    """Return the head of a server's unmasked text frame (RFC 6455, 5.2), which the library takes 2 us to make."""
    if size < 126:
        return bytes((0x81, size))
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


class Peer(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, owner: Owner, limits: Limits) -> None:
        self.window = Window(most=limits.window)
        self.is_open = False
        self.address = ""
        self.dropped_for = ""
        """Why we ended the connection, where we did: opening, stalled, message, rate, protocol."""
        self.born_s = time.monotonic()
        self._owner = owner
        self._limits = limits
        self._wire = ServerProtocol(max_size=limits.message_bytes, logger=_wire_log)
        self._transport: asyncio.Transport | None = None
        self._fragments: list[bytes | bytearray | memoryview] = []
        self._is_text = True
        self._message_since_s: float | None = None
        self._heard_s = self.born_s
        self._close_by_s: float | None = None
        self._budget = float(limits.burst)
        self._budget_at_s = self.born_s
        self._answering: asyncio.Future[Response] | None = None
        self._blocked = False
        self._finished = False
        self._burst: list[bytes] = []
        """Bytes of this turn of the loop that follow others closely."""
        self._wrote_ns = 0
        self._quick = 0
        """Writes in a row that followed closely."""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.set_write_buffer_limits(high=self._limits.send_buffer)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.send_buffer)
        name = transport.get_extra_info("peername")
        self.address = str(name[0]) if isinstance(name, tuple) else ""

    def data_received(self, data: bytes) -> None:
        """Parse what came and act on it."""
        wire = self._wire
        now_s = self._heard_s = time.monotonic()
        if not self.is_open and data.startswith(_TLS_HELLO):
            _log.warning("%s speaks TLS to a port in clear text: it needs ws://, or we --tls-cert", self.address)
            self.abort()
            return
        wire.receive_data(data)
        self._write_out()
        for event in wire.events_received():
            if isinstance(event, Frame):
                self._take(event, now_s)
            elif isinstance(event, Request):
                self._answer(event)
        unfinished = bool(self._fragments) or len(wire.reader.buffer) > 0
        if not unfinished:
            self._message_since_s = None
        elif self._message_since_s is None:
            self._message_since_s = now_s
        self._look_for_close(now_s)

    def eof_received(self) -> None:
        """Note that the client sends no more; the transport closes."""
        self._wire.receive_eof()
        self._write_out()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that it is over."""
        self.is_open = False
        if self._answering is not None:
            self._answering.cancel()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Stop to read where a client makes us answer (pings) without reading the answers."""
        self._blocked = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._blocked = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._owner.roomy(self)

    # The gateway's side

    @property
    def room(self) -> int:
        """Bytes of text that may be sent now."""
        return 0 if self._blocked or not self.is_open else self.window.room

    @property
    def buffered(self) -> int:
        """Bytes that wait in this process for the kernel to take them."""
        held = sum(map(len, self._burst))
        return held if self._transport is None else held + self._transport.get_write_buffer_size()

    def send(self, frames: Iterable[bytes]) -> None:
        """Send text frames at once, whatever the window says: what must wait for it is kept by the outbox."""
        wire, window = self._wire, self.window
        if wire.state is not OPEN:
            return
        data: list[bytes] = []
        if window.fresh:
            wire.send_ping(window.ping(time.monotonic_ns()))
            data = wire.data_to_send()
        size = 0
        for frame in frames:
            data.append(text_header(len(frame)))
            if frame:  # an empty string among the data would mean the end of it
                data.append(frame)
            size += len(frame)
        if window.sent(size):
            wire.send_ping(window.ping(time.monotonic_ns()))
            data += wire.data_to_send()
        self._put(data)

    def close(self, code: int, reason: str) -> None:
        """Begin to close. Idempotent."""
        with suppress(InvalidState):
            self._wire.send_close(code, reason)
        self._write_out()
        self._look_for_close(time.monotonic())

    def abort(self) -> None:
        """End the connection without a word, and without leaving the kernel what nobody will read."""
        transport = self._transport
        if transport is None:
            return
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    def check(self, now_s: float) -> None:
        """Look after every deadline; called a few times a second for all peers, so that none needs a timer."""
        limits = self._limits
        waiting_ns = self.window.waiting_since_ns
        if self._close_by_s is not None:
            if now_s > self._close_by_s:
                self.abort()
        elif not self.is_open:
            if self._answering is None and now_s - self.born_s > limits.open_s:
                _log.warning("dropped %s: no whole request within %g s", self.address, limits.open_s)
                self.dropped_for = "opening"
                self.abort()
        elif waiting_ns is not None and now_s - waiting_ns / 1e9 > limits.deadline_s:
            _log.warning("dropped %s: it has read nothing for %g s", self.address, limits.deadline_s)
            self.dropped_for = "stalled"
            self.abort()
        elif self._message_since_s is not None and now_s - self._message_since_s > limits.message_s:
            self.dropped_for = "message"
            self.close(1008, f"a message must be whole within {limits.message_s:g} s")
        elif waiting_ns is None and now_s - self._heard_s > limits.ping_s:
            self._wire.send_ping(self.window.ping(time.monotonic_ns()))
            self._write_out()

    # Between them

    def _answer(self, request: Request) -> None:
        answer = self._owner.requested(self, request)
        if isinstance(answer, asyncio.Future):
            assert self._transport is not None
            self._transport.pause_reading()  # nothing may follow a request that is answered over HTTP
            self._answering = answer
            answer.add_done_callback(self._respond_later)
        else:
            self._respond(answer or self._accepted(request))

    def _accepted(self, request: Request) -> Response:
        response = self._wire.accept(request)
        response.headers["Server"] = f"chatapp/{__version__}"
        return response

    def _respond_later(self, answer: asyncio.Future[Response]) -> None:
        if answer.cancelled():
            return
        assert self._transport is not None
        self._transport.resume_reading()
        self._respond(answer.result())
        self._answering = None

    def _respond(self, response: Response) -> None:
        self._wire.send_response(response)
        self._write_out()
        if self._wire.state is OPEN:
            self.is_open = True
            self._owner.opened(self)
        else:
            self._look_for_close(time.monotonic())

    def _take(self, frame: Frame, now_s: float) -> None:
        if frame.opcode is PONG:
            more = self.window.pong(frame.data, time.monotonic_ns())
            if more and self._wire.state is OPEN:  # a close may have come in the same read
                self._wire.send_ping(self.window.ping(time.monotonic_ns()))
                self._write_out()
            if self.room > 0:
                self._owner.roomy(self)
        elif frame.opcode is PING:
            self._spend(now_s)
        elif frame.opcode in (TEXT, BINARY, CONT):
            if frame.opcode is not CONT:
                self._is_text = frame.opcode is TEXT
            self._fragments.append(frame.data)
            if frame.fin:
                data = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
                self._fragments = []
                self._deliver(bytes(data), now_s)
            elif len(self._fragments) >= self._limits.fragments:
                self._fragments = []
                self._fail(1009, "too many fragments")

    def _deliver(self, data: bytes, now_s: float) -> None:
        if not self.is_open or not self._spend(now_s):
            return
        if not self._is_text:
            self._owner.received(self, data)
            return
        try:
            text = data.decode()
        except UnicodeDecodeError as exc:
            self._fail(1007, f"{exc.reason} at position {exc.start}")
            return
        self._owner.received(self, text)

    def _spend(self, now_s: float) -> bool:
        """Count a message or a ping against the rate; False where the client has sent too many."""
        limits = self._limits
        self._budget = min(limits.burst, self._budget + (now_s - self._budget_at_s) * limits.per_s) - 1
        self._budget_at_s = now_s
        if self._budget >= 0:
            return True
        self.dropped_for = "rate"
        self.close(1008, "too many messages")
        return False

    def _fail(self, code: int, reason: str) -> None:
        self.dropped_for = "protocol"
        self._wire.fail(code, reason)
        self._write_out()
        self._look_for_close(time.monotonic())

    def _look_for_close(self, now_s: float) -> None:
        if self._close_by_s is None and self._wire.close_expected():
            self.is_open = False
            self._close_by_s = now_s + CLOSE_S

    def _write_out(self) -> None:
        self._put(self._wire.data_to_send())

    def _put(self, data: list[bytes]) -> None:
        transport = self._transport
        if not data or transport is None or transport.is_closing() or self._finished:
            return
        burst = self._burst
        if data[-1] == b"":
            self._write(transport, burst + data)
            self._finished = True
            # Half a close, and the rest when the client has closed too: closing at once while it still sends would
            # reset the connection and take the close code or the HTTP answer from it.
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()
            return
        if burst:
            burst += data
            return
        self._quick = self._quick + 1 if time.monotonic_ns() - self._wrote_ns < BURST_NS else 0
        if self._quick > BURST_AFTER:
            self._burst = data
            asyncio.get_running_loop().call_soon(self._write_burst)
        else:
            self._write(transport, data)

    def _write_burst(self) -> None:
        transport = self._transport
        if self._burst and transport is not None and not transport.is_closing():
            self._write(transport, self._burst)

    def _write(self, transport: asyncio.Transport, data: list[bytes]) -> None:
        self._burst = []
        self._wrote_ns = time.monotonic_ns()
        transport.write(data[0] if len(data) == 1 else b"".join(data))
