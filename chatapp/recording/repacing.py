"""Your conversation on another machine: recorded texts at the speed that a hardware model predicts.

The result is a recording like any other, in memory. Its stream `original` is what was recorded, its stream `modelled`
the same texts as a simulated backend tells them. Both answers of a pair begin at the same moment, and the next pair
after the slower one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from io import BytesIO

import msgspec

from chatapp.clock import NS_PER_S
from chatapp.errors import UsageError
from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.format import FORMAT, VERSION, Header
from chatapp.recording.reader import Recording
from chatapp.recording.sink import StreamSink
from chatapp.recording.writer import Recorder
from chatapp.stream.events import BackendInfo, Delta, Event, Request, Retell

ORIGINAL, MODELLED = "original", "modelled"
_BETWEEN_NS = NS_PER_S


class ScheduleClock:
    """A clock for one task that never waits: sleeping moves it to the deadline."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        """Return where the schedule stands."""
        return self._now_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        """Move to the deadline."""
        self._now_ns = max(self._now_ns, deadline_ns)


Telling = Callable[[Request], AsyncGenerator[Event, None]]
"""How a simulated backend answers on the clock that was handed to it."""


async def repace(recording: Recording, info: BackendInfo, tell: Telling, clock: ScheduleClock) -> Recording:
    """Return the recording with a second stream, told by a simulated backend.

    Args:
        recording: of several streams only the first is told again.
        info: what is behind the second stream.
        tell: the simulated backend's `stream`.
        clock: what `tell` waits on.

    Raises:
        UsageError: there is no answer with a text in it.
        FileFormatError: a line of the recording is wrong.
    """
    answers = load_answers(recording)
    first = next((a.stream for a in answers if a.request.messages), "")
    told = [a for a in answers if a.stream == first and any(isinstance(e, Delta) for e in a.events)]
    if not told:
        raise UsageError(f"{recording.name}: holds no answer whose text could be told again")
    header = Header(FORMAT, VERSION, created=recording.header.created, title=recording.header.title)
    file = BytesIO()
    begin_ns = 0
    writing = ScheduleClock()
    with Recorder(StreamSink(file, recording.name), clock=writing, header=header) as recorder:
        for answer in told:
            modelled = await _modelled(answer, tell, clock)
            pair = [*_timed(ORIGINAL, answer.events), *_timed(MODELLED, modelled)]
            note = f"text: {answer.info.label}, recorded; timing: {info.note or info.label}"
            model = msgspec.structs.replace(info, label=f"{info.label} · modelled", note=note)
            for stream, behind in ((ORIGINAL, answer.info), (MODELLED, model)):
                recorder.begin(stream, msgspec.structs.replace(answer.request, retell=None), behind)
            end_ns = begin_ns
            for offset_ns, stream, event in sorted(pair, key=lambda item: item[0]):
                end_ns = begin_ns + max(offset_ns, 0)
                await writing.sleep_until(end_ns)
                recorder.record(stream, _moved(event, begin_ns + offset_ns))
            begin_ns = end_ns + _BETWEEN_NS
            await writing.sleep_until(begin_ns)
    file.seek(0)
    return Recording.read(recording.name, file)


async def _modelled(answer: RecordedAnswer, tell: Telling, clock: ScheduleClock) -> list[Event]:
    texts: dict[str, list[str]] = {"answer": [], "reasoning": []}
    for event in answer.events:
        if isinstance(event, Delta):
            texts[event.channel].append(event.text)
    retell = Retell("".join(texts["answer"]), f"recording of {answer.info.label}", "".join(texts["reasoning"]))
    await clock.sleep_until(clock.now_ns() + _BETWEEN_NS)
    return [event async for event in tell(msgspec.structs.replace(answer.request, retell=retell))]


def _timed(stream: str, events: list[Event]) -> list[tuple[int, str, Event]]:
    """Return events with their offset to the request's departure; one without an instant goes with the one before."""
    zero = next((e.at_ns for e in events if hasattr(e, "at_ns")), 0)
    timed: list[tuple[int, str, Event]] = []
    offset_ns = 0
    for event in events:
        offset_ns = getattr(event, "at_ns", zero + offset_ns) - zero
        timed.append((offset_ns, stream, event))
    return timed


def _moved(event: Event, at_ns: int) -> Event:
    return msgspec.structs.replace(event, at_ns=at_ns) if hasattr(event, "at_ns") else event
