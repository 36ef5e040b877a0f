"""What one connection still has to be sent: control frames at once, text joined until it is its turn.

Text waits as text, not as frames: whatever has come for a stream since its last frame goes out as one delta with every
arrival in it. So a slow reader gets fewer, longer frames and loses nothing, and what is held is bounded by pausing the
upstream instead of by dropping.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from chatapp.gateway.transcript import COLUMNS, Run
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import Delta

TICK_NS = 5_000_000
"""At most one frame a stream in this time: 200 a second are more than any screen shows."""

MOST_HELD = 64 * 1024
"""Bytes of text and arrivals held for one connection before its upstreams are paused."""

LONGEST_FRAME = 16 * 1024
SHORTEST_FRAME = 256
"""Bytes of text and arrivals in one frame: below, the frame's own 200 bytes would cost more than they carry."""

_ROW_BYTES = 14
"""Of one arrival in a frame: `[1234567,5,1],`."""


class Line(Protocol):
    """What frames are sent over; `chatapp.gateway.peer.Peer` is one."""

    @property
    def room(self) -> int:
        """Bytes of text that may be sent now."""

    def send(self, frames: Iterable[bytes]) -> None:
        """Send frames at once."""


def take(run: Run, most: int) -> tuple[str, array[int]]:
    """Take text and its rows of arrivals out of a run, about `most` bytes of them but at least one arrival."""
    rows, text = run.arrivals, run.text
    if len(text) + len(rows) // COLUMNS * _ROW_BYTES <= most:
        run.keep("", array("q"))
        return text, rows
    characters = size = count = 0
    for length in rows[1::COLUMNS]:
        size += length + _ROW_BYTES
        if count and size > most:
            break
        count += 1
        characters += length
    run.keep(text[characters:], rows[COLUMNS * count :])
    return text[:characters], rows[: COLUMNS * count]


class TextStream:
    """The text of one response on its way to a connection."""

    __slots__ = ("due_ns", "encoder", "held", "queued", "runs", "tail", "waiting")

    def __init__(self, encoder: ResponseEncoder) -> None:
        self.encoder = encoder
        self.runs: deque[Run] = deque()
        self.held = 0
        self.due_ns = 0
        """Before this time no frame of it goes out: the last one is less than a tick old."""
        self.queued = False
        """In its turn as soon as the connection has room."""
        self.waiting = False
        """For the tick."""
        self.tail: Callable[[], Iterable[bytes]] | None = None
        """Its last frames, made when all text before them has gone: frames are numbered as they are made."""

    def add(self, delta: Delta) -> int:
        """Keep a delta; return what that costs, in bytes."""
        if not self.runs or self.runs[-1].channel != delta.channel:
            self.runs.append(Run(delta.channel))
        run = self.runs[-1]
        before = len(run.arrivals)
        run.add(delta, longest=LONGEST_FRAME)
        cost = len(delta.text) + (len(run.arrivals) - before) * 8
        self.held += cost
        return cost

    def take(self, room: int) -> list[bytes]:
        """Return the next frames of what waits, about `room` bytes."""
        run = self.runs[0]
        text, rows = take(run, min(max(room, SHORTEST_FRAME), LONGEST_FRAME))
        if not run.arrivals:
            self.runs.popleft()
        self.held = self.held - len(text) - len(rows) * 8 if self.runs else 0
        arrivals = zip(rows[::COLUMNS], rows[1::COLUMNS], rows[2::COLUMNS], strict=True)
        return list(self.encoder.joined(run.channel, text, arrivals, rows[3::COLUMNS]))


class Ticker:
    """The one shared tick: sends what has joined on all streams that wait for it. Runs only while any do.

    A timer for each stream costs 20 to 43 us a frame; one for all, 12 to 17 (measured at 1,000 streams).
    """

    def __init__(self) -> None:
        self._waiting: set[Outbox] = set()
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, outbox: Outbox) -> None:
        """Call `outbox.tick` at the next tick."""
        self._waiting.add(outbox)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(TICK_NS / 1e9, self._tick)

    def close(self) -> None:
        """Stop."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = None
        waiting, self._waiting = self._waiting, set()
        for outbox in waiting:
            outbox.tick()


class Outbox:
    """Everything that waits for one connection.

    Args:
        line: where frames go.
        ticker: shared by all.
        now_ns: the clock.
    """

    def __init__(self, line: Line, ticker: Ticker, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._line = line
        self._ticker = ticker
        self._ready: deque[TextStream] = deque()
        self._waiting: list[TextStream] = []
        self._now_ns = now_ns
        self._held = 0
        self._space = asyncio.Event()
        self._space.set()
        self.deltas = 0
        self.frames = 0
        """Frames of text sent; fewer than deltas where some were joined."""

    @property
    def held(self) -> int:
        """Bytes of text and arrivals that wait."""
        return self._held

    @property
    def full(self) -> bool:
        """Whether the upstreams should pause."""
        return not self._space.is_set()

    def behind(self, stream: TextStream) -> bool:
        """Whether text of a stream waits for a slow reader, and not only for the tick."""
        return stream.held > max(0, self._line.room)

    async def space(self) -> None:
        """Wait until there is room for more: how a slow reader slows its upstreams."""
        await self._space.wait()

    def put(self, frames: Iterable[bytes]) -> None:
        """Send control frames, past all text that waits."""
        self._line.send(frames)

    def put_text(self, stream: TextStream, delta: Delta) -> None:
        """Send text at once where the stream has been silent for a tick, else keep it until the next."""
        self.deltas += 1
        now_ns = self._now_ns()
        due = now_ns >= stream.due_ns
        if due and not stream.runs and len(delta.text) <= LONGEST_FRAME and self._line.room > 0:
            stream.due_ns = now_ns + TICK_NS
            self.frames += 1
            self._line.send(stream.encoder.chunk(delta))
            return
        self._held += stream.add(delta)
        if self._held > MOST_HELD:
            self._space.clear()
        if stream.queued or stream.waiting:
            return
        if due:
            self._queue(stream)
            self.flush()
        else:
            stream.waiting = True
            self._waiting.append(stream)
            self._ticker.watch(self)

    def finish(self, stream: TextStream, tail: Callable[[], Iterable[bytes]], *, drop_text: bool = False) -> None:
        """Send a response's last frames, behind its text.

        Args:
            stream: the response's text.
            tail: makes the last frames.
            drop_text: after a cancel: whoever did it waits for the end and not for more text.
        """
        if drop_text and stream.runs:
            self._free(stream.held)
            stream.runs.clear()
            stream.held = 0
        if not stream.runs:
            self._line.send(tail())
            return
        stream.tail = tail
        if not stream.queued:  # the tick is for text that goes on
            self._queue(stream)
        self.flush()

    def flush(self) -> None:
        """Send of what waits as much as may be sent now, each stream in its turn."""
        ready, line = self._ready, self._line
        while ready:
            room = line.room
            if room <= 0:
                return
            stream = ready.popleft()
            stream.queued = False
            if not stream.runs:  # a cancel took its text
                continue
            self.frames += 1
            before = stream.held
            stream.due_ns = self._now_ns() + TICK_NS
            line.send(stream.take(room // (len(ready) + 1)))
            self._free(before - stream.held)
            if stream.runs:
                self._queue(stream)
            elif stream.tail is not None:
                line.send(stream.tail())
                stream.tail = None

    def tick(self) -> None:
        """Let the streams that waited for the tick have their turn."""
        waiting, self._waiting = self._waiting, []
        for stream in waiting:
            stream.waiting = False
            if stream.runs and not stream.queued:
                self._queue(stream)
        self.flush()

    def _queue(self, stream: TextStream) -> None:
        stream.queued = True
        self._ready.append(stream)

    def _free(self, size: int) -> None:
        self._held -= size
        if self._held < MOST_HELD // 2:
            self._space.set()

    def close(self) -> None:
        """Let go of everything: the connection has ended."""
        self._ready.clear()
        self._held = 0
        self._space.set()
