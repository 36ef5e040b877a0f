"""Playing a recording: its entries at the moments at which they happened, and the keys of a player.

Every deadline is absolute: it is the deadline before it plus the recorded interval, so that the error of one wait never
adds to the next (relative sleeps drift 160 ms in 9 s, this 1 ms in an hour). Pausing, seeking and changing speed set a
new anchor.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

from chatapp.clock import NS_PER_S, Clock, MonotonicClock
from chatapp.errors import FileFormatError
from chatapp.recording.answers import Entry, decode_line
from chatapp.recording.reader import Mark, Recording
from chatapp.stream.events import Request

State = Literal["playing", "paused", "ended"]

SPEEDS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
"""What `+` and `-` go through."""

_IN_VIEW = 12
"""Answers that are shown again after a jump: what was asked before has scrolled away."""

_BACK_NS = NS_PER_S
"""Within this of a chapter's begin, "previous" means the chapter before."""

_BATCH = 4096

_AT_ONCE_NS = 50_000_000
"""Requests that left within this of each other were one question to several backends."""


class Batch(NamedTuple):
    """What is due."""

    entries: list[Entry]
    reset: bool
    """The player jumped back: forget what was shown, these entries are all there is."""


class Player:
    """Plays one recording, as often as wanted.

    Args:
        recording: stays open while the player is used.
        clock: what is waited on.
        speed: 2 is twice as fast; None does not wait at all.
        idle_limit_s: pauses longer than this are shortened to it; by default what the file's header says.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        clock: Clock | None = None,
        speed: float | None = 1.0,
        idle_limit_s: float | None = None,
    ) -> None:
        self.recording = recording
        self.speed = speed
        self.state: State = "playing"
        self.ended = asyncio.Event()
        """Set when the last entry has been handed out, until a jump back."""
        self._clock = clock or MonotonicClock()
        limit_s = recording.header.idle_time_limit if idle_limit_s is None else idle_limit_s
        self._idle_ns = round(limit_s * NS_PER_S) if limit_s else None
        self._chapters = recording.marks or _questions(recording)
        self._changed = asyncio.Event()
        self._sleep: asyncio.Future[None] | None = None
        self._target_ns: int | None = None
        self._steps = 0
        self._next: Entry | None = None
        self._error: FileFormatError | None = None
        self._rewind(0)

    # ------------------------------------------------------------------ where it stands

    @property
    def duration_ns(self) -> int:
        """Length of the recording at speed 1, pauses included."""
        return self.recording.duration_ns

    @property
    def position_ns(self) -> int:
        """Where the recording stands now, on the time line of its events."""
        if self._target_ns is not None:
            return self._target_ns
        if self.state != "playing" or self._next is None or self.speed is None:
            return self._at_ns
        gap_ns = max(0, self._next.at_ns - self._at_ns)
        wait_ns = self._wait_ns(gap_ns)
        if not wait_ns:
            return self._at_ns
        passed_ns = min(max(0, self._clock.now_ns() - self._due_ns), wait_ns)
        return self._at_ns + gap_ns * passed_ns // wait_ns

    @property
    def chapters(self) -> list[Mark]:
        """The recording's markers; without any, where its questions begin: what was asked at once is one."""
        return self._chapters

    @property
    def chapter(self) -> str:
        """Title of the chapter at the position, empty before the first."""
        index = bisect_right(self.chapters, self.position_ns, key=lambda mark: mark.at_ns) - 1
        return self.chapters[index].label if index >= 0 else ""

    # ------------------------------------------------------------------ keys

    def pause(self) -> None:
        """Stop where it stands."""
        if self.state == "playing":
            at_ns = self.position_ns
            self.state = "paused"
            self._at_ns = at_ns
            self._change()

    def resume(self) -> None:
        """Go on; after the end, from the start."""
        if self.state == "ended":
            self.seek(0)
        elif self.state == "paused":
            self.state = "playing"
            self._due_ns = self._clock.now_ns()
            self._change()

    def toggle(self) -> None:
        """Pause or go on."""
        if self.state == "playing":
            self.pause()
        else:
            self.resume()

    def step(self) -> None:
        """Pause, and show the next chunk."""
        self.pause()
        if self.state == "paused":
            self._steps += 1
            self._change()

    def seek(self, at_ns: int) -> None:
        """Jump to a time; a paused player stays paused."""
        self._target_ns = min(max(0, at_ns), self.duration_ns)
        if self.state == "ended":
            self.state = "playing"
            self.ended.clear()
        self._change()

    def skip(self, seconds: float) -> None:
        """Jump by some seconds, back where negative."""
        self.seek(self.position_ns + round(seconds * NS_PER_S))

    def next_chapter(self) -> None:
        """Jump to the next chapter; after the last, to the end."""
        chapters = self.chapters
        index = bisect_right(chapters, self.position_ns, key=lambda mark: mark.at_ns)
        self.seek(chapters[index].at_ns if index < len(chapters) else self.duration_ns)

    def previous_chapter(self) -> None:
        """Jump to the begin of this chapter, or shortly after it to the chapter before."""
        chapters = self.chapters
        index = bisect_left(chapters, self.position_ns - _BACK_NS, key=lambda mark: mark.at_ns) - 1
        self.seek(chapters[index].at_ns if index >= 0 else 0)

    def set_speed(self, speed: float | None) -> None:
        """Play faster or slower from here on."""
        at_ns = self.position_ns
        self.speed = speed
        if self._target_ns is None:
            self._at_ns = at_ns
        self._due_ns = self._clock.now_ns()
        self._change()

    def faster(self, steps: int = 1) -> None:
        """Go `steps` up in `SPEEDS`, down where negative."""
        now = self.speed or SPEEDS[-1]
        index = bisect_left(SPEEDS, now) if steps > 0 else bisect_right(SPEEDS, now) - 1
        if SPEEDS[min(max(index, 0), len(SPEEDS) - 1)] == now:
            index += steps
        self.set_speed(SPEEDS[min(max(index, 0), len(SPEEDS) - 1)])

    # ------------------------------------------------------------------ playing

    async def play(self) -> AsyncGenerator[Batch, None]:
        """Yield what is due, when it is due. Does not end by itself: after the last entry it waits for a jump back.

        Raises:
            FileFormatError: a line of the recording is wrong.
        """
        self._due_ns = self._clock.now_ns()
        while True:
            self._changed.clear()
            if self._target_ns is not None:
                target_ns, self._target_ns = self._target_ns, None
                yield self._jump(target_ns)
            elif self._steps:
                self._steps -= 1
                if self._next is not None:
                    yield Batch([self._take()], reset=False)
                else:
                    self.state = "ended"
                    self.ended.set()
            elif self.state != "playing":
                await self._changed.wait()
            elif self._error is not None:
                raise self._error
            elif self._next is None:
                self.state = "ended"
                self.ended.set()
                yield Batch([], reset=False)
            else:
                due = self._due()
                if due:
                    yield Batch(due, reset=False)
                else:
                    await self._sleep_until(self._next_due_ns())
                if self.speed is None:
                    await asyncio.sleep(0)

    def _due(self) -> list[Entry]:
        now_ns = self._clock.now_ns()
        due: list[Entry] = []
        while self._next is not None and len(due) < _BATCH:
            due_ns = self._next_due_ns()
            if due_ns > now_ns:
                break
            self._due_ns = due_ns
            due.append(self._take())
        return due

    def _next_due_ns(self) -> int:
        assert self._next is not None
        return self._due_ns + self._wait_ns(max(0, self._next.at_ns - self._at_ns))

    def _wait_ns(self, gap_ns: int) -> int:
        if self.speed is None:
            return 0
        if self._idle_ns is not None:
            gap_ns = min(gap_ns, self._idle_ns)
        return gap_ns if self.speed == 1.0 else round(gap_ns / self.speed)

    def _change(self) -> None:
        """Let `play` look again now: a key has changed something."""
        self._changed.set()
        if self._sleep is not None:
            self._sleep.cancel()

    async def _sleep_until(self, deadline_ns: int) -> None:
        """Sleep to a deadline, or until a key changes something. One task: each further one makes every chunk later."""
        self._sleep = asyncio.ensure_future(self._clock.sleep_until(deadline_ns))
        try:
            await asyncio.wait((self._sleep,))
        finally:
            sleep, self._sleep = self._sleep, None
            if not sleep.done():
                sleep.cancel()
                with suppress(asyncio.CancelledError):
                    await sleep

    # ------------------------------------------------------------------ moving through the file

    def _take(self) -> Entry:
        assert self._next is not None
        entry = self._next
        self._at_ns = max(self._at_ns, entry.at_ns)
        self._look_ahead()
        return entry

    def _look_ahead(self) -> None:
        """Read the next entry; an error waits until what came before it has been shown."""
        try:
            self._next = next(self._entries, None)
        except FileFormatError as exc:
            self._next, self._error = None, exc

    def _jump(self, target_ns: int) -> Batch:
        """Go to a time and return what is to be shown there: what lies between, or after a reset all in view."""
        starts = self.recording.starts
        index = bisect_right(starts, target_ns, key=lambda start: start.at_ns) - _IN_VIEW
        first_line = starts[index].line if index > 0 else 0
        reset = target_ns < self._at_ns or (self._next is not None and first_line > self._next.line)
        if reset:
            self._rewind(first_line)
        entries: list[Entry] = []
        while self._next is not None and self._next.at_ns <= target_ns:
            entries.append(self._take())
        self._at_ns = target_ns
        self._due_ns = self._clock.now_ns()
        return Batch(entries, reset)

    def _rewind(self, line: int) -> None:
        self._entries = self._read_from(line)
        self._at_ns = 0
        self._error = None
        self._look_ahead()
        self._due_ns = self._clock.now_ns()

    def _read_from(self, line: int) -> Iterator[Entry]:
        """Yield the entries from a line on. In the middle of a file, an answer without its request is left out."""
        asked: set[str] | None = set() if line else None
        for item in self.recording.lines(self.recording.block_of_line(line)):
            if item.number < line:
                continue
            entry = decode_line(self.recording, item)
            if entry is None:
                continue
            if asked is not None:
                if isinstance(entry.item, Request):
                    asked.add(entry.stream)
                elif entry.stream not in asked:
                    continue
            yield entry


def _questions(recording: Recording) -> list[Mark]:
    marks: list[Mark] = []
    for start in recording.starts:
        if not marks or start.at_ns - marks[-1].at_ns > _AT_ONCE_NS:
            marks.append(Mark(start.at_ns, start.line, f"question {len(marks) + 1}"))
    return marks
