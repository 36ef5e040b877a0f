"""The app: themes, the first screen, and what belongs to no screen. All else lives in the screens."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from chatapp.client.session import Session
from chatapp.config import Settings
from chatapp.ui.clipboard import copy_text
from chatapp.ui.frame import FrameTimer
from chatapp.ui.keymap import resolve_keys
from chatapp.ui.theme import MEANINGS, THEMES
from chatapp.ui.widgets.stream_pane import StreamPane


class ChatApp(App[object]):
    """Shows one screen after another over one session.

    Args:
        session: what the screens share.
        first: makes the first screen; the chat by default.

    Raises:
        SourceError: the settings' keymap names a command that does not exist.
    """

    TITLE = "chatapp"
    ENABLE_COMMAND_PALETTE = False  # the chat has its own, in the shape of every other chooser
    SELECT_AUTO_SCROLL_LINES = 1  # three, as is usual, scroll away what one begins to select near the edge
    BINDINGS: ClassVar[list[BindingType]] = [
        # Leaving must work from any screen; Ctrl+C is too often meant as "copy" or "stop".
        Binding("ctrl+q", "quit", "Leave", show=False, priority=False),
    ]

    def __init__(self, session: Session, *, first: Callable[[Session], Screen[None]] | None = None) -> None:
        # Textual chooses how to take colours away here, before a theme is set: said later, it would turn the terminal's
        # own colours into shades of grey, which are black on black.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.session = session
        self._first = first
        self._key_problems = resolve_keys(session.settings.keymap, session.settings.source).problems
        for theme in THEMES:
            self.register_theme(theme)
        apply_look(self, session.settings)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Give our colour names a meaning in themes that are not ours."""
        return MEANINGS

    def on_mount(self) -> None:
        """Open the first screen."""
        settings = self.session.settings
        FrameTimer.configure(
            self,
            fps=settings.fps or None,
            reduced_motion=settings.reduced_motion,
            jumping=None if settings.following == "auto" else settings.following == "jumps",
        )
        if self._first is None:
            from chatapp.ui.screens.chat import ChatScreen

            self.push_screen(ChatScreen(self.session))
        else:
            self.push_screen(self._first(self.session))
        for problem in self._key_problems:
            self.notify(problem, title="config.toml", severity="warning", markup=False)

    @property
    def crash(self) -> Exception | None:
        """What ended the app, if it was a bug; whoever ran it reports that, after the screen is gone."""
        return self._exception

    def _fatal_error(self) -> None:
        """End without Textual's own report, which prints every local variable: a key may be among them."""
        self._close_messages_no_wait()

    def on_stream_pane_copied(self, event: StreamPane.Copied) -> None:
        """Put what was copied where the user can get at it, and say where that is."""
        self.notify(copy_text(self, event.text, event.what), markup=False)


def apply_look(app: App[object], settings: Settings) -> None:
    """Set theme and motion as the settings and the terminal's conventions (NO_COLOR) ask."""
    app.theme = "ansi" if os.environ.get("NO_COLOR") else settings.theme
    if settings.reduced_motion:
        app.animation_level = "none"
