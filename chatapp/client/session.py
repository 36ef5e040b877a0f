"""What a run of the app holds across screens: the way to the gateway, the settings, the chosen backend, the saver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chatapp.client.conversation import Conversation
from chatapp.client.link import Link, Speaker
from chatapp.client.saver import Saver
from chatapp.client.store import new_identity
from chatapp.clock import Clock, MonotonicClock
from chatapp.config import Settings
from chatapp.protocol.responses import ModelListing
from chatapp.stream.events import BackendInfo, BackendKind

if TYPE_CHECKING:
    from chatapp.recording.writer import Recorder


class Session:
    """State shared by the screens.

    Args:
        link: the way to the gateway.
        backend: the name of what answers at first.
        saver: where conversations go.
        settings: as read from config.toml.
        clock: stamps Enter and drives the stopwatch.
        instructions: the system prompt.
    """

    def __init__(
        self,
        link: Link,
        *,
        backend: str,
        saver: Saver,
        settings: Settings,
        clock: Clock | None = None,
        instructions: str = "",
    ) -> None:
        self.link = link
        self.backend = backend
        self.saver = saver
        self.settings = settings
        self.clock = clock or MonotonicClock()
        self.instructions = instructions
        self.conversation = self.fresh_conversation()
        self.listings: dict[str, ModelListing] = {}
        self.first_prompt = ""
        """Asked as soon as a screen shows the session."""
        self.known: set[str] = set()
        """Responses that the server keeps on the open connection."""
        self.recorder: Recorder | None = None
        """Writes what happens to a file, while a recording runs."""
        self.recording_to = Path()
        self.recording_problem = ""
        """Why recording had to stop (the disk is full), in one line; the answer goes on."""
        self._speaker: Speaker | None = None

    def fresh_conversation(self) -> Conversation:
        """Return a new conversation under the session's system prompt."""
        return Conversation(new_identity(), instructions=self.instructions)

    def go_on_with(self, conversation: Conversation, *, keep_backend: bool = False) -> None:
        """Make a saved conversation the current one, answered by what answered it last.

        Args:
            conversation: as loaded or imported.
            keep_backend: leave what answers as it is: it was named explicitly.
        """
        self.conversation = conversation
        last = conversation.last
        if last is not None and not keep_backend:
            listing = self.listings.get(last.backend)
            if listing.ready if listing is not None else _kind_of(last.backend) in ("simulated", "local"):
                self.backend = last.backend

    async def speaker(self) -> Speaker:
        """Return the open connection, opening one where there is none.

        Raises:
            GatewayError: the gateway cannot be reached or started.
        """
        if self._speaker is not None and not self._speaker.alive:
            await self.drop()
        if self._speaker is None:
            self._speaker = await self.link.connect()
            self.known.clear()
        return self._speaker

    async def drop(self) -> None:
        """Forget a connection that broke; the next request opens another."""
        speaker, self._speaker = self._speaker, None
        self.known.clear()
        if speaker is not None:
            await speaker.aclose()

    async def refresh_listings(self) -> Sequence[ModelListing]:
        """Ask the gateway what can be chosen."""
        models = await (await self.speaker()).models()
        self.listings = {listing.name: listing for listing in models}
        return models

    def info(self, backend: str = "") -> BackendInfo:
        """Return what is known of a backend before it answers: its listing, else what its name says."""
        name = backend or self.backend
        listing = self.listings.get(name)
        if listing is not None:
            return BackendInfo(
                name=name,
                label=listing.label or name,
                kind=listing.kind,
                provider=listing.provider,
                model=listing.model,
                note=listing.note,
                detail=listing.detail,
            )
        return BackendInfo(name=name, label=name, kind=_kind_of(name), provider="", model=name)

    def price(self, backend: str, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """Return what an answer cost in US dollars; None where prices or counts are not known."""
        listing = self.listings.get(backend)
        if listing is None or listing.input_usd is None or listing.output_usd is None:
            return None
        if input_tokens is None or output_tokens is None:
            return None
        return (listing.input_usd * input_tokens + listing.output_usd * output_tokens) / 1e6

    async def aclose(self) -> None:
        """Close the connection, save what is left, seal a recording."""
        await self.drop()
        await self.link.aclose()
        self.stop_recording()

    def start_recording(self, path: Path) -> None:
        """Record every exchange from now on.

        Raises:
            UsageError: the file exists or cannot be created.
        """
        from chatapp.recording.writer import Recorder

        self.recording_problem = ""
        self.recorder = Recorder.open(path, title=self.conversation.title, on_problem=self._recording_stopped)
        self.recording_to = path

    def _recording_stopped(self, problem: str) -> None:
        self.recording_problem = problem

    def stop_recording(self) -> None:
        """Seal the recording, if one runs."""
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            recorder.close()


def _kind_of(name: str) -> BackendKind:
    if name.startswith("sim:"):
        return "simulated"
    if name.startswith("recording:"):
        return "recorded"
    return "local" if name == "local" or name.startswith("local:") else "live"
