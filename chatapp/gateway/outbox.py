"""What one connection still has to be sent: control frames first in, text joined until it is its turn.

Text waits as text, not as frames: whatever has come for a stream since its last frame goes out as one delta with every
arrival in it. So a slow reader gets fewer, longer frames and loses nothing, and what is held is bounded by pausing the
upstream instead of by dropping.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import Arrival, Channel, Delta

TICK_NS = 5_000_000
"""At most one frame a stream in this time: 200 a second are more than any screen shows."""

SEND_DEADLINE_S = 10.0
"""A client whose connection takes nothing for so long is dropped. websockets alone never drops it: its keepalive waits
for the same full buffer (measured on 17.4)."""

MOST_HELD = 128 * 1024
"""Characters and arrivals held for one connection before its upstreams are paused; about as many bytes."""

_ARRIVAL_COST = 24
_YIELD_EVERY = 64


class Wire(Protocol):
    """What frames are written to."""

    async def send(self, message: bytes, *, text: bool | None = None) -> None:
        """Send one frame; waits while the buffer is full."""


class TextStream:
    """The text of one response that waits to be sent."""

    def __init__(self, encoder: ResponseEncoder) -> None:
        self.encoder = encoder
        self.next_due_ns = 0
        self.queued = False
        self.held = 0
        """What waits, in about bytes."""
        self._parts: list[str] = []
        self._arrivals: list[Arrival] = []
        self._channel: Channel = "answer"
        self._earlier: list[tuple[Channel, str, list[Arrival]]] = []

    def add(self, delta: Delta) -> int:
        """Take a delta; return what holding it costs, in about bytes."""
        if self._parts and delta.channel != self._channel:
            self._earlier.append((self._channel, "".join(self._parts), self._arrivals))
            self._parts, self._arrivals = [], []
        self._channel = delta.channel
        self._parts.append(delta.text)
        arrivals = delta.arrivals or (Arrival(delta.at_ns, len(delta.text), delta.tokens, delta.uncertainty_ns),)
        self._arrivals.extend(arrivals)
        cost = len(delta.text) + _ARRIVAL_COST * len(arrivals)
        self.held += cost
        return cost

    def take(self) -> list[bytes]:
        """Return the frames of everything that waits. All at once: a frame's number is its place on the wire."""
        waiting = [*self._earlier, (self._channel, "".join(self._parts), self._arrivals)]
        self._earlier, self._parts, self._arrivals, self.held = [], [], [], 0
        return [
            frame
            for channel, text, arrivals in waiting
            if text
            for frame in self.encoder.delta(channel, text, arrivals)
        ]


class Ticker:
    """The one shared tick: sends what has waited, on all connections. Runs only while something waits.

    A timer for each stream costs 20 to 43 us a frame; one for all, 12 to 17 (measured at 1,000 streams).
    """

    def __init__(self) -> None:
        self._waiting: set[Outbox] = set()
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, outbox: Outbox) -> None:
        """Wake this outbox at the next tick."""
        self._waiting.add(outbox)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(TICK_NS / 1e9, self._tick)

    def _tick(self) -> None:
        self._handle = None
        waiting, self._waiting = self._waiting, set()
        for outbox in waiting:
            outbox.wake()


class Outbox:
    """Everything that waits for one connection, and the task that sends it.

    Args:
        wire: the connection.
        ticker: shared by all.
        drop: called once where the client takes nothing for `deadline_s`.
    """

    def __init__(
        self, wire: Wire, ticker: Ticker, drop: Callable[[], None], *, deadline_s: float = SEND_DEADLINE_S
    ) -> None:
        self._wire = wire
        self._ticker = ticker
        self._drop = drop
        self._deadline_s = deadline_s
        self._control: deque[bytes] = deque()
        self._ready: deque[TextStream] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._held = 0
        self._sending_since: float | None = None
        self.frames = 0
        self.closed = False

    @property
    def held(self) -> int:
        """Characters and arrivals that wait, in about bytes."""
        return self._held

    def wake(self) -> None:
        """Send what waits."""
        self._wake.set()

    def put(self, frames: Iterable[bytes]) -> None:
        """Queue control frames, in order."""
        self._control.extend(frames)
        self._wake.set()

    def put_text(self, stream: TextStream, delta: Delta) -> None:
        """Queue text: sent at once where the stream has been silent for a tick, else joined until the next."""
        self._held += stream.add(delta)
        if self._held > MOST_HELD:
            self._room.clear()
        if not stream.queued:
            stream.queued = True
            self._ready.append(stream)
            if time.monotonic_ns() >= stream.next_due_ns:
                self._wake.set()
            else:
                self._ticker.watch(self)

    def finish(self, stream: TextStream, frames: Iterable[bytes]) -> None:
        """Queue the last frames of a response behind its text."""
        if stream.queued:
            self._ready.remove(stream)
            stream.queued = False
        self._control.extend(self._taken(stream))
        self._control.extend(frames)
        self._wake.set()

    def _taken(self, stream: TextStream) -> list[bytes]:
        self._held -= stream.held
        if self._held < MOST_HELD // 2:
            self._room.set()
        return stream.take()

    async def room(self) -> None:
        """Wait until there is room for more: how a slow reader slows its upstreams."""
        await self._room.wait()

    async def run(self) -> None:
        """Send until cancelled or the connection is gone."""
        guard = asyncio.create_task(self._guard())
        try:
            sent = 0
            while True:
                await self._wake.wait()
                self._wake.clear()
                for frame in self._due():
                    self._sending_since = time.monotonic()
                    await self._wire.send(frame, text=True)
                    self._sending_since = None
                    self.frames += 1
                    sent += 1
                    if sent % _YIELD_EVERY == 0:  # while the socket takes everything, send() never yields
                        await asyncio.sleep(0)
        finally:
            self.closed = True
            self._room.set()
            guard.cancel()

    def _due(self) -> Iterator[bytes]:
        """Yield frames to be sent now; control frames that come meanwhile go first."""
        streams = len(self._ready)
        while self._control or streams:
            while self._control:
                yield self._control.popleft()
            if streams and self._ready:
                streams -= 1
                stream = self._ready.popleft()
                stream.queued = False
                stream.next_due_ns = time.monotonic_ns() + TICK_NS
                yield from self._taken(stream)
            else:
                streams = 0

    async def _guard(self) -> None:
        """Drop a client whose connection has taken nothing for too long. One look a quarter of the deadline."""
        while True:
            await asyncio.sleep(self._deadline_s / 4)
            since = self._sending_since
            if since is not None and time.monotonic() - since > self._deadline_s:
                self._drop()
                return
