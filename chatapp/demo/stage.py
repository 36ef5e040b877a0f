"""What a demo plays on: the app, as far as a script can drive it. `chatapp.ui.stage` is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chatapp.recording.reader import Recording


@dataclass(frozen=True, slots=True)
class PresenterView:
    """All that the presenter line shows, as one value."""

    title: str = ""
    chapter: str = ""
    number: int = 0
    """Of the chapter, from 1; 0 before the first."""
    chapters: int = 0
    caption: str = ""
    elapsed_ns: int = 0
    next_step: str = ""
    """What the script does next, for the presenter."""
    state: str = "playing"
    """playing, waiting (for the presenter), paused, by hand, ended."""
    mark: str = ""
    """What went wrong, or that the backend was switched; stays until the next chapter."""
    speed: float = 1.0


class Stage(Protocol):
    """The app under a script's hands."""

    async def press(self, key: str) -> None:
        """Press a key, in Textual's names, and let the app take it in."""

    async def type_character(self, character: str) -> None:
        """Type one character of a text into the prompt."""

    async def settle(self) -> None:
        """Let the app take in and show what has happened."""

    async def open_chat(self, backend: str) -> None:
        """Show the chat, with this backend answering from now on."""

    async def open_compare(self, backends: Sequence[str]) -> None:
        """Show an empty comparison of these backends."""

    async def play(self, recording: Recording, speed: float | None) -> None:
        """Show a recording, and return at its end. It stays open: it may be shown longer than it plays."""

    async def ask(self, prompt: str) -> None:
        """Send a prompt as if it had been typed: after the backend was switched."""

    async def reset(self) -> None:
        """Begin as the app begins: an empty chat, nothing kept of what was shown."""

    def show(self, view: PresenterView) -> None:
        """Show the presenter line."""

    def visible_text(self) -> str:
        """Return the text on the screen, row by row."""

    def picture(self) -> str:
        """Return the screen as SVG."""
