"""Streams over real sockets: stamps, heads, flow control, ends."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import httpcore2
import pytest

from chatapp.backends import timed_stream
from chatapp.backends.arrival_clock import Segment
from chatapp.backends.timed_stream import PlainStream, TcpStream, TimedStream


@pytest.fixture
async def connected(socket_pair):
    ours, peer = socket_pair
    stream = TcpStream(ours)
    yield stream, peer
    await stream.aclose()


async def test_what_was_sent_is_read_with_its_stamp(connected):
    stream, peer = connected
    peer.send(b"hello")
    segment = await stream.receive(1.0)
    assert segment.data == b"hello"
    assert segment.at_ns <= time.monotonic_ns()


async def test_read_is_done_before_anybody_asks(connected):
    stream, peer = connected
    peer.send(b"a")
    await asyncio.sleep(0.01)
    peer.send(b"b")
    await asyncio.sleep(0.01)
    assert [(await stream.receive()).data, (await stream.receive()).data] == [b"a", b"b"]


async def test_read_never_returns_more_than_asked(connected):
    stream, peer = connected
    peer.send(b"hello")
    assert await stream.read(2, 1.0) == b"he"
    assert await stream.read(100, 1.0) == b"llo"
    assert stream.last.data == b"llo"


async def test_timeout(connected):
    stream, _peer = connected
    with pytest.raises(httpcore2.ReadTimeout):
        await stream.read(10, 0.01)


async def test_end(connected):
    stream, peer = connected
    peer.close()
    assert await stream.read(10, 1.0) == b""
    assert await stream.read(10, 1.0) == b""
    assert stream.get_extra_info("is_readable")


async def test_reset(connected):
    stream, peer = connected
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(httpcore2.ReadError):
        await stream.read(10, 1.0)


async def test_an_idle_stream_is_readable_only_when_something_came(connected):
    stream, peer = connected
    assert not stream.get_extra_info("is_readable")
    peer.send(b"unasked")
    await asyncio.sleep(0.01)
    assert stream.get_extra_info("is_readable")


async def test_closing_wakes_the_reader(connected):
    stream, _peer = connected
    reading = asyncio.create_task(stream.read(10))
    await asyncio.sleep(0)
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(httpcore2.ReadError):
        await reading


async def test_held_bytes_are_bounded_and_nothing_is_lost(connected, monkeypatch):
    monkeypatch.setattr(timed_stream, "HIGH_WATER", 50_000)
    monkeypatch.setattr(timed_stream, "LOW_WATER", 10_000)
    stream, peer = connected
    peer.setblocking(False)
    total = 3_000_000
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(peer, b"x" * total))
    await asyncio.sleep(0.05)
    assert stream._held <= 50_000 + timed_stream.READ_BYTES
    received = 0
    while received < total:
        received += len(await stream.read(100_000, 1.0))
    await sending
    assert received == total


async def test_head_is_cut_off_from_the_body(connected):
    stream, peer = connected
    await stream.write(b"GET / HTTP/1.1\r\n\r\n")
    peer.send(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody")
    assert await stream.read(1000, 1.0) == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert stream.at_body
    assert await stream.read(1000, 1.0) == b"body"


@pytest.mark.parametrize("cut", range(1, 30))
async def test_head_may_be_cut_anywhere(connected, cut):
    head, body = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"body"
    stream, peer = connected
    await stream.write(b"GET")
    data, got = head + body, b""
    peer.send(data[:cut])
    await asyncio.sleep(0.001)
    peer.send(data[cut:])
    while not stream.at_body:
        got += await stream.read(1000, 1.0)
    assert got == head


async def test_informational_heads_come_before_the_response(connected):
    stream, peer = connected
    await stream.write(b"GET")
    peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody")
    assert await stream.read(1000, 1.0) == b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert not stream.at_body
    assert await stream.read(1000, 1.0) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert stream.at_body


async def test_a_long_head_costs_no_memory(connected):
    stream, peer = connected
    await stream.write(b"GET")
    peer.send(b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 9000)
    await stream.read(100_000, 1.0)
    peer.send(b"\r\n\r\nbody")
    assert await stream.read(1000, 1.0) == b"\r\n\r\n"


async def test_requests_are_counted_by_their_first_write(connected):
    stream, peer = connected
    await stream.write(b"")
    assert stream.exchanges == 0
    await stream.write(b"head")
    first_ns = stream.sent_ns
    await stream.write(b"body")
    assert stream.exchanges == 1
    assert first_ns <= stream.sent_ns <= time.monotonic_ns()
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    await stream.read(100, 1.0)
    await stream.write(b"next")
    assert (stream.exchanges, stream.at_body) == (2, False)


async def test_writing_waits_for_a_slow_peer(connected):
    stream, peer = connected
    sending = asyncio.create_task(stream.write(b"x" * 5_000_000, 2.0))
    await asyncio.sleep(0.01)
    assert not sending.done()
    peer.setblocking(False)
    received = 0
    while received < 5_000_000:
        received += len(await asyncio.get_running_loop().sock_recv(peer, 1 << 20))
    await sending


async def test_writing_to_who_never_reads_times_out(connected):
    stream, _peer = connected
    with pytest.raises(httpcore2.WriteTimeout):
        await stream.write(b"x" * 20_000_000, 0.01)


async def test_writing_to_who_has_gone(connected):
    stream, peer = connected
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await asyncio.sleep(0.01)
    with pytest.raises(httpcore2.WriteError):
        await stream.write(b"x" * 1000)


async def test_extra_info(connected):
    stream, peer = connected
    assert stream.get_extra_info("socket").fileno() >= 0
    assert stream.get_extra_info("server_addr") == peer.getsockname()
    assert stream.get_extra_info("client_addr") == peer.getpeername()
    assert stream.get_extra_info("ssl_object") is None


async def test_unread_comes_first():
    stream = TimedStream()
    stream.unread(Segment(b"", 0))
    assert not stream.is_readable()
    stream.unread(Segment(b"b", 2))
    stream.unread(Segment(b"a", 1))
    assert [(await stream.receive()).data, (await stream.receive()).data] == [b"a", b"b"]


async def test_uvloop_watches_the_socket_too(socket_pair):
    pytest.importorskip("uvloop")
    import uvloop

    ours, peer = socket_pair

    async def exchange():
        stream = TcpStream(ours)
        await stream.write(b"ping")
        peer.send(b"pong")
        segment = await stream.receive(1.0)
        await stream.aclose()
        return segment

    loop = uvloop.new_event_loop()
    try:
        segment = await asyncio.to_thread(loop.run_until_complete, exchange())
    finally:
        loop.close()
    assert segment.data == b"pong"


async def test_plain_stream_stamps_at_the_read():
    inner = httpcore2.AsyncMockStream([b"hello"])
    stream = PlainStream(inner)
    before_ns = time.monotonic_ns()
    await stream.write(b"x")
    segment = await stream.receive()
    assert (segment.data, segment.source) == (b"hello", "process")
    assert before_ns <= stream.sent_ns <= segment.at_ns
    assert stream.get_extra_info("is_readable") is False
    assert (await stream.receive()).data == b""
    await stream.aclose()
