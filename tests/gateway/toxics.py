"""A TCP proxy that does to a connection what networks do, in toxiproxy's words; one toxic at a time."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Toxic:
    """What happens to bytes on their way from the gateway to the client. May be changed while they flow."""

    latency_s: float = 0.0
    bandwidth: int = 0
    """Bytes per second, 0: as fast as they come."""
    slicer: int = 0
    """Bytes of one write, 0: as they come."""
    limit_data: int = 0
    """Bytes after which the connection is closed, 0: never."""
    timeout: bool = False
    """Nothing passes any more in either direction, and nothing is closed."""


class Proxy:
    """One listener in front of the gateway."""

    def __init__(self, target: int, toxic: Toxic, receive_buffer: int) -> None:
        self.toxic = toxic
        self._target = target
        self._receive_buffer = receive_buffer
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import socket

        sock = socket.socket()
        # A small window: what this proxy has not passed on yet must not have left the gateway either.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._target))
        up_reader, up_writer = await asyncio.open_connection(sock=sock, limit=self._receive_buffer)
        self._writers += [writer, up_writer]
        there = asyncio.create_task(self._pass(reader, up_writer, Toxic()))
        back = asyncio.create_task(self._pass(up_reader, writer, self.toxic))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for each in (writer, up_writer):
                each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, toxic: Toxic) -> None:
        passed = 0
        while data := await reader.read(toxic.slicer or 512):
            if self.toxic.timeout:
                await asyncio.Event().wait()
            if toxic.latency_s:
                await asyncio.sleep(toxic.latency_s)
            if toxic.bandwidth:
                await asyncio.sleep(len(data) / toxic.bandwidth)
            writer.write(data)
            await writer.drain()
            passed += len(data)
            if toxic.limit_data and passed >= toxic.limit_data:
                return

    def reset_peer(self) -> None:
        """End every connection with a TCP reset on both sides."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
            writer.transport.abort()

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def poisoned(target: int, *, receive_buffer: int = 4096, **toxic):
    """A proxy in front of a port; yields (proxy, its port)."""
    proxy = Proxy(target, Toxic(**toxic), receive_buffer)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=receive_buffer)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        proxy.close()
        await asyncio.sleep(0)
