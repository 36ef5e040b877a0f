"""A modal page to read: help, details, explanations. Scrolls; Esc, q or the key that opened it close it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

Lines = Sequence[Content]


class Sheet(ModalScreen[None]):
    """A page of lines for the width there is.

    Args:
        heading: its title.
        draw: returns the lines for a width in columns; called again when the width changes.
        hint: the line at the bottom.
        keys: what opened it, and closes it too.
    """

    CSS_PATH = "sheet.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "app.quit", "Leave the app", show=False, priority=True),  # a modal screen hides the app's own
        Binding("escape,q", "leave", "Close", show=False, priority=True),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
    ]

    def __init__(
        self, heading: str, draw: Callable[[int], Lines], *, hint: str = "Esc closes", keys: Sequence[str] = ()
    ) -> None:
        super().__init__()
        for key in keys:
            self._bindings.bind(key, "leave", "Close", show=False, priority=True)
        self.heading = heading
        self.draw = draw
        self.hint = hint
        self._width = 0

    def compose(self) -> ComposeResult:
        """Heading, page, hint."""
        with Vertical(id="sheet"):
            yield Static(self.heading, id="sheet-heading", markup=False)
            with VerticalScroll(id="sheet-page"):
                yield Static(id="sheet-text", markup=False)
            yield Static(self.hint, id="sheet-hint", markup=False)

    def on_mount(self) -> None:
        """Let the page take the keys."""
        self.query_one(VerticalScroll).focus()
        self.call_after_refresh(self.redraw)

    def on_resize(self, event: events.Resize) -> None:
        """Use the width there is, and leave room for heading, hint and border."""
        self.query_one("#sheet-page").styles.max_height = max(event.size.height * 90 // 100 - 7, 3)
        self.call_after_refresh(self.redraw)

    def redraw(self, *, force: bool = False) -> None:
        """Draw the page where its width or content changed."""
        width = self.query_one("#sheet-page").content_size.width
        if width > 0 and (force or width != self._width):
            self._width = width
            self.query_one("#sheet-text", Static).update(Content("\n").join(self.draw(width - 1)))

    def action_scroll(self, rows: int) -> None:
        """Scroll the page."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)


def heading(text: str) -> list[Content]:
    """Return a section's title and the space above it."""
    return [Content(""), Content.styled(text, "$speed bold")]


def row(name: str, value: str, note: str = "", *, indent: int = 16) -> Content:
    """Return a line of name, value, and a remark."""
    return Content.assemble(
        (f"{name:<{indent}}", "$quiet"), (f"{value}", "$foreground"), (f"   {note}" if note else "", "$quiet")
    )


def bar(share: float, width: int) -> str:
    """Return a bar of `share` (0 to 1) of a width in columns, to an eighth of a column."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def wrap(text: str, width: int, style: str = "$foreground") -> list[Content]:
    """Return a paragraph as lines."""
    import textwrap

    return [Content.styled(line, style) for line in textwrap.wrap(text, max(width, 10)) or [""]]
