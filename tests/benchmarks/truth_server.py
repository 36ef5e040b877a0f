"""A chat-completions server whose every send is known: the truth that measurements are compared with.

It takes a request's arrival from the kernel's stamp (its own wake-up must not be blamed on the client), sends each
chunk at an absolute deadline, and notes the monotonic clock immediately before each send. A line on its stdin makes it
print what it has done since the last, as one line: [{"id", "arrived_ns", "sent_ns": [...], "tokens": [...]}, ...]. One
thread, one selector, no library that could delay a send. It shares no code with what is measured.

The model's name says what to answer: `first_us=50000,gap_us=5000,chunks=100,per_chunk=1,reasoning=0,odd=0`.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import random
import selectors
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass
from functools import cache

SO_TIMESTAMPNS = 35
SPIN_NS = 1_500_000
"""Before a deadline this close the server spins: a sleeping process is woken too late."""

WORDS = (
    *("time", "people", "water", "history", "music", "garden", "river", "paper", "window", "letter"),
    *("winter", "evening", "summer", "village", "number", "engine", "picture", "station", "island", "market"),
)
"""Each with its leading space is one cl100k token."""


@dataclass
class Spec:
    """What to answer."""

    first_us: int = 50_000
    gap_us: int = 5_000
    chunks: int = 100
    per_chunk: int = 1
    reasoning: int = 0
    """Chunks of reasoning among them, at the start."""
    odd: int = 0
    """1: tokens of another vocabulary, which cl100k does not share."""

    @classmethod
    def parse(cls, model: str) -> Spec:
        """Read a model's name."""
        return cls(**{name: int(value) for name, _, value in (part.partition("=") for part in model.split(","))})


@dataclass(frozen=True)
class Piece:
    """Bytes to be sent so long after the request's arrival."""

    offset_ns: int
    data: bytes
    tokens: int = 0


class Connection:
    """One client."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.received = b""
        self.arrived_ns = 0
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True) if context else None
        self._shaken = context is None

    def read(self) -> bool:
        """Take what has come, with the kernel's stamp; return False at the end."""
        data, ancillary, _flags, _address = self.sock.recvmsg(1 << 18, 64)
        mono, real = time.monotonic_ns(), time.time_ns()
        if not data:
            return False
        self.arrived_ns = mono
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@qq", value[:16])
                self.arrived_ns = seconds * 1_000_000_000 + nanoseconds + mono - real
        if self._tls is None:
            self.received += data
            return True
        self._incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while True:
                self.received += self._tls.read(1 << 16)
        if pending := self._outgoing.read():
            self.sock.sendall(pending)
        return True

    def send(self, data: bytes) -> int:
        """Send; return the time immediately before the system call."""
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        now = time.monotonic_ns()
        self.sock.sendall(data)
        return now

    def take_request(self) -> tuple[str, dict[str, object]] | None:
        """Return the path and body of a whole request, if there is one."""
        head, blank, rest = self.received.partition(b"\r\n\r\n")
        if not blank:
            return None
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self.received = rest[length:]
        return lines[0].split(" ")[1], json.loads(rest[:length]) if length else {}


def chunked(data: bytes) -> bytes:
    """Frame a piece of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(payload: object) -> bytes:
    """Return one framed server-sent event."""
    return chunked(b"data: " + json.dumps(payload).encode() + b"\n\n")


def delta(**content: str) -> bytes:
    """Return one framed chunk of a chat completion."""
    return event(
        {
            "id": "chatcmpl-truth",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "truth",
            "choices": [{"index": 0, "delta": content, "finish_reason": None}],
        }
    )


@cache
def plan(model: str) -> tuple[Piece, ...]:
    """Return every piece of an answer, made once, so that nothing but sending is left when a request comes."""
    spec = Spec.parse(model)
    source = random.Random(model)
    pieces = [Piece(0, delta(role="assistant", content=""))]
    at = spec.first_us * 1_000
    for index in range(spec.chunks):
        if spec.odd:
            text = "".join(source.choice(WORDS)[: source.randint(2, 4)] for _ in range(spec.per_chunk))
        else:
            text = "".join(" " + source.choice(WORDS) for _ in range(spec.per_chunk))
        name = "reasoning_content" if index < spec.reasoning else "content"
        pieces.append(Piece(at, delta(**{name: text}), spec.per_chunk))
        at += spec.gap_us * 1_000
    tokens = spec.chunks * spec.per_chunk
    usage: dict[str, object] = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9}
    if spec.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": spec.reasoning * spec.per_chunk}
    ending = event({"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    ending += event({"id": "x", "choices": [], "usage": usage}) + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return (*pieces, Piece(at, ending))


def head(number: int) -> bytes:
    """Return the head of a response."""
    return (
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        f"x-request-id: {number}\r\n\r\n"
    ).encode()


TOLD: list[dict[str, object]] = []
"""What was done since it was last asked for."""


class Telling:
    """An answer on its way."""

    def __init__(self, connection: Connection, model: str, number: int) -> None:
        self._connection = connection
        self._pieces = plan(model)
        self._next = 0
        self._head = head(number)
        self._sent_ns: list[int] = []
        self._tokens: list[int] = []
        self._id = str(number)
        self._arrived_ns = connection.arrived_ns

    @property
    def due_ns(self) -> int:
        """When the next piece is to be sent."""
        return self._arrived_ns + self._pieces[self._next].offset_ns

    def send(self) -> bool:
        """Send the next piece and note when; return whether there is another."""
        piece = self._pieces[self._next]
        self._next += 1
        try:
            at_ns = self._connection.send(self._head + piece.data)
        except OSError:  # the client has gone
            return False
        self._head = b""
        if piece.tokens:
            self._sent_ns.append(at_ns)
            self._tokens.append(piece.tokens)
        if self._next < len(self._pieces):
            return True
        truth = {"id": self._id, "arrived_ns": self._arrived_ns, "sent_ns": self._sent_ns, "tokens": self._tokens}
        TOLD.append(truth)
        return False


def serve(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    """Serve until stdin is closed."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    due: list[tuple[int, int, Telling]] = []
    number = 0
    while True:
        wait_ns = due[0][0] - time.monotonic_ns() - SPIN_NS if due else 1_000_000_000
        for key, _mask in selector.select(max(0.0, wait_ns / 1e9)):
            if key.fileobj is sys.stdin:
                if not sys.stdin.readline():
                    return
                print(json.dumps(TOLD), flush=True)
                TOLD.clear()
                continue
            if key.fileobj is listener:
                sock, _address = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                selector.register(sock, selectors.EVENT_READ, Connection(sock, context))
                continue
            connection: Connection = key.data
            try:
                alive = connection.read()
            except OSError:
                alive = False
            if not alive:
                selector.unregister(connection.sock)
                connection.sock.close()
                continue
            request = connection.take_request()
            if request is None:
                continue
            path, body = request
            if path.endswith("/models"):
                listed = json.dumps({"object": "list", "data": []}).encode()
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(listed), listed))
                continue
            number += 1
            telling = Telling(connection, str(body["model"]), number)
            heapq.heappush(due, (telling.due_ns, number, telling))
        while due and due[0][0] <= time.monotonic_ns():
            _at, order, telling = heapq.heappop(due)
            if telling.send():
                heapq.heappush(due, (telling.due_ns, order, telling))


def main() -> None:
    """Listen on a free port, print it, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cert", help="PEM file with certificate and key: serve HTTPS")
    parser.add_argument("--cpu", type=int, help="run on this core only")
    options = parser.parse_args()
    if options.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.cpu})
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        # Inherited by accepted sockets: the first segment of a fresh socket bears no stamp otherwise.
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        serve(listener, context)


if __name__ == "__main__":
    main()
