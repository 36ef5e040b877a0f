"""`recording:FILE[#STREAM]`: the answers of an earlier run, at the pace at which they came.

Arrivals are stamped as they were recorded, counted from the moment of asking, so that every figure equals the recorded
one whatever this machine does meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from chatapp.clock import Clock
from chatapp.config import Settings
from chatapp.errors import UnknownNameError, UsageError
from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.reader import Recording
from chatapp.stream.events import BackendInfo, Event, Failed, Finished, Notice, Request, Sent
from chatapp.timer import PreciseClock


class RecordedBackend:
    """Answers a prompt with what was once answered to it.

    Repeated prompts get the recorded answers in their order; after the last, the first again. A prompt that was not
    recorded is an error, never somebody else's answer.

    Args:
        info: what is behind the answers, marked as a replay.
        answers: in recorded order.
        created: when they were recorded.
        pace: 2 delivers twice as fast, None without waiting; the stamps stay the recorded ones.
        clock: None makes a precise one for each answer.
    """

    def __init__(
        self,
        info: BackendInfo,
        answers: list[RecordedAnswer],
        *,
        created: str = "",
        pace: float | None = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self.info = info
        self._answers = answers
        self._created = created
        self._pace = pace
        self._clock = clock
        self._used: set[int] = set()

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the recorded answer to the request's prompt."""
        clock = self._clock or PreciseClock()
        try:
            answer = self._choose(request)
            if answer is None:
                for event in self._miss(request, clock.now_ns()):
                    yield event
                return
            when = f", recorded {self._created}" if self._created else ""
            yield Notice("text_source", f"replay of {answer.info.label}{when}")
            start_ns = clock.now_ns()
            offset_ns = start_ns - answer.sent_ns
            last_ns = answer.sent_ns
            for event in answer.events:
                at_ns = getattr(event, "at_ns", last_ns)
                last_ns = max(last_ns, at_ns)
                if self._pace is not None:
                    deadline_ns = start_ns + round((last_ns - answer.sent_ns) / self._pace)
                    if clock.now_ns() < deadline_ns:
                        await clock.sleep_until(deadline_ns)
                if isinstance(event, Sent):
                    yield msgspec.structs.replace(event, at_ns=event.at_ns + offset_ns, source="recording")
                elif hasattr(event, "at_ns"):
                    yield msgspec.structs.replace(event, at_ns=event.at_ns + offset_ns)
                else:
                    yield event
            if not answer.complete:
                yield Finished(last_ns + offset_ns, "truncated")
        finally:
            if isinstance(clock, PreciseClock) and clock is not self._clock:
                clock.close()

    def _choose(self, request: Request) -> RecordedAnswer | None:
        """Return the next unused answer to the whole conversation, else to its last prompt, else a used one."""
        same = [i for i, a in enumerate(self._answers) if a.request.prompt == request.prompt]
        exact = [i for i in same if self._answers[i].request.messages == request.messages]
        for candidates in (exact, same):
            for i in candidates:
                if i not in self._used:
                    self._used.add(i)
                    return self._answers[i]
        if not same:
            return None
        self._used.difference_update(same)
        first = (exact or same)[0]
        self._used.add(first)
        return self._answers[first]

    def _miss(self, request: Request, now_ns: int) -> tuple[Event, ...]:
        from chatapp.errors import nearest_names

        prompts = list(dict.fromkeys(a.request.prompt for a in self._answers if a.request.prompt))
        offered = nearest_names(request.prompt, prompts, limit=1) or prompts[:3]
        shown = "; ".join(f"“{prompt[:80]}”" for prompt in offered)
        return (
            Sent(now_ns, "recording"),
            Failed(
                now_ns,
                "not_found",
                "the recording holds no answer to this prompt",
                hint=f"recorded: {shown}" if shown else "it holds no prompts at all",
            ),
        )

    async def warm(self) -> None:
        """Everything is loaded already."""

    async def aclose(self) -> None:
        """Hold nothing open, so release nothing."""


def open_recorded(
    path: str,
    settings: Settings | None = None,
    *,
    pace: float | None = 1.0,
    clock: Clock | None = None,
) -> RecordedBackend:
    """Open `FILE[#STREAM]`; of several streams the first, or the one named.

    Args:
        path: the file, and optionally a stream's name or the name of the backend behind it.
        settings: not used; every kind of backend is opened with them.
        pace: see `RecordedBackend`.
        clock: see `RecordedBackend`.

    Raises:
        FileFormatError: the file cannot be read, is broken, or was changed after it was sealed.
        UnknownNameError: the stream is not in it.
        UsageError: there is no answer in it.
    """
    file, stream = path, ""
    if not Path(path).exists() and "#" in path:
        file, _, stream = path.rpartition("#")
    with Recording.open(Path(file).expanduser()) as recording:
        answers = load_answers(recording)
        created = recording.header.created.replace("T", " ").rstrip("Z")
    streams = list(dict.fromkeys(a.stream for a in answers))
    if not answers:
        raise UsageError(f"{file}: holds no answer", hint="chatapp recording info FILE says what is in it")
    if not stream:
        stream = streams[0]
    elif stream not in streams:
        named = next((a.stream for a in answers if a.info.name == stream), None)
        if named is None:
            raise UnknownNameError(f"stream of {file}", stream, streams)
        stream = named
    chosen = [a for a in answers if a.stream == stream]
    original = chosen[0].info
    note = "replay of a recording" + (f"; {original.note}" if original.note else "")
    info = BackendInfo(
        name=f"recording:{path}",
        label=f"replay: {original.label}",
        kind="simulated" if original.simulated else "recorded",  # a replay does not make a model's timing measured
        provider=original.provider,
        model=original.model,
        note=note,
        detail=original.detail,
    )
    return RecordedBackend(info, chosen, created=created, pace=pace, clock=clock)
