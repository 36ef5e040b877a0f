"""The line of a player: where it stands, how fast, in which chapter, and that this is a replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from chatapp.text.sanitize import sanitize_line

_SIGNS = {"playing": "▶", "paused": "⏸", "ended": "■"}
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TransportView:
    """All that the line shows, as one value."""

    state: str
    position_ns: int
    duration_ns: int
    speed: float | None = 1.0
    """None does not wait at all."""
    chapter: str = ""
    marks_ns: tuple[int, ...] = ()


class Transport(Widget):
    """One row: state, times, speed, a track with the chapters on it, the chapter's title."""

    DEFAULT_CSS = """
    Transport { height: 1; padding: 0 1; background: $surface; }
    """
    ALLOW_SELECT = False

    def __init__(self, view: TransportView, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.view = view

    def show(self, view: TransportView) -> None:
        """Show a new state; repaints this row only."""
        if view != self.view:
            self.view = view
            self.refresh(layout=False)

    def render(self) -> Content:
        """Draw the row."""
        return transport_line(self.view, max(self.content_size.width, 20))


def transport_line(view: TransportView, width: int) -> Content:
    """Return the row for a width in columns; the track takes what is left."""
    head = Content.assemble(
        (f"{_SIGNS[view.state]} ", "$person bold"),
        (f"{clock_text(view.position_ns)} / {clock_text(view.duration_ns)}", "$foreground"),
        (f"  {speed_text(view.speed)}", "$quiet"),
    )
    title = sanitize_line(view.chapter)
    room = width - head.cell_length - 4
    if len(title) > max(room - 10, 0):
        title = title[: max(room - 11, 0)] + "…" if room > 14 else ""
    track = room - (len(title) + 2 if title else 0)
    line = head
    if track >= 5:
        line += Content("  ") + track_content(view, track)
    if title:
        line += Content.styled(f"  {title}", "$quiet")
    return line


def track_content(view: TransportView, width: int) -> Content:
    """Return the track: what is past, what is to come, and where chapters begin."""
    place = _place(view.position_ns, view.duration_ns, width)
    marks = {_place(mark, view.duration_ns, width) for mark in view.marks_ns}
    cells = [
        ("┃" if index == place else "┼" if index in marks else "━" if index < place else "─") for index in range(width)
    ]
    return Content.assemble(("".join(cells[: place + 1]), "$person"), ("".join(cells[place + 1 :]), "$faint"))


def _place(at_ns: int, duration_ns: int, width: int) -> int:
    return min(at_ns * (width - 1) // duration_ns, width - 1) if duration_ns > 0 else 0


def clock_text(ns: int) -> str:
    """Return a time as minutes, seconds and tenths."""
    tenths = ns // (NS_PER_S // 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def speed_text(speed: float | None) -> str:
    """Return a speed factor as people write it."""
    return "max" if speed is None else f"×{speed:g}"


def marks_of(chapters: Sequence[tuple[int, int, str]]) -> tuple[int, ...]:
    """Return where chapters begin."""
    return tuple(chapter[0] for chapter in chapters)
