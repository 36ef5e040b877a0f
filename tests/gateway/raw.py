"""A WebSocket client that sends exactly the bytes a test wants, well-formed or not."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.gateway.scripted import TOKEN

TEXT, BINARY, CLOSE, PING, PONG, CONT = 1, 2, 8, 9, 10, 0
OPENING = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Authorization": f"Bearer {TOKEN.reveal()}",
}


def frame(payload=b"", opcode=TEXT, *, fin=True, rsv=0, masked=True, length=None):
    """A frame; `length` announces another one than the payload has."""
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def event(kind="response.create", **fields):
    return json.dumps({"type": kind, **fields})


class RawClient:
    """One connection; reads frames as they come, answers no ping unless told to."""

    def __init__(self, reader, writer, *, pongs=True):
        self.reader = reader
        self.writer = writer
        self.pongs = pongs
        self.pings = 0

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def say(self, **fields):
        """Send an event."""
        await self.send(frame(event(**fields)))

    async def read(self):
        """Return the next frame that is no ping, as (opcode, payload)."""
        while True:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            payload = await self.reader.readexactly(size)
            opcode = first & 0x0F
            if opcode != PING:
                return opcode, payload
            self.pings += 1
            if self.pongs:
                await self.send(frame(payload, PONG))

    async def event(self):
        """Return the next event."""
        opcode, payload = await self.read()
        assert opcode == TEXT, (opcode, payload)
        return json.loads(payload)

    async def until(self, *kinds):
        """Return all events up to one of these kinds."""
        events = [await self.event()]
        while events[-1]["type"] not in kinds:
            events.append(await self.event())
        return events

    async def close_code(self):
        """Return the code of the close frame that comes next, whatever comes before; 1006 without one."""
        try:
            while True:
                opcode, payload = await self.read()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 1006

    def reset(self):
        """End the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()


def request(path, headers, *, method="GET", version="HTTP/1.1", host="127.0.0.1"):
    lines = [f"{method} {path} {version}", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def ask(url, data):
    """Send bytes to the port of `url` and return everything that comes back until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    try:
        writer.write(data)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def answer(url, path="/v1/responses", headers=None, **how):
    """Return status and body of an HTTP exchange."""
    raw = await ask(url, request(path, OPENING if headers is None else headers, **how))
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.decode() + "\n" + body.decode()


@asynccontextmanager
async def connected(url, *, pongs=True, receive_buffer=None, headers=None, port=None):
    """An open WebSocket."""
    import socket

    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port or urlsplit(url).port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2048 if receive_buffer else 1 << 16)
    try:
        writer.write(request("/v1/responses", headers or OPENING))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        yield RawClient(reader, writer, pongs=pongs)
    finally:
        writer.transport.abort()
