"""A load of raw connections for `tests.benchmarks.gateway`: reads at the cost of a regular expression per frame.

A client library would cost as much as the server under test; this one knows only what a server's unmasked text frames
look like, and answers pings.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import time
from array import array
from collections.abc import Iterator
from typing import cast

import msgspec

from tests.benchmarks.gateway_server import TOKEN

_AT = re.compile(rb'"at_us":(\d+)')
_ARRIVALS = re.compile(rb'"arrivals":(\[\[.*?\]\])')
_NUMBER = re.compile(rb'"sequence_number":(\d+)')
_DELTA = b'{"type":"response.output_text.delta"'
_END = b'{"type":"response.completed"'


def handshake(port: int) -> bytes:
    """Return the opening request."""
    return (
        f"GET /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """Return a client's frame, masked with zeros: legal, and free."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + b"\0\0\0\0" + payload


def create(model: str, tokens: int, *, prompt: str = "x", stream_id: str | None = None, compact: bool = False) -> bytes:
    """Return the frame that asks for an answer."""
    event = {"type": "response.create", "model": model, "input": prompt, "max_output_tokens": tokens}
    if stream_id is not None:
        event["stream_id"] = stream_id
    if compact:
        event["compact"] = True
    return masked(msgspec.json.encode(event))


class Sink(asyncio.Protocol):
    """One connection: sends its request once open, and notes every token's added latency.

    Args:
        port: of the server.
        request: sent when the handshake is done; None only opens.
        late_us: where the time from a token's stamp in the server to its read here is noted.
    """

    def __init__(self, port: int, request: bytes | None, late_us: array[float]) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()
        self.tokens = 0
        self.frames = 0
        self.reordered = 0
        self.close_code: int | None = None
        self._port = port
        self._request = request
        self._late_us = late_us
        self._buffer = bytearray()
        self._zero_us = 0
        self._last = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        transport.write(handshake(self._port))

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_result(None)

    def data_received(self, data: bytes) -> None:
        now_us = time.monotonic_ns() / 1000
        buffer = self._buffer
        buffer += data
        if not self.opened.done():
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert buffer.startswith(b"HTTP/1.1 101"), bytes(buffer[:200])
            del buffer[: end + 4]
            self.opened.set_result(None)
            if self._request is not None:
                self.transport.write(self._request)
        start = 0
        while len(buffer) - start >= 2:
            size, head = buffer[start + 1], 2
            if size == 126:
                size, head = int.from_bytes(buffer[start + 2 : start + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(buffer[start + 2 : start + 10], "big"), 10
            if len(buffer) - start < head + size:
                break
            self._frame(buffer[start] & 0x0F, bytes(buffer[start + head : start + head + size]), now_us)
            start += head + size
        del buffer[:start]

    def _frame(self, opcode: int, payload: bytes, now_us: float) -> None:
        self.frames += 1
        if opcode == 9:
            self.transport.write(masked(payload, 10))
        elif opcode == 8:
            self.close_code = int.from_bytes(payload[:2], "big")
            self.transport.write(masked(payload, 8))
        elif payload.startswith(_DELTA):
            number = int(_NUMBER.search(payload)[1])  # type: ignore[index]
            if number <= self._last:
                self.reordered += 1
            self._last = number
            for offset, _characters, tokens in msgspec.json.decode(_ARRIVALS.search(payload)[1]):  # type: ignore[index]
                self.tokens += tokens
                self._late_us.append(now_us - self._zero_us - offset)
        elif b'"at_us":' in payload:
            self._zero_us = int(_AT.search(payload)[1])  # type: ignore[index]
        elif payload.startswith(_END) and not self.ended.done():
            self.ended.set_result(None)


class Counter(asyncio.Protocol):
    """One connection that counts frames of text and answers pings, at the cost of their heads.

    Args:
        port: of the server.
        request: sent when the handshake is done.
        count: chunks after which it has ended; what follows is the counting of their tokens for the final figures.
    """

    def __init__(self, port: int, request: bytes, count: int) -> None:
        self.frames = 0
        self._left = count
        self.ended = asyncio.get_running_loop().create_future()
        self._port = port
        self._request = request
        self._open = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        transport.write(handshake(self._port))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        if not self._open:
            assert data.startswith(b"HTTP/1.1 101"), data[:200]
            data = data.partition(b"\r\n\r\n")[2]
            self._open = True
            self.transport.write(self._request)
        data = self._rest + data
        at, whole = 0, len(data)
        while whole - at >= 4:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = data[at + 2] << 8 | data[at + 3], 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            end = at + head + size
            if end > whole:
                break
            if data[at] == 0x89:
                self.transport.write(masked(data[at + head : end], 10))
            elif data.startswith(_DELTA, at + head):
                self.frames += 1
                self._left -= data.count(b"],[", at + head, end) + 1
                if self._left == 0:
                    self.ended.set_result(None)
            at = end
        self._rest = data[at:]


async def open_sinks(
    port: int, requests: list[bytes | None], late_us: array[float], *, at_once: int = 50
) -> list[Sink]:
    """Open one connection for each request."""
    loop = asyncio.get_running_loop()
    sinks: list[Sink] = []
    for first in range(0, len(requests), at_once):
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda request=request: Sink(port, request, late_us), "127.0.0.1", port)
                for request in requests[first : first + at_once]
            )
        )
        sinks += [sink for _transport, sink in made]
        await asyncio.gather(*(sink.opened for _transport, sink in made))
    return sinks


def stalled(port: int, request: bytes, *, receive_buffer: int = 4096) -> socket.socket:
    """Return a connection that has asked and will never read again."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    sock.sendall(handshake(port))
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += sock.recv(1)
    sock.sendall(request)
    return sock


class SlowReader:
    """A connection read at a constant rate, which answers pings when it has read them. Blocks: for a thread.

    Args:
        port: of the server.
        request: sent at once.
    """

    RATE = 5_000
    """Bytes per second."""
    _STEP_S = 0.01

    def __init__(self, port: int, request: bytes) -> None:
        self._sock = stalled(port, request, receive_buffer=2048)
        self._buffer = bytearray()
        self._due_s = time.monotonic()

    def __enter__(self) -> SlowReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, data: bytes) -> None:
        """Send."""
        self._sock.sendall(data)

    def read_for(self, seconds: float) -> None:
        """Read for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            list(self._frames())

    def read_until(self, kind: str) -> int:
        """Read until a whole event of a kind has come; return when, in ns of the monotonic clock."""
        wanted = f'{{"type":"{kind}"'.encode()
        while True:
            for payload in self._frames():
                if payload.startswith(wanted):
                    return time.monotonic_ns()

    def _frames(self) -> Iterator[bytes]:
        """Read one step's bytes and yield the frames that are whole by then."""
        self._due_s += self._STEP_S
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        got = self._sock.recv(int(self.RATE * self._STEP_S))
        if not got:
            raise RuntimeError("the server has closed")
        buffer = self._buffer
        buffer += got
        while len(buffer) >= 4:
            size, head = buffer[1], 2
            if size == 126:
                size, head = int.from_bytes(buffer[2:4], "big"), 4
            if len(buffer) < head + size:
                return
            opcode, payload = buffer[0] & 0x0F, bytes(buffer[head : head + size])
            del buffer[: head + size]
            if opcode == 9:
                self.send(masked(payload, 10))
            else:
                yield payload
