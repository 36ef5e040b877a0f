"""The line at the bottom: the keys that make sense now, clickable, and what a half-typed command may become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from chatapp.ui.commands import BY_NAME, Command, key_label


class HintBar(Static):
    """One row of hints, as many as fit, the first ones first."""

    DEFAULT_CSS = """
    HintBar { height: 1; padding: 0 1; }
    """
    ALLOW_SELECT = False

    def __init__(self, keymap: Mapping[str, str], *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, markup=False)
        self._keymap = keymap
        self._names: Sequence[str] = ()
        self._completions: Sequence[Command] = ()
        self._message = ""

    def show(self, names: Sequence[str], *, completions: Sequence[Command] = (), message: str = "") -> None:
        """Offer these commands; or the completions of what is being typed; or one message."""
        wanted = (tuple(names), tuple(completions), message)
        if wanted != (tuple(self._names), tuple(self._completions), self._message):
            self._names, self._completions, self._message = wanted
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
            parts = [self._hint(BY_NAME[name]) for name in self._names]
        line = Content("")
        for part in parts:
            separated = part if not line.plain else Content("   ") + part
            if line.cell_length + separated.cell_length > width and line.plain:
                break
            line += separated
        self.update(line)

    def _hint(self, command: Command) -> Content:
        key = key_label(self._keymap.get(command.name, command.keys))
        line = Content.assemble((key, "$footer-key-foreground bold"), (f" {command.hint}", "$quiet"))
        return line.stylize(Style.from_meta({"command": command.name}))

    async def on_click(self, event: events.Click) -> None:
        """Run the command that was clicked."""
        name = event.style.meta.get("command")
        if name is not None:
            await self.run_action(f"screen.command('{name}')")
