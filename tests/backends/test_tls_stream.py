"""TLS over memory buffers: the same bytes, the lower stream's stamps, every way in which a handshake can fail."""

from __future__ import annotations

import asyncio
import os
import ssl
import time

import httpcore2
import pytest

from chatapp.backends.dialing import TimedBackend


class TlsServer:
    """A server that does as told with each connection."""

    def __init__(self, behave, context):
        self._behave, self._context, self._tasks = behave, context, set()

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            await self._behave(reader, writer)
            await asyncio.Event().wait()
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_exc):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)
        await asyncio.sleep(0.01)  # aborted transports close their sockets in the loop's next turns


async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.close()


async def connect(port, context, host="localhost", timeout=2.0):
    stream = await TimedBackend().connect_tcp("127.0.0.1", port, 1.0)
    return await stream.start_tls(context, host, timeout)


async def test_bytes_and_stamps_go_through(server_tls, client_tls):
    async with TlsServer(echo, server_tls) as port:
        stream = await connect(port, client_tls)
        assert set(stream.connect_ns) == {"tcp", "tls"}
        await stream.write(b"hello")
        sent_ns = stream.sent_ns
        segment = await stream.receive(1.0)
        assert segment.data == b"hello"
        assert sent_ns <= segment.at_ns <= time.monotonic_ns()
        assert not stream.get_extra_info("is_readable")
        assert stream.get_extra_info("ssl_object").version().startswith("TLS")
        assert stream.get_extra_info("server_addr")[1] == port
        await stream.aclose()


async def test_large_messages(server_tls, client_tls):
    async with TlsServer(echo, server_tls) as port:
        stream = await connect(port, client_tls)
        sending = asyncio.create_task(stream.write(b"x" * 1_000_000, 5.0))
        received = 0
        while received < 1_000_000:
            received += len(await stream.read(1 << 16, 2.0))
        await sending
        await stream.aclose()


async def test_the_end(server_tls, client_tls):
    async def bye(_reader, writer):
        writer.write(b"bye")
        writer.close()

    async with TlsServer(bye, server_tls) as port:
        stream = await connect(port, client_tls)
        got = b""
        while data := await stream.read(100, 1.0):
            got += data
        assert got == b"bye"
        await stream.aclose()


async def test_an_end_without_farewell_is_for_http_to_judge(server_tls, client_tls):
    async def vanish(_reader, writer):
        writer.write(b"bye")
        await writer.drain()
        writer.transport.abort()

    async with TlsServer(vanish, server_tls) as port:
        stream = await connect(port, client_tls)
        assert await stream.read(100, 1.0) == b"bye"
        assert await stream.read(100, 1.0) == b""
        await stream.aclose()


async def test_unknown_authority(server_tls):
    async with TlsServer(echo, server_tls) as port:
        with pytest.raises(httpcore2.ConnectError) as caught:
            await connect(port, ssl.create_default_context())
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_wrong_name(server_tls, client_tls):
    async with TlsServer(echo, server_tls) as port:
        with pytest.raises(httpcore2.ConnectError, match=r"other\.test"):
            await connect(port, client_tls, host="other.test")


async def test_server_that_speaks_no_tls(client_tls):
    async def plain(_reader, writer):
        writer.write(b"220 smtp ready\r\n")

    async with TlsServer(plain, None) as port:
        with pytest.raises(httpcore2.ConnectError):
            await connect(port, client_tls)


async def test_server_that_hangs_up(client_tls):
    async def hang_up(reader, writer):
        await reader.read(1)
        writer.close()

    async with TlsServer(hang_up, None) as port:
        with pytest.raises(httpcore2.ConnectError) as caught:
            await connect(port, client_tls)
    assert isinstance(caught.value.__cause__, ssl.SSLError)


async def test_server_that_says_nothing(client_tls):
    async def silence(reader, _writer):
        await reader.read()

    async with TlsServer(silence, None) as port:
        with pytest.raises(httpcore2.ConnectTimeout):
            await connect(port, client_tls, timeout=0.05)


async def test_garbage_in_mid_stream(server_tls, client_tls):
    async def garble(reader, writer):
        await reader.read(1)
        os.write(writer.get_extra_info("socket").fileno(), b"garbage" * 10)

    async with TlsServer(garble, server_tls) as port:
        stream = await connect(port, client_tls)
        await stream.write(b"x")
        with pytest.raises(httpcore2.ReadError, match="broken TLS"):
            await stream.receive(1.0)
        await stream.aclose()


async def test_cancelled_handshake_closes_the_socket(client_tls):
    closed = asyncio.Event()

    async def silence(reader, _writer):
        while await reader.read(100):
            pass
        closed.set()

    async with TlsServer(silence, None) as port:
        task = asyncio.create_task(connect(port, client_tls))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(closed.wait(), 1.0)
