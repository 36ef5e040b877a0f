"""Several recordings as one, merged by time: read block by block and written as it goes, however large they are."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from chatapp.clock import Clock, MonotonicClock
from chatapp.recording.answers import Entry, read_entries
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Failed, Finished, Request, Sent


class Source(NamedTuple):
    """One recording and its place in the whole."""

    path: Path
    name: str
    """Put before the names of its streams."""
    zero_ns: int
    """Its beginning, on the time line that all sources share."""


def combine(
    target: Path, sources: Sequence[Source], *, title: str = "", on_problem: Callable[[str], None] | None = None
) -> int:
    """Write one recording of several; return how many events it holds.

    Args:
        target: a new file.
        sources: in any order.
        title: of the whole.
        on_problem: called with one line where writing has to stop.

    Raises:
        UsageError: the file exists, or cannot be created.
        FileFormatError: a source is not a recording.
    """
    with ExitStack() as stack:
        opened = [(stack.enter_context(Recording.open(source.path)), source) for source in sources]
        clock = _Told(min((source.zero_ns for source in sources), default=0))
        recorder = stack.enter_context(Recorder.open(target, title=title, clock=clock, on_problem=on_problem))
        for at_ns, _order, entry, name, zero_ns in heapq.merge(*(_timed(*one, k) for k, one in enumerate(opened))):
            clock.instant_ns = at_ns
            stream = f"{name}/{entry.stream.removeprefix('worker-')}"
            item = entry.item
            if isinstance(item, Request):
                recorder.begin(stream, item)
            elif isinstance(item, (Delta, Sent, Finished, Failed)):
                recorder.record(stream, msgspec.structs.replace(item, at_ns=item.at_ns + zero_ns))
            else:
                recorder.record(stream, item)
    return recorder.events


def _timed(recording: Recording, source: Source, number: int) -> Iterator[tuple[int, tuple[int, int], Entry, str, int]]:
    """Yield what a recording holds, each with its time in the whole and a key that keeps equal times in order."""
    for count, entry in enumerate(read_entries(recording)):
        yield entry.at_ns + source.zero_ns, (number, count), entry, source.name, source.zero_ns


class _Told(Clock):
    """Stands at the instant of the line that is being written."""

    def __init__(self, instant_ns: int) -> None:
        self.instant_ns = instant_ns

    def now_ns(self) -> int:
        return self.instant_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        await MonotonicClock().sleep_until(deadline_ns)
