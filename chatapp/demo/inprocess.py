"""Backends without a gateway: for a check, where everything must run in one process on one virtual clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from chatapp.backends.base import Backend
from chatapp.backends.registry import listings, resolve
from chatapp.client.connection import ResponseCreate
from chatapp.clock import Clock
from chatapp.config import Settings
from chatapp.errors import BackendError, ChatappError
from chatapp.protocol.responses import ModelListing
from chatapp.stream.events import BackendInfo, Event, Failed, Request


def open_backend(name: str, settings: Settings, clock: Clock | None) -> Backend:
    """Return the backend that a name means, those whose timing is ours on the given clock.

    Raises:
        ChatappError: as `registry.resolve` says.
    """
    scheme, _, rest = name.partition(":")
    if clock is not None and scheme == "sim":
        from chatapp.backends.simulated import open_simulated

        return open_simulated(name, settings, clock=clock)
    if clock is not None and scheme == "recording":
        from chatapp.backends.recorded import open_recorded

        return open_recorded(rest, settings, clock=clock)
    return resolve(name, settings)


@dataclass(frozen=True, slots=True)
class Behind:
    """What answers. The conversation is not kept here, so no response has a name that could be referred to."""

    info: BackendInfo | None
    response_id: str = ""


class InProcessLink:
    """A way to backends that needs no connection; hands out one speaker."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self._speaker = InProcessSpeaker(settings, clock)

    async def connect(self) -> InProcessSpeaker:
        """Return the speaker."""
        return self._speaker

    async def aclose(self) -> None:
        """Close the backends. Idempotent."""
        await self._speaker.shut_down()


class InProcessSpeaker:
    """Answers as a gateway connection does, from backends in this process."""

    def __init__(self, settings: Settings, clock: Clock | None) -> None:
        self._settings = settings
        self._clock = clock
        self._backends: dict[str, Backend] = {}

    @property
    def alive(self) -> bool:
        """Always: there is nothing that could break."""
        return True

    async def respond(self, request: ResponseCreate) -> AsyncGenerator[Event, None]:
        """Yield the events of an answer."""
        async with aclosing(self.exchange(request)) as pairs:
            async for event, _identified in pairs:
                yield event

    async def exchange(self, request: ResponseCreate) -> AsyncGenerator[tuple[Event, Behind], None]:
        """Yield the events of an answer, and what is behind it."""
        try:
            backend = self._open(request.model)
        except ChatappError as exc:
            code = exc.code if isinstance(exc, BackendError) else "not_found"
            yield Failed(self._now_ns(), code, exc.message, exc.hint), Behind(None)
            return
        behind = Behind(backend.info)
        stream = backend.stream(
            Request(
                tuple(request.input),
                request.instructions,
                request.max_output_tokens,
                request.temperature,
                request.seed,
                retell=request.retell,
                metadata=request.metadata,
            )
        )
        async with aclosing(stream):
            async for event in stream:
                yield event, behind

    async def models(self) -> Sequence[ModelListing]:
        """Return what can be chosen."""
        return [
            ModelListing(x.name, x.label, x.provider, x.model, x.kind, x.ready, x.why_not, x.group)
            for x in listings(self._settings)
        ]

    async def aclose(self) -> None:
        """Keep the backends: the next connection uses them again."""

    async def shut_down(self) -> None:
        """Close the backends. Idempotent."""
        while self._backends:
            _name, backend = self._backends.popitem()
            await backend.aclose()

    def _open(self, name: str) -> Backend:
        if name not in self._backends:
            self._backends[name] = open_backend(name, self._settings, self._clock)
        return self._backends[name]

    def _now_ns(self) -> int:
        from chatapp.clock import MonotonicClock

        return (self._clock or MonotonicClock()).now_ns()
