"""What a demo sees: every event of every answer on its way to the screen, and the place where faults happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from chatapp.client.connection import ResponseCreate
from chatapp.client.link import Identified, Link, Speaker
from chatapp.clock import Clock
from chatapp.demo.faults import apply_fault
from chatapp.demo.script import STREAMS, EventName, Fault
from chatapp.protocol.responses import ModelListing
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Event, Failed, Finished, Sent

Exchange = Callable[[ResponseCreate], AsyncGenerator[tuple[Event, Identified], None]]


class Unidentified:
    """What is known of a response before its first event."""

    info: BackendInfo | None = None
    response_id = ""


class Happening:
    """Something that happened on a stream; a wait may take it once."""

    __slots__ = ("event", "stream", "taken")

    def __init__(self, stream: str, event: EventName) -> None:
        self.stream = stream
        self.event = event
        self.taken = False


class Watch:
    """Keeps what happened, and the last answer of each stream.

    Args:
        clock: what faults wait on.
        info: tells what is behind a backend's name, for the figures.
    """

    def __init__(self, clock: Clock, *, info: Callable[[str], BackendInfo]) -> None:
        self.clock = clock
        self.lanes: Sequence[str] = ()
        """Backends of the lanes of a comparison; empty for the chat, whose stream is `a`."""
        self.answers: dict[str, Answer] = {}
        self.asked: dict[str, str] = {}
        """The last prompt of each stream."""
        self._info = info
        self._faults: dict[str, Fault] = {}
        self._happenings: list[Happening] = []
        self._since = 0
        self._active: set[str] = set()
        self._news = asyncio.Event()

    def plan_fault(self, fault: Fault) -> None:
        """Let a fault happen to the next answer of its stream."""
        self._faults[fault.stream] = fault

    def open_window(self) -> None:
        """Forget what happened so far: a key is about to be pressed, and waits look at what follows from it."""
        self._since = len(self._happenings)

    def take(self, event: EventName, stream: str) -> bool:
        """Return whether that happened since the window opened and no wait has taken it yet; takes it."""
        for happening in self._happenings[self._since :]:
            if not happening.taken and (happening.event, happening.stream) == (event, stream):
                happening.taken = True
                return True
        return False

    def failure(self, stream: str) -> str:
        """Return why the last answer of a stream failed, empty where it did not."""
        answer = self.answers.get(stream)
        return answer.failure.message if answer is not None and answer.failure is not None else ""

    async def news(self) -> None:
        """Return when something has happened."""
        self._news.clear()
        await self._news.wait()

    def wake(self) -> None:
        """Let whoever waits for news look again."""
        self._news.set()

    @property
    def active(self) -> bool:
        """Whether an answer is coming."""
        return bool(self._active)

    async def follow(
        self, request: ResponseCreate, exchange: Exchange
    ) -> AsyncGenerator[tuple[Event, Identified], None]:
        """Pass an answer's events on, keeping what happens."""
        stream = self._stream_of(request.model)
        answer = self.answers[stream] = Answer(self._info(request.model))
        self.asked[stream] = next((m.content for m in reversed(request.input) if m.role == "user"), "")
        identified: Identified = Unidentified()

        async def read() -> AsyncGenerator[Event, None]:
            nonlocal identified
            async with aclosing(exchange(request)) as pairs:
                async for event, identified in pairs:
                    answer.info = identified.info or answer.info
                    yield event

        events = read()
        fault = self._faults.pop(stream, None)
        if fault is not None:
            events = apply_fault(events, fault, self.clock)
        self._active.add(stream)
        begun = False
        try:
            async with aclosing(events):
                async for event in events:
                    answer.feed(event)
                    yield event, identified
                    if isinstance(event, Delta) and not begun and event.text:
                        begun = True
                        self._happened(stream, "first_token")
                    elif isinstance(event, Sent):
                        self._happened(stream, "sent")
                    elif isinstance(event, Finished):
                        self._happened(stream, "done")
                    elif isinstance(event, Failed):
                        self._happened(stream, "failed")
        finally:
            self._active.discard(stream)
            if answer.outcome is None:
                answer.feed(Finished(self.clock.now_ns(), "cancelled"))
                self._happened(stream, "done")

    def _happened(self, stream: str, event: EventName) -> None:
        self._happenings.append(Happening(stream, event))
        self._news.set()

    def _stream_of(self, backend: str) -> str:
        """Return the lane of a backend; of several lanes with the same one, the first that is idle."""
        lanes = [STREAMS[i] for i, name in enumerate(self.lanes) if name == backend]
        return next((lane for lane in lanes if lane not in self._active), lanes[0] if lanes else "a")


class WatchedLink:
    """A link whose answers pass a watch."""

    def __init__(self, link: Link, watch: Watch) -> None:
        self._link = link
        self._watch = watch

    async def connect(self) -> Speaker:
        """Return a watched connection."""
        return WatchedSpeaker(await self._link.connect(), self._watch)

    async def aclose(self) -> None:
        """Close the link."""
        await self._link.aclose()


class WatchedSpeaker:
    """A connection whose answers pass a watch."""

    def __init__(self, speaker: Speaker, watch: Watch) -> None:
        self._speaker = speaker
        self._watch = watch

    @property
    def alive(self) -> bool:
        """Whether answers can still come."""
        return self._speaker.alive

    def exchange(self, request: ResponseCreate) -> AsyncGenerator[tuple[Event, Identified], None]:
        """Ask, and yield the answer's events."""
        return self._watch.follow(request, self._speaker.exchange)

    async def respond(self, request: ResponseCreate) -> AsyncGenerator[Event, None]:
        """As `exchange`, the events only."""
        async with aclosing(self.exchange(request)) as pairs:
            async for event, _identified in pairs:
                yield event

    async def models(self) -> Sequence[ModelListing]:
        """Return what can be chosen."""
        return await self._speaker.models()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._speaker.aclose()
