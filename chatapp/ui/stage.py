"""The app as a demo's stage: keys that a script presses, screens that it opens, the line that it writes on."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from textual import events
from textual.css.query import NoMatches
from textual.message_pump import MessagePump

from chatapp.client.session import Session
from chatapp.demo.pictures import picture_rows
from chatapp.demo.stage import PresenterView
from chatapp.recording.player import Player
from chatapp.recording.reader import Recording
from chatapp.ui.screens.chat import ChatScreen
from chatapp.ui.screens.compare import open_compare
from chatapp.ui.screens.replay import open_replay
from chatapp.ui.widgets.presenter_line import PresenterLine

if TYPE_CHECKING:
    from chatapp.ui.presenter import PresenterApp

_TURN_S = 1.0
"""How long a widget may take to come to a message before the script goes on regardless."""


class AppStage:
    """Drives one app. It presses keys on the app itself, so that bindings, focus and screens do what they do live."""

    def __init__(self, app: PresenterApp, session: Session) -> None:
        self.app = app
        self.session = session
        self.line_hidden = False

    # ------------------------------------------------------------------ keys

    async def press(self, key: str) -> None:
        """Press a key."""
        self.app.press_scripted(events.Key(key, key if len(key) == 1 else None))
        await self._turn(self.app)

    async def type_character(self, character: str) -> None:
        """Type one character."""
        self.app.press_scripted(events.Key(key_name(character), character))
        await asyncio.sleep(0)

    async def settle(self) -> None:
        """Let everybody on the way of a key take their turn, there and back."""
        screen = self.app.screen
        for pump in (self.app, screen, self.app.focused, self.app, self.app.screen):
            if pump is not None:
                await self._turn(pump)

    async def _turn(self, pump: MessagePump) -> None:
        done = asyncio.Event()
        if pump.call_later(done.set):
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), _TURN_S)

    # ------------------------------------------------------------------ screens

    @property
    def chat(self) -> ChatScreen:
        """The chat, on top or beneath."""
        return next(screen for screen in reversed(self.app.screen_stack) if isinstance(screen, ChatScreen))

    async def open_chat(self, backend: str) -> None:
        """Go to the chat and choose its backend."""
        await self._leave_to_chat()
        if backend != self.session.backend:
            self.chat.run_command("backend", backend)
        await self.settle()
        self.chat.prompt_box.focus()

    async def open_compare(self, backends: Sequence[str]) -> None:
        """Show an empty comparison."""
        await self._leave_to_chat()
        await self.app.push_screen(open_compare(self.session, backends, ""))
        await self.settle()

    async def play(self, recording: Recording, speed: float | None) -> None:
        """Show a recording to its end; it stays until the script goes elsewhere."""
        await self._leave_to_chat()
        player = Player(recording, clock=self.session.clock, speed=speed)
        await self.app.push_screen(open_replay(player))
        await player.ended.wait()
        await self.settle()

    async def ask(self, prompt: str) -> None:
        """Send a prompt in the chat."""
        self.chat.ask(prompt)
        await self.settle()

    async def reset(self) -> None:
        """Begin with an empty chat: no conversation, no scores, no earlier prompts."""
        await self._leave_to_chat()
        self.session.conversation = self.session.fresh_conversation()
        fresh = ChatScreen(self.session)
        await self.app.switch_screen(fresh)
        await self.settle()
        fresh.prompt_box.prompts = []
        fresh.prompt_box.clear_prompt()

    async def _leave_to_chat(self) -> None:
        """Leave every screen above the chat, and cancel what is coming there."""
        while not isinstance(self.app.screen, ChatScreen):
            screen = self.app.screen
            leave = getattr(screen, "action_leave", None)
            if leave is not None:
                leave()
            else:
                self.app.pop_screen()
            for _ in range(50):
                await self._turn(self.app)
                if self.app.screen is not screen:
                    break
            else:
                self.app.pop_screen()
        await self.chat.cancel_answer()
        await self.settle()

    # ------------------------------------------------------------------ what is seen

    def show(self, view: PresenterView) -> None:
        """Show the presenter line on whatever screen is on top."""
        screen = self.app.screen
        try:
            line = screen.query_one(PresenterLine)
        except NoMatches:
            line = PresenterLine(view)
            line.hidden_row = self.line_hidden
            screen.mount(line)
        line.show(view)

    def hide_line(self) -> None:
        """Hide the presenter's row, or show it; the caption stays."""
        self.line_hidden = not self.line_hidden
        for line in self.app.screen.query(PresenterLine):
            line.hidden_row = self.line_hidden

    def visible_text(self) -> str:
        """Return the text on the screen, row by row."""
        return "\n".join(picture_rows(self.picture()))

    def picture(self) -> str:
        """Return the screen as SVG."""
        return self.app.export_screenshot(title="chatapp")


def key_name(character: str) -> str:
    """Return Textual's name of the key that types a character."""
    if character.isalnum():
        return character
    named = {"\n": "enter", "\t": "tab"}
    if character in named:
        return named[character]
    return unicodedata.name(character, character).lower().replace("-", "_").replace(" ", "_")
