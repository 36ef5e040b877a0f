"""What an empty chat says: what is behind it, what to press, what else there is, and four ways to begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.style import Style
from textual.widgets import Static

from chatapp.stream.events import BackendKind
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.fitting import cut
from chatapp.ui.keymap import KeyTable
from chatapp.ui.starters import RACE, Starter
from chatapp.ui.widgets.metrics_panel import KIND_MARKS

_WORDMARK = (
    "█▀▀ █ █ █▀█ ▀█▀ █▀█ █▀█ █▀█",
    "█   █▀█ █▀█  █  █▀█ █▀▀ █▀▀",
    "▀▀▀ ▀ ▀ ▀ ▀  ▀  ▀ ▀ ▀   ▀  ",
)


@dataclass(frozen=True, slots=True)
class Behind:
    """What answers here, in words for a newcomer."""

    label: str
    kind: BackendKind
    note: str = ""
    tip: str = ""
    """One thing said once: a key that is set, an extra that is missing."""


class Welcome(Static):
    """The first screen; gone with the first prompt."""

    DEFAULT_CSS = """
    Welcome { height: 1fr; padding: 1 2; }
    """
    ALLOW_SELECT = False

    @dataclass
    class StarterClicked(Message):
        """A starter was clicked."""

        number: int

    def __init__(self, keys: KeyTable, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, markup=False)
        self.starters: Sequence[Starter] = ()
        self.keys = keys
        self.behind: Behind | None = None

    def offer(self, starters: Sequence[Starter]) -> None:
        """Offer these ways to begin."""
        self.starters = starters
        self._draw()

    def show(self, behind: Behind) -> None:
        """Say what is behind."""
        self.behind = behind
        self._draw()

    def on_resize(self) -> None:
        """Use the room there is."""
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """Choose a starter by the mouse."""
        number = event.style.meta.get("starter")
        if number is not None:
            self.post_message(self.StarterClicked(int(number)))

    def _draw(self) -> None:
        width, height = self.content_size
        if width > 0:
            self.update(Content("\n").join(welcome_lines(self.starters, self.keys, self.behind, width, height)))


def welcome_lines(
    starters: Sequence[Starter], keys: KeyTable, behind: Behind | None, width: int, height: int
) -> list[Content]:
    """Return the first screen's lines for a room of `width` by `height`."""
    lines: list[Content] = []
    if height >= 24 and width >= 40:
        lines += [Content.styled(row, "$speed") for row in _WORDMARK]
        lines.append(Content(""))
    lines.append(Content.styled(cut("Feel how fast an inference system is.", width), "$foreground bold"))
    lines.append(Content(""))
    lines += _behind_lines(behind, width)
    lines.append(Content(""))
    lines += [_starter_line(starter, width) for starter in starters] or [Content("")] * RACE
    lines.append(Content(""))
    lines.append(
        Content.assemble(
            ("Press ", "$quiet"),
            ("1", "$speed bold"),
            (" to ", "$quiet"),
            ("4", "$speed bold"),
            (", or type and ", "$quiet"),
            ("Enter", "$speed bold"),
        )
    )
    if height - len(lines) >= 4:
        lines.append(Content(""))
    uses = (
        ("chat", "here;", keys.label("backend"), "another system or model"),
        ("compare", "side by side:", keys.label("compare"), "or chatapp compare"),
        ("demo", "on a stage:", "", "chatapp demo play feel-the-difference"),
    )
    for name, before, key, after in uses:
        line = Content.assemble(
            (f"{name:<9}", "$foreground"),
            (f"{before} ", "$quiet"),
            (f"{key} " if key else "", "$speed bold"),
            (after, "$quiet"),
        )
        lines.append(line.truncate(width, ellipsis=True))
    return lines if height <= 0 else lines[:height]


def _behind_lines(behind: Behind | None, width: int) -> list[Content]:
    if behind is None:
        return [Content.styled("Starting …", "$quiet")]
    mark, colour = KIND_MARKS[behind.kind]
    label = cut(sanitize_line(behind.label), width - 16)
    lines = [Content.assemble(("Behind it   ", "$quiet"), (f"{mark} ", colour), (label, "bold"))]
    for text in (behind.note, behind.tip):
        if text:
            style = colour if text == behind.note else "$quiet"
            lines.append(Content.styled(" " * 12 + cut(sanitize_line(text), width - 12), style))
    return lines


def _starter_line(starter: Starter, width: int) -> Content:
    title = cut(starter.title, width - 18)
    line = Content.assemble(
        (f" {starter.number} ", "$speed bold on $panel"),
        (f"  {starter.kind:<13}", "$quiet"),
        (title, "$foreground"),
    )
    return line.stylize(Style.from_meta({"starter": starter.number}))  # meta, not a link: links have their own colours
