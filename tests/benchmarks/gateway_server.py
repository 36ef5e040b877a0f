"""The servers that `tests.benchmarks.gateway` measures, each alone in a process on a core of its own.

    python -m tests.benchmarks.gateway_server gateway|plain [--cpu N] [--loop uvloop|asyncio]

`gateway` is ours with scripted backends behind it: `paced:RATE` (tokens per second, one chunk each), `flood:COUNT`
(as fast as they are taken), `instant` (one chunk at once), `silent`, and `ends` and `breaks`, which have text waiting
for a slow reader when they end, or fail. `plain` is what one writes in an afternoon with the library's defaults:
websockets' `serve`, one task and one JSON text frame per token, no joining.

With `--unjoined` the gateway joins nothing: a frame for each chunk, in a window of 4 MiB. Both pace all their streams
by one clock, so that the paced source costs both the same. Prints the port, a line `closed NANOSECONDS` for each
upstream that was closed early, and `ended NANOSECONDS` at the end of an `ends` or `breaks`. `OTEL_...` variables
have it report to OpenTelemetry, as they do `chatapp gateway`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import time
from collections import deque
from collections.abc import AsyncGenerator

from chatapp.gateway import outbox
from chatapp.gateway.access import Access
from chatapp.gateway.child import run
from chatapp.gateway.peer import Limits
from chatapp.gateway.server import Gateway
from chatapp.gateway.telemetry import open_telemetry
from chatapp.stream.events import BackendInfo, Delta, Event, Failed, Finished, Request, Sent, Usage

TOKEN = "benchmark-token-0123456789"
TEXT = " token"
STEP_S = 0.001
BACKLOG = 6_000
"""Tokens that `ends` and `breaks` have written before their end: 36 kB, which nobody at 5 kB/s has read by then."""
BACKLOG_S = 3.0

dumps = json.JSONEncoder(separators=(",", ":")).encode


class Pacer:
    """One timer for all paced streams: every millisecond it wakes those whose next token is due."""

    def __init__(self) -> None:
        self._due: dict[int, deque[asyncio.Future[None]]] = {}
        self._step = 0
        self._started = 0.0

    def start(self) -> None:
        """Begin to step."""
        self._started = time.monotonic()
        self._turn()

    def next_step(self) -> int:
        """Return the next step."""
        return self._step + 1

    async def wait(self, step: int) -> None:
        """Return in the turn of `step`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due.setdefault(max(step, self._step + 1), deque()).append(future)
        await future

    def _turn(self) -> None:
        target = int((time.monotonic() - self._started) / STEP_S)
        while self._step < target:
            self._step += 1
            for future in self._due.pop(self._step, ()):
                if not future.done():
                    future.set_result(None)
        asyncio.get_running_loop().call_later(STEP_S, self._turn)


class Source:
    """A scripted backend; its name says what it does."""

    told = True
    """Whether to say which upstreams are closed early: a soak would fill the pipe."""

    def __init__(self, name: str, pacer: Pacer) -> None:
        self.info = BackendInfo(name, name, "live", "benchmark", name)
        self._kind, _, rest = name.partition(":")
        self._number = float(rest or 0)
        self._pacer = pacer

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield as the name says, until the request's `max_output_tokens`."""
        count = request.max_output_tokens or 1
        finished = False
        try:
            yield Sent(time.monotonic_ns())
            if self._kind == "paced":
                gap = 1 / self._number / STEP_S
                # Spread over the interval, as independent users would be.
                first = self._pacer.next_step() + (hash(request.prompt) % 1000) * gap / 1000
                for number in range(count):
                    await self._pacer.wait(int(first + number * gap))
                    yield Delta(TEXT, time.monotonic_ns(), tokens=1)
            elif self._kind == "flood":
                for _ in range(count):
                    yield Delta(TEXT, time.monotonic_ns(), tokens=1)
            elif self._kind in ("ends", "breaks"):
                for _ in range(BACKLOG // 20):
                    yield Delta(TEXT * 20, time.monotonic_ns(), tokens=20)
                    await asyncio.sleep(BACKLOG_S / BACKLOG * 20)
                finished = True
                print(f"ended {time.monotonic_ns()}", flush=True)
                if self._kind == "breaks":
                    yield Failed(time.monotonic_ns(), "server_error", "it broke")
                    return
            elif self._kind == "instant":
                yield Delta(TEXT, time.monotonic_ns(), tokens=1)
            else:
                await asyncio.Event().wait()
            yield Usage(1, count)
            finished = True
            yield Finished(time.monotonic_ns())
        finally:
            if not finished and self.told:
                print(f"closed {time.monotonic_ns()}", flush=True)

    async def warm(self) -> None:
        """Nothing to warm."""

    async def aclose(self) -> None:
        """Nothing to close."""


async def serve_gateway(limits: Limits) -> None:
    """Serve our gateway."""
    pacer = Pacer()
    pacer.start()

    async def models() -> list:
        return []

    meter, _lines = open_telemetry(os.environ)
    access = Access(TOKEN, loopback=True)
    gateway = Gateway(lambda name: Source(name, pacer), models, access, limits=limits, meter=meter)
    await gateway.listen("127.0.0.1", 0)
    await until_told(gateway.port)
    await gateway.aclose()
    print(f"gone {time.monotonic_ns()}", flush=True)


async def serve_plain() -> None:
    """Serve the plain relay."""
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    pacer = Pacer()
    pacer.start()

    async def relay(connection: ServerConnection) -> None:
        try:
            asked = json.loads(await connection.recv())
            zero = time.monotonic_ns() // 1000
            await connection.send(dumps({"type": "response.in_progress", "sent": {"at_us": zero}}))
            source = Source(asked["model"], pacer)
            request = Request(messages=(), max_output_tokens=asked["max_output_tokens"])
            number = 0
            async for event in source.stream(request):
                if isinstance(event, Delta):
                    frame = {
                        "type": "response.output_text.delta",
                        "sequence_number": number,
                        "delta": event.text,
                        "arrivals": [[event.at_ns // 1000 - zero, len(event.text), 1]],
                    }
                    await connection.send(dumps(frame))
                    number += 1
            await connection.send(dumps({"type": "response.completed"}))
        except ConnectionClosed:
            pass

    async with serve(relay, "127.0.0.1", 0) as server:
        await until_told(next(iter(server.sockets)).getsockname()[1])
    print(f"gone {time.monotonic_ns()}", flush=True)


async def until_told(port: int) -> None:
    """Say where we listen, count tasks when asked, and wait for another line, or the end, of standard input."""
    gc.collect()
    gc.freeze()
    print(f"port {port}", flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0))
    while await reader.readline() == b"count\n":
        print(f"tasks {len(asyncio.all_tasks())}", flush=True)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("gateway", "plain"))
    parser.add_argument("--cpu", type=int)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--unjoined", action="store_true", help="a frame for each chunk, of `gateway`")
    parser.add_argument("--quiet", action="store_true", help="do not say which upstreams are closed early")
    options = parser.parse_args()
    Source.told = not options.quiet
    if options.unjoined:
        outbox.TICK_NS = 0
    if options.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.cpu})
    limits = Limits(window=4 << 20, send_buffer=1 << 20) if options.unjoined else Limits()
    main_task = serve_gateway(limits) if options.kind == "gateway" else serve_plain()
    if options.loop == "uvloop":
        run(main_task)
    else:
        asyncio.run(main_task)


if __name__ == "__main__":
    main()
