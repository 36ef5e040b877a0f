"""A gateway in memory for the screen's tests: answers come when a test lets them, on a clock that stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from chatapp.errors import GatewayError
from chatapp.protocol.responses import ModelListing
from chatapp.stream.events import Delta, Event, Failed, Finished, Sent, Usage

MS = 1_000_000


class StandingClock:
    """Time that moves only when a test says so."""

    def __init__(self, now_ns: int = 1_000 * MS) -> None:
        self.now = now_ns

    def now_ns(self) -> int:
        return self.now

    async def sleep_until(self, deadline_ns: int) -> None:
        self.now = max(self.now, deadline_ns)
        await asyncio.sleep(0)


LISTINGS = (
    ModelListing("local", "Gemma 3 270M", "llama.cpp", "gemma-3-270m", "local"),
    ModelListing("sim:cs3/kimi-k2.6", "CS-3 · Kimi K2.6", "Cerebras", "kimi-k2.6", "simulated"),
    ModelListing("sim:b200x8/kimi-k2.6", "8× B200 · Kimi K2.6", "NVIDIA", "kimi-k2.6", "simulated"),
    ModelListing("sim:h100x16/kimi-k2.6", "16× H100 · Kimi K2.6", "NVIDIA", "kimi-k2.6", "simulated"),
    ModelListing(
        "cerebras/gpt-oss-120b",
        "Cerebras · gpt-oss-120b",
        "Cerebras",
        "gpt-oss-120b",
        "live",
        ready=False,
        why_not="CEREBRAS_API_KEY is not set",
    ),
    ModelListing(
        "groq/llama-3.1-8b",
        "Groq · Llama 3.1 8B",
        "Groq",
        "llama-3.1-8b",
        "live",
        ready=False,
        why_not="GROQ_API_KEY is not set",
    ),
)


def paced(text: str, *, start_ns: int, ttft_ms: float, tps: float, words: int = 1, end: bool = True) -> list[Event]:
    """Return the events of an answer at a constant rate, one delta for `words` words, tokens known exactly."""
    pieces = text.split(" ")
    events: list[Event] = [Sent(start_ns, source="schedule")]
    at = start_ns + int(ttft_ms * MS)
    for index in range(0, len(pieces), words):
        chunk = pieces[index : index + words]
        piece = " ".join(chunk) + (" " if index + words < len(pieces) else "")
        events.append(Delta(piece, at, tokens=len(chunk)))
        at += int(len(chunk) / tps * 1e9)
    if end:
        events += [Usage(input_tokens=12, output_tokens=len(pieces)), Finished(at)]
    return events


@dataclass
class ScriptedConnection:
    """Answers requests with scripts, in order; the last one again where they run out.

    A script is a list of events; a `float` in it waits for that many turns of `release`. With `hold`, an answer stops
    before its last `hold` events until `release` is called.
    """

    scripts: list[Sequence[Event | Exception]]
    clock: StandingClock
    listings: Sequence[ModelListing] = LISTINGS
    hold: bool = False
    requests: list = field(default_factory=list)
    cancelled: int = 0
    closed: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def respond(self, request) -> AsyncGenerator[Event, None]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        try:
            for event in script:
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, (Finished, Failed)) and self.hold:
                    await self.gate.wait()
                self.clock.now = max(self.clock.now, event.at_ns if hasattr(event, "at_ns") else 0)
                yield event
            if self.hold and not isinstance(script[-1], (Finished, Failed)):
                await self.gate.wait()
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise

    async def exchange(self, request):
        identified = SimpleNamespace(info=None, response_id=f"resp_{len(self.requests) + 1}")
        events = self.respond(request)
        try:
            async for event in events:
                yield event, identified
        finally:
            await events.aclose()

    @property
    def alive(self) -> bool:
        return not self.closed

    async def models(self) -> Sequence[ModelListing]:
        return self.listings

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class ScriptedLink:
    """Hands out connections; each may be an error instead."""

    connections: list[ScriptedConnection | GatewayError]
    opened: int = 0
    closed: bool = False

    async def connect(self) -> ScriptedConnection:
        connection = self.connections[min(self.opened, len(self.connections) - 1)]
        self.opened += 1
        if isinstance(connection, GatewayError):
            raise connection
        return connection

    async def aclose(self) -> None:
        self.closed = True
