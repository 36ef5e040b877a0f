"""Network streams for httpcore2 that know when their bytes came and went.

`TimedStream` is what the HTTP layer sees; `TcpStream` reads a socket, `tls_stream.TlsStream` decrypts above any timed
stream, `PlainStream` stands in where the event loop cannot watch sockets (Windows' proactor loop).

Reading comes before parsing: the reader callback of each socket only stores stamped bytes. An event loop runs the
callbacks of all sockets that are ready before the tasks they wake, so one pass reads them all, and a decoder's work
never sits between a packet and its reading.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from typing import Any

import httpcore2

from chatapp.backends.arrival_clock import ArrivalClock, Segment

READ_BYTES = 64 << 10
HIGH_WATER = 1 << 20
"""Bytes held unparsed before reading pauses and the kernel's own flow control takes over."""
LOW_WATER = HIGH_WATER // 4
_END_OF_HEAD = b"\r\n\r\n"


class TimedStream(httpcore2.AsyncNetworkStream):
    """A stream that keeps the time of each read and of the last write.

    While an HTTP response's head is being read, `read` never returns bytes beyond it: what follows stays here, with its
    stamps, for whoever decodes the body.
    """

    def __init__(self) -> None:
        self.connect_ns: dict[str, int] = {}
        """Duration of each phase of the connection's set-up: dns, tcp, tls."""
        self.sent_ns = 0
        """Immediately before the last send: after a request has gone out, its `t_req`."""
        self.exchanges = 0
        """Requests sent on this connection so far."""
        self.at_body = False
        """The head of the current response has been read, and nothing beyond it."""
        self.last = Segment(b"", 0)
        """The segment that `read` returned last: what the HTTP layer parses now arrived with it."""
        self._pending: deque[Segment] = deque()
        self._head: bytes | None = None  # the end of the head read so far, None outside a head

    async def receive(self, timeout: float | None = None) -> Segment:
        """Return the next stamped bytes, empty at the end of the stream.

        Raises:
            httpcore2.ReadTimeout: nothing came within `timeout` seconds.
            httpcore2.ReadError: the connection broke.
        """
        return self._pending.popleft() if self._pending else await self._receive(timeout)

    def unread(self, segment: Segment) -> None:
        """Give back bytes that were not wanted; they are returned first."""
        if segment.data:
            self._pending.appendleft(segment)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes of one read, at most to the end of a response's head."""
        segment = await self.receive(timeout)
        if len(segment.data) > max_bytes:
            self.unread(segment._replace(data=segment.data[max_bytes:]))
            segment = segment._replace(data=segment.data[:max_bytes])
        if self._head is not None:
            segment = self._cut_head(segment)
        self.last = segment
        return segment.data

    def _cut_head(self, segment: Segment) -> Segment:
        assert self._head is not None
        seen = self._head + segment.data
        end = seen.find(_END_OF_HEAD)
        if end < 0:
            # The start is kept to tell 1xx from the response; the end because the blank line may be cut anywhere.
            self._head = seen[-(len(_END_OF_HEAD) - 1) :] if len(seen) > 4096 else seen
            return segment
        wanted = end + len(_END_OF_HEAD) - len(self._head)
        self.unread(segment._replace(data=segment.data[wanted:]))
        if seen.startswith((b"HTTP/1.1 1", b"HTTP/1.0 1")):
            self._head = b""  # informational: another head follows
        else:
            self._head = None
            self.at_body = True
        return segment._replace(data=segment.data[:wanted])

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        if not buffer:
            return
        if self._head is None:
            self.exchanges += 1
            self._head = b""
            self.at_body = False
        await self._write(buffer, timeout)

    def is_readable(self) -> bool:
        """Return whether something was received that nobody asked for: on an idle connection, its end."""
        return bool(self._pending) or self.has_ended()

    def has_ended(self) -> bool:
        """Return whether the peer has closed or the connection broke, as far as is known without reading."""
        return False

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Return a stream that speaks TLS over this one."""
        from chatapp.backends.tls_stream import TlsStream  # which is itself a TimedStream

        stream = TlsStream(self, ssl_context, server_hostname)
        await stream.handshake(timeout)
        return stream

    def get_extra_info(self, info: str) -> Any:
        """Answer httpcore's questions."""
        return self.is_readable() if info == "is_readable" else None

    async def _receive(self, timeout: float | None) -> Segment:
        raise NotImplementedError

    async def _write(self, buffer: bytes, timeout: float | None) -> None:
        raise NotImplementedError


class TcpStream(TimedStream):
    """A TCP socket, watched all its life.

    Args:
        sock: connected and non-blocking; the stream owns it.
        kernel: whether to ask the kernel for arrival stamps.
    """

    def __init__(self, sock: socket.socket, *, kernel: bool = True) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._clock = ArrivalClock(sock, kernel=kernel)
        self._received: deque[Segment] = deque()
        self._held = 0
        self._error: OSError | None = None
        self._ended = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._reading = True
        self._loop.add_reader(sock, self._on_readable)

    def _on_readable(self) -> None:
        try:
            segment = self._clock.receive(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._error = exc
            self._pause()
        else:
            if segment.data:
                self._received.append(segment)
                self._held += len(segment.data)
                if self._held >= HIGH_WATER:
                    self._pause()
            else:
                self._ended = True
                self._pause()
        if self._waiter is not None:
            _wake(self._waiter)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock)

    def _resume(self) -> None:
        if not self._reading and not self._ended and self._error is None and not self._closed:
            self._reading = True
            self._loop.add_reader(self._sock, self._on_readable)

    async def _receive(self, timeout: float | None) -> Segment:
        while not self._received:
            if self._closed:
                raise httpcore2.ReadError("the connection was closed here")
            if self._error is not None:
                raise httpcore2.ReadError(str(self._error)) from self._error
            if self._ended:
                return Segment(b"", time.monotonic_ns())
            await self._wait(timeout)
        segment = self._received.popleft()
        self._held -= len(segment.data)
        if self._held <= LOW_WATER:
            self._resume()
        return segment

    async def _wait(self, timeout: float | None) -> None:
        self._clock.rest()
        self._waiter = waiter = self._loop.create_future()
        # A bare timer: asyncio.timeout costs several times as much, and this runs once per chunk.
        timer = None if timeout is None else self._loop.call_later(timeout, _expire, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    async def _write(self, buffer: bytes, timeout: float | None) -> None:
        view = memoryview(buffer)
        while view:
            self.sent_ns = time.monotonic_ns()
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                await self._until_writable(timeout)
                continue
            except OSError as exc:
                raise httpcore2.WriteError(str(exc)) from exc
            view = view[sent:]
        self._clock.expect(self.sent_ns)

    async def _until_writable(self, timeout: float | None) -> None:
        writable = self._loop.create_future()
        self._loop.add_writer(self._sock, _wake, writable)
        try:
            async with asyncio.timeout(timeout):
                await writable
        except TimeoutError:
            raise httpcore2.WriteTimeout(f"the server took nothing for {timeout:g} s") from None
        finally:
            self._loop.remove_writer(self._sock)

    def is_readable(self) -> bool:
        """Return whether bytes, the end or an error wait to be read."""
        return bool(self._received) or super().is_readable()

    def has_ended(self) -> bool:
        """Return whether the peer has closed or the connection broke."""
        return self._ended or self._closed or self._error is not None

    async def aclose(self) -> None:
        """Close the socket at once; the peer sees it within its network's latency."""
        if not self._closed:
            self._pause()
            self._closed = True
            self._sock.close()
            if self._waiter is not None:
                _wake(self._waiter)

    def get_extra_info(self, info: str) -> Any:
        """Answer httpcore's questions."""
        if info == "socket":
            return self._sock
        if info in ("client_addr", "server_addr"):
            return self._sock.getsockname() if info == "client_addr" else self._sock.getpeername()
        return super().get_extra_info(info)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(httpcore2.ReadTimeout("nothing was received in time"))


class PlainStream(TimedStream):
    """Any httpcore stream with the process clock's times: for event loops that cannot watch sockets."""

    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        super().__init__()
        self._inner = inner
        self._read_at_ns = time.monotonic_ns()

    async def _receive(self, timeout: float | None) -> Segment:
        data = await self._inner.read(READ_BYTES, timeout)
        before_ns, self._read_at_ns = self._read_at_ns, time.monotonic_ns()
        return Segment(data, self._read_at_ns, self._read_at_ns - before_ns)

    async def _write(self, buffer: bytes, timeout: float | None) -> None:
        self.sent_ns = time.monotonic_ns()
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Answer httpcore's questions as the inner stream does."""
        return self._inner.get_extra_info(info) or (bool(self._pending) if info == "is_readable" else None)
