"""A recording as the answers in it, each with its request, its backend and its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from chatapp.errors import FileFormatError
from chatapp.recording import codec
from chatapp.recording.reader import Line, Recording
from chatapp.stream.events import BackendInfo, BackendKind, Delta, Event, Failed, Finished, Request, Sent

UNKNOWN = BackendInfo("recording", "recording", "recorded", "", "")
"""The backend of an answer whose file does not name one."""


class Entry(NamedTuple):
    """One line that says something about a stream."""

    line: int
    at_ns: int
    """Nanoseconds since the start of the recording: when a player hands it out."""
    stream: str
    item: Request | BackendInfo | Event


@dataclass(slots=True)
class RecordedAnswer:
    """One answer: instants of its events are nanoseconds since the start of the recording."""

    stream: str
    request: Request
    started_ns: int
    info: BackendInfo = UNKNOWN
    events: list[Event] = field(default_factory=list)

    @property
    def sent_ns(self) -> int:
        """When the request first left; where the file does not say, when it was asked."""
        return next((e.at_ns for e in self.events if isinstance(e, Sent)), self.started_ns)

    @property
    def answered_ns(self) -> int:
        """When the request left that was answered: of several, as retries and fallbacks make, the last before text."""
        before = takewhile(lambda event: not isinstance(event, Delta), self.events)
        return max((e.at_ns for e in before if isinstance(e, Sent)), default=self.sent_ns)

    @property
    def complete(self) -> bool:
        """Whether the file holds the answer's end."""
        return bool(self.events) and isinstance(self.events[-1], (Finished, Failed))


def decode_line(recording: Recording, line: Line) -> Entry | None:
    """Return what a line says about a stream, None for markers, keys and unknown codes.

    Raises:
        FileFormatError: the line's data does not fit its code.
    """
    try:
        data = codec.decode_data(line.code, line.data)
    except (ValueError, RecursionError) as exc:
        raise FileFormatError(recording.name, f"{line.code!r} line: {str(exc)[:200]}", line=line.number) from None
    if data is None:
        return None
    if isinstance(data, codec.RequestData):
        return Entry(line.number, line.at_ns, data.s, codec.decode_request(data))
    event = codec.decode_event(data, line.at_ns)
    return Entry(line.number, line.at_ns, data.s, event) if event is not None else None


def read_entries(recording: Recording, block: int = 0) -> Iterator[Entry]:
    """Yield everything that is said about streams, from a block on.

    Raises:
        FileFormatError: a line is wrong.
    """
    for line in recording.lines(block):
        entry = decode_line(recording, line)
        if entry is not None:
            yield entry


def load_answers(recording: Recording) -> list[RecordedAnswer]:
    """Return all answers in the order in which they were asked.

    A file that was cut short ends with answers that are not `complete`. Text before the first request of its stream
    makes an answer with an empty request.

    Raises:
        FileFormatError: a line is wrong.
    """
    answers: list[RecordedAnswer] = []
    current: dict[str, RecordedAnswer] = {}
    for entry in read_entries(recording):
        answer = current.get(entry.stream)
        asked = isinstance(entry.item, Request)
        if asked or answer is None:
            request = entry.item if isinstance(entry.item, Request) else Request(())
            answer = RecordedAnswer(entry.stream, request, entry.at_ns, described_backend(recording, entry.stream))
            answers.append(answer)
            current[entry.stream] = answer
        if isinstance(entry.item, BackendInfo):
            answer.info = entry.item
        elif not isinstance(entry.item, Request):
            answer.events.append(entry.item)
    return answers


def described_backend(recording: Recording, stream: str) -> BackendInfo:
    """Return what the header says is behind a stream; the `h` lines of answers are more exact."""
    described = recording.header.streams.get(stream, {})
    provider = str(described.get("gen_ai.provider.name", ""))
    model = str(described.get("gen_ai.request.model", ""))
    name = str(described.get("backend") or "/".join(filter(None, (provider, model))) or "recording")
    kind: BackendKind = "simulated" if name.startswith("sim:") else "recorded"
    return BackendInfo(name, str(described.get("label") or name), kind, provider, model)
