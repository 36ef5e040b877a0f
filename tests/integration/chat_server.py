"""A scripted chat-completions server on loopback sockets: true dialects, true faults, byte-exact.

    async with ChatServer(answer("Hello world")) as server:
        backend = ...(server.base_url)

Each request takes the next reply of the script; the last one repeats. A reply is a status, headers and a list of steps;
`answer` makes the usual ones. Everything a client did is in `server.requests`.

By hand: `python -m tests.integration.chat_server --port 8000 --tokens 200 --gap-ms 5`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Dialect = Literal["openai", "cerebras", "groq", "llama.cpp", "moonshot", "openrouter", "vllm"]


@dataclass(frozen=True)
class Sleep:
    """Wait before the next step."""

    seconds: float


@dataclass(frozen=True)
class Raw:
    """Bytes of the connection itself, outside the body's framing."""

    data: bytes


class Hold:
    """Send nothing more and keep the connection open until the client leaves."""


class Close:
    """Close the connection here, without ending the body."""


class Reset:
    """Break the connection here by RST."""


Step = bytes | Sleep | Raw | Hold | Close | Reset | type[Hold] | type[Close] | type[Reset]
"""Bytes are a piece of the body, sent by themselves."""


@dataclass(frozen=True)
class Reply:
    """What one request gets."""

    steps: Sequence[Step] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream"
    framing: Literal["chunked", "close", "length"] = "chunked"
    before: float = 0.0
    """Seconds before the head."""
    vanish: bool = False
    """Close the connection instead of answering."""


@dataclass
class Received:
    """What came from a client."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at_ns: int
    connection: int
    """Number of the connection, from 0."""
    sent: list[tuple[int, int]] = field(default_factory=list)
    """(CLOCK_MONOTONIC in ns immediately before the send, bytes) of each step."""
    left_ns: int = 0
    """When the client closed the connection in mid-reply; 0: it did not."""


def sse(payload: Any) -> bytes:
    """Return one event."""
    return b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"


DONE = sse(b"[DONE]")


def chunk(
    content: str | None = None,
    *,
    reasoning: str | None = None,
    reasoning_field: str = "reasoning_content",
    role: str | None = None,
    finish: str | None = None,
    index: int = 0,
    **top: Any,
) -> bytes:
    """Return one chat.completion.chunk as an event; `top` adds fields beside `choices`."""
    delta: dict[str, Any] = {}
    if role is not None:
        delta |= {"role": role, "content": ""}
    if content is not None:
        delta["content"] = content
    if reasoning is not None:
        delta[reasoning_field] = reasoning
    return sse(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_790_000_000,
            "model": "test-model",
            "system_fingerprint": "fp_test",
            "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
            **top,
        }
    )


def usage_chunk(prompt: int, completion: int, **top: Any) -> bytes:
    """Return the last chunk of `stream_options.include_usage`: no choices, only usage."""
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return sse({"id": "chatcmpl-1", "model": "test-model", "choices": [], "usage": counted, **top})


def answer(
    text: str | Iterable[str],
    *,
    reasoning: Iterable[str] = (),
    dialect: Dialect = "openai",
    gap: float = 0.0,
    first: float = 0.0,
    prompt_tokens: int = 12,
    finish: str = "stop",
    done: bool = True,
    usage: bool = True,
    **reply: Any,
) -> Reply:
    """Return a whole, regular answer: one chunk for each piece (a string is cut into words).

    Args:
        text: the answer.
        reasoning: pieces of reasoning that come first.
        dialect: whose field names and last chunks.
        gap: seconds between chunks.
        first: seconds between the role chunk and the first text.
        prompt_tokens: as usage says.
        finish: the finish_reason.
        done: whether [DONE] is sent.
        usage: whether usage is sent.
        reply: fields of `Reply`.
    """
    pieces = [word + " " for word in text.split()] if isinstance(text, str) else list(text)
    thoughts = list(reasoning)
    field_name = "reasoning" if dialect in ("groq", "cerebras", "openrouter") else "reasoning_content"
    steps: list[Step] = [chunk(role="assistant")]
    if dialect == "openrouter":
        steps.insert(0, b": OPENROUTER PROCESSING\n\n")
    if first:
        steps.append(Sleep(first))
    for thought in thoughts:
        steps += [chunk(reasoning=thought, reasoning_field=field_name), Sleep(gap)]
    for piece in pieces:
        steps += [chunk(piece), Sleep(gap)]
    steps += _endings(dialect, prompt_tokens, len(pieces) + len(thoughts), finish, usage=usage)
    if done:
        steps.append(DONE)
    return Reply([s for s in steps if s != Sleep(0.0)], **reply)


def _endings(dialect: Dialect, prompt: int, completion: int, finish: str, *, usage: bool) -> list[Step]:
    if not usage:
        return [chunk(finish=finish)]
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    seconds = {"queue_time": 0.001, "prompt_time": 0.004, "completion_time": 0.05, "total_time": 0.055}
    if dialect == "cerebras":
        return [chunk(finish=finish, usage=counted, time_info={**seconds, "created": 1_790_000_000})]
    if dialect == "groq":
        return [chunk(finish=finish, x_groq={"id": "req_1", "usage": {**counted, **seconds}})]
    if dialect == "moonshot":
        last = json.loads(chunk(finish=finish)[6:])
        last["choices"][0]["usage"] = counted
        return [sse(last)]
    if dialect == "llama.cpp":
        timings = {"prompt_n": prompt, "prompt_ms": 30.0, "prompt_per_second": 400.0}
        timings |= {"predicted_n": completion, "predicted_ms": 500.0, "predicted_per_second": 60.0}
        return [chunk(finish=finish), usage_chunk(prompt, completion, timings=timings)]
    return [chunk(finish=finish), usage_chunk(prompt, completion)]


def refusal(status: int, message: str = "no", *, kind: str = "error", headers: dict[str, str] | None = None) -> Reply:
    """Return an error before the stream."""
    body = json.dumps({"error": {"message": message, "type": kind, "code": None}}).encode()
    return Reply([body], status, headers or {}, "application/json", "length")


async def eventually(condition: Callable[[], object], *, within: float = 1.0) -> None:
    """Return once the condition holds; what a peer does over a socket cannot be waited for in any other way.

    Raises:
        TimeoutError: it does not within `within` seconds.
    """
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - the peer sets no event of ours
            await asyncio.sleep(0.002)


class ChatServer:
    """The server; use as an async context manager.

    Args:
        replies: one for each chat request in turn, the last repeating; or a function of the request.
        models: what `GET /v1/models` lists; None: 404.
        tls: serve HTTPS with this context.
        port: 0 chooses a free one.
    """

    def __init__(
        self,
        *replies: Reply | Callable[[Received], Reply],
        models: Sequence[str] | None = ("test-model",),
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.replies = replies or (answer("Hello from the test server."),)
        self.models = models
        self.requests: list[Received] = []
        """Chat requests, in order of arrival."""
        self.connections = 0
        self._answered = 0
        self._tls = tls
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def base_url(self) -> str:
        """What a client is given."""
        host = "localhost" if self._tls else "127.0.0.1"
        return f"http{'s' if self._tls else ''}://{host}:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls, limit=1 << 22)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        number, self.connections = self.connections, self.connections + 1
        try:
            while (request := await _read_request(reader, number)) is not None:
                keep = await self._respond(request, reader, writer)
                if not keep:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _respond(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if request.method == "GET":
            reply = self._list_models()
        else:
            self.requests.append(request)
            reply_or_choice = self.replies[min(self._answered, len(self.replies) - 1)]
            self._answered += 1
            reply = reply_or_choice if isinstance(reply_or_choice, Reply) else reply_or_choice(request)
        # Watching for the client's departure consumes nothing: a client sends no second request before the first ends.
        leaving = asyncio.create_task(reader.read(1))
        sending = asyncio.create_task(_send(reply, request, writer))
        await asyncio.wait({leaving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done() and not sending.done():
            request.left_ns = time.monotonic_ns()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            return False
        try:
            keep = sending.result()
        except ConnectionError:
            request.left_ns = time.monotonic_ns()
            keep = False
        if not keep:
            leaving.cancel()
            return False
        first = await leaving
        if not first:
            return False
        reader._buffer[:0] = first  # type: ignore[attr-defined] # the next request's first byte goes back
        return True

    def _list_models(self) -> Reply:
        if self.models is None:
            return refusal(404, "no such route")
        listed = {"object": "list", "data": [{"id": model, "object": "model"} for model in self.models]}
        return Reply([json.dumps(listed).encode()], content_type="application/json", framing="length")


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _version = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, json.loads(body) if body else None, time.monotonic_ns(), connection)


async def _send(reply: Reply, request: Received, writer: asyncio.StreamWriter) -> bool:
    """Send a reply; return whether the connection may serve another request."""
    if reply.before:
        await asyncio.sleep(reply.before)
    if reply.vanish:
        return False
    headers = {"Content-Type": reply.content_type, "X-Request-Id": "req-test-1", **reply.headers}
    if reply.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    elif reply.framing == "length":
        headers["Content-Length"] = str(sum(len(s) for s in reply.steps if isinstance(s, bytes)))
    else:
        headers["Connection"] = "close"
    head = f"HTTP/1.1 {reply.status} Scripted\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n"
    writer.write(head.encode("latin-1"))
    for step in reply.steps:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, (bytes, Raw)):
            data = step.data if isinstance(step, Raw) else step
            if isinstance(step, bytes) and reply.framing == "chunked":
                data = b"%x\r\n%b\r\n" % (len(data), data)
            request.sent.append((time.monotonic_ns(), len(data)))
            writer.write(data)
            await writer.drain()
        elif step is Hold or isinstance(step, Hold):
            await asyncio.Event().wait()
        elif step is Reset or isinstance(step, Reset):
            await asyncio.sleep(0.01)  # let what was written leave first: a reset discards it
            _reset(writer)
            return False
        else:
            await writer.drain()
            return False
    if reply.framing == "chunked":
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return reply.framing != "close"


def _reset(writer: asyncio.StreamWriter) -> None:
    import socket
    import struct

    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A chat-completions server that tells a fixed text.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--gap-ms", type=float, default=5.0)
    parser.add_argument("--first-ms", type=float, default=50.0)
    options = parser.parse_args()
    words = [f"word{i} " for i in range(options.tokens)]
    reply = answer(words, gap=options.gap_ms / 1000, first=options.first_ms / 1000)
    async with ChatServer(reply, port=options.port) as server:
        print(f"listening on {server.base_url}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
