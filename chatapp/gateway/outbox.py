"""What one connection still has to be sent: control frames at once, text joined until it is its turn.

Text waits as text, not as frames: whatever has come for a stream since its last frame goes out as one delta with every
arrival in it. So a slow reader gets fewer, longer frames and loses nothing, and what is held is bounded by pausing the
upstream instead of by dropping.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from chatapp.gateway.transcript import COLUMNS, Run, arrivals_of
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import Delta

TICK_S = 0.005
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

    __slots__ = ("encoder", "held", "hot", "queued", "runs", "tail")

    def __init__(self, encoder: ResponseEncoder) -> None:
        self.encoder = encoder
        self.runs: deque[Run] = deque()
        self.held = 0
        self.hot = False
        """A frame of it went out in this tick."""
        self.queued = False
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
    """The one shared tick: lets streams that have sent in this tick send again. Runs only while any have.

    A timer for each stream costs 20 to 43 us a frame; one for all, 12 to 17 (measured at 1,000 streams).
    """

    def __init__(self, tick_s: float = TICK_S) -> None:
        self._tick_s = tick_s
        self._hot: set[Outbox] = set()
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, outbox: Outbox) -> None:
        """Call `outbox.tick` at the next tick."""
        self._hot.add(outbox)
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def close(self) -> None:
        """Stop."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = None
        hot, self._hot = self._hot, set()
        for outbox in hot:
            outbox.tick()


class Outbox:
    """Everything that waits for one connection.

    Args:
        line: where frames go.
        ticker: shared by all.
    """

    def __init__(self, line: Line, ticker: Ticker) -> None:
        self._line = line
        self._ticker = ticker
        self._ready: deque[TextStream] = deque()
        self._hot: list[TextStream] = []
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

    async def space(self) -> None:
        """Wait until there is room for more: how a slow reader slows its upstreams."""
        await self._space.wait()

    def put(self, frames: Iterable[bytes]) -> None:
        """Send control frames, past all text that waits."""
        self._line.send(frames)

    def put_text(self, stream: TextStream, delta: Delta) -> None:
        """Send text at once where the stream has been silent for a tick, else keep it until the next."""
        self.deltas += 1
        if not (stream.hot or stream.queued) and len(delta.text) <= LONGEST_FRAME and self._line.room > 0:
            self.frames += 1
            self._line.send(stream.encoder.delta(delta.channel, delta.text, arrivals_of(delta)))
            self._heat(stream)
            return
        self._held += stream.add(delta)
        if self._held > MOST_HELD:
            self._space.clear()
        if not (stream.hot or stream.queued):
            self._queue(stream)
            self.flush()

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
            line.send(stream.take(room // (len(ready) + 1)))
            self._free(before - stream.held)
            if stream.runs:
                self._queue(stream)
            else:
                self._end(stream)

    def tick(self) -> None:
        """Begin a new tick."""
        hot, self._hot = self._hot, []
        for stream in hot:
            stream.hot = False
            if stream.runs and not stream.queued:
                self._queue(stream)
        self.flush()

    def _queue(self, stream: TextStream) -> None:
        stream.queued = True
        self._ready.append(stream)

    def _end(self, stream: TextStream) -> None:
        if stream.tail is not None:
            self._line.send(stream.tail())
            stream.tail = None
        else:
            self._heat(stream)

    def _heat(self, stream: TextStream) -> None:
        stream.hot = True
        self._hot.append(stream)
        self._ticker.watch(self)

    def _free(self, size: int) -> None:
        self._held -= size
        if self._held < MOST_HELD // 2:
            self._space.set()

    def close(self) -> None:
        """Let go of everything: the connection has ended."""
        self._ready.clear()
        self._held = 0
        self._space.set()
