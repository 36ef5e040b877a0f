"""Where prompts are written: several lines, Enter sends, Ctrl+J always makes a new line.

Shift+Enter and Alt+Enter make one too, where the terminal tells them apart from Enter. Up and down at the edge of the
text walk through earlier prompts. A large paste stands as one mark in the text, and is put back in when it is sent:
wrapping 100 kB on every key stroke would freeze the typing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from chatapp.text.sanitize import sanitize
from chatapp.ui.commands import completions

LARGE_PASTE = 4000
"""Characters above which a paste is shown as a mark."""

_PLACEHOLDER = re.compile(r"\{\{\s*([\w -]+?)\s*\}\}")


class PromptBox(TextArea):
    """The prompt being written."""

    @dataclass
    class Submitted(Message):
        """A prompt was sent. The box is empty already; `give_back` returns a prompt that could not be sent."""

        text: str
        """The prompt, pastes in full."""
        written: str = ""
        """As it stood in the box, pastes as marks."""
        pastes: dict[str, str] = field(default_factory=dict)

    @dataclass
    class StarterChosen(Message):
        """A digit was pressed while the prompt was empty."""

        number: int

    # Not priority bindings: those run before the characters typed just before them, which wait in this widget's queue.
    KEYS: ClassVar[dict[str, str]] = {
        "enter": "submit",
        "ctrl+j": "newline",
        "shift+enter": "newline",
        "alt+enter": "newline",
        "tab": "complete",
    }

    def __init__(self, *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(
            id=id, placeholder=placeholder, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False
        )
        self.tab_behavior = "focus"
        self.offers_starters = False
        self.prompts: list[str] = []
        """Earlier prompts, oldest first."""
        self._place: int | None = None
        self._draft = ""
        self._pastes: dict[str, str] = {}

    # Text in and out.

    def set_prompt(self, text: str) -> None:
        """Put a text into the box, ready to be edited, and its first blank selected."""
        self.text = sanitize(text)
        self.move_cursor(self.document.end)
        if _PLACEHOLDER.search(text):
            self.select_blank()

    @property
    def prompt(self) -> str:
        """The prompt as it will be sent, pastes in full."""
        text = self.text
        for mark, pasted in self._pastes.items():
            text = text.replace(mark, pasted)
        return text.strip()

    def give_back(self, sent: Submitted) -> None:
        """Put a prompt back that could not be sent, before what was typed since."""
        self._pastes = {**sent.pastes, **self._pastes}
        self.text = (sent.written or sent.text) + self.text
        self.move_cursor(self.document.end)

    def clear_prompt(self) -> None:
        """Empty the box."""
        self.text = ""
        self._pastes.clear()
        self._place = None

    def remember(self, prompt: str) -> None:
        """Add a sent prompt to what the up key finds."""
        if not self.prompts or self.prompts[-1] != prompt:
            self.prompts.append(prompt)
        self._place = None

    def select_blank(self) -> bool:
        """Select the next `{{blank}}` of a template; False where there is none left."""
        row, column = max(self.selection.start, self.selection.end)
        rows = self.document.lines
        for number in (*range(row, len(rows)), *range(row + 1)):
            found = _PLACEHOLDER.search(rows[number], column if number == row else 0)
            column = column if number != row or found else 0
            if found is not None:
                self.move_cursor((number, found.start()))
                self.move_cursor((number, found.end()), select=True)
                return True
        return False

    # Keys. Textual calls the handlers of all base classes in turn until one prevents it: calling them here as well
    # would paste twice.

    async def _on_key(self, event: events.Key) -> None:
        if self.offers_starters and not self.text and event.character in ("1", "2", "3", "4"):
            event.stop()
            event.prevent_default()
            self.post_message(self.StarterChosen(int(event.character)))
            return
        action = self.KEYS.get(event.key)
        if action is not None:
            event.stop()
            event.prevent_default()
            getattr(self, f"action_{action}")()

    async def _on_paste(self, event: events.Paste) -> None:
        if len(event.text) <= LARGE_PASTE:
            return
        event.stop()
        event.prevent_default()
        pasted = event.text.replace("\r\n", "\n").replace("\r", "\n")
        mark = f"[paste {len(self._pastes) + 1}: {len(pasted):,} characters]"
        self._pastes[mark] = pasted
        self.insert(mark)

    def action_submit(self) -> None:
        """Send the prompt, if there is one."""
        prompt = self.prompt
        if prompt:
            # Emptied here and not by whoever gets the message: keys typed until then belong to the next prompt.
            written, pastes = self.text, dict(self._pastes)
            self.clear_prompt()
            self.post_message(self.Submitted(prompt, written, pastes))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_complete(self) -> None:
        """Complete a slash command, or go to a template's next blank, or move the focus on."""
        if self.suggestion:
            self.insert(self.suggestion)
        elif not self.select_blank():
            self.screen.focus_next()

    def update_suggestion(self) -> None:
        """Suggest the rest of a slash command."""
        text = self.text
        found: Sequence[object] = completions(text) if self.cursor_at_end_of_text else ()
        first = found[0] if found else None
        self.suggestion = getattr(first, "name", "")[len(text) - 1 :] if first is not None and len(text) > 1 else ""

    # History.

    def action_cursor_up(self, select: bool = False) -> None:
        """Move up, or on the first line to the prompt before."""
        if select or not self.cursor_at_first_line or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Move down, or on the last line to the prompt after."""
        if select or not self.cursor_at_last_line or not self._recall(+1):
            super().action_cursor_down(select)

    def _recall(self, step: int) -> bool:
        place = len(self.prompts) if self._place is None else self._place
        if place == len(self.prompts):
            self._draft = self.text
        wanted = place + step
        if not 0 <= wanted <= len(self.prompts):
            return False
        self._place = wanted
        self.text = self._draft if wanted == len(self.prompts) else self.prompts[wanted]
        self.move_cursor(self.document.end)
        return True
