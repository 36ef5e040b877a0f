"""The line at the bottom: the keys that make sense now, clickable, and what a half-typed command may become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from chatapp.ui.commands import Command


@dataclass(frozen=True, slots=True)
class Hint:
    """A key, what it does in a word, and the action that a click runs (none: the key is only named)."""

    key: str
    word: str
    action: str = ""


class HintBar(Static):
    """One row of hints, as many as fit, the first ones first."""

    DEFAULT_CSS = """
    HintBar { height: 1; padding: 0 1; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, markup=False)
        self._hints: Sequence[Hint] = ()
        self._completions: Sequence[Command] = ()
        self._message = ""

    def show(self, hints: Sequence[Hint], *, completions: Sequence[Command] = (), message: str = "") -> None:
        """Offer these hints that have a key; or the completions of what is being typed; or one message."""
        wanted = (tuple(hint for hint in hints if hint.key), tuple(completions), message)
        if wanted != (self._hints, self._completions, self._message):
            self._hints, self._completions, self._message = wanted
            self._draw()

    def on_resize(self) -> None:
        """Offer as much as fits."""
        self._draw()

    def _draw(self) -> None:
        width = self.content_size.width
        parts: list[Content] = []
        if self._completions:
            for command in self._completions:
                argument = f" {command.argument}" if command.argument else ""
                parts.append(Content.assemble((f"/{command.name}", "$speed bold"), (argument, "$quiet")))
        elif self._message:
            parts.append(Content.styled(self._message, "$quiet"))
        else:
            parts = [_drawn(hint) for hint in self._hints]
        line = Content("")
        for part in parts:
            separated = part if not line.plain else Content("   ") + part
            if line.cell_length + separated.cell_length > width and line.plain:
                break
            line += separated
        self.update(line)

    async def on_click(self, event: events.Click) -> None:
        """Do what was clicked."""
        action = event.style.meta.get("hint")
        if action:
            await self.run_action(action)


def _drawn(hint: Hint) -> Content:
    line = Content.assemble((hint.key, "$footer-key-foreground bold"), (f" {hint.word}", "$quiet"))
    return line.stylize(Style.from_meta({"hint": hint.action}))
