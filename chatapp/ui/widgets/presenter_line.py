"""The two lowest rows of a demo: what the audience reads, and what only the presenter needs."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import var
from textual.widget import Widget

from chatapp.demo.stage import PresenterView
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.widgets.transport import clock_text

_STATES = {
    "playing": ("▶", "$speed"),
    "waiting": ("▮▮ Space goes on", "$warning"),
    "paused": ("▮▮ paused", "$warning"),
    "by hand": ("✋ by hand, F12 returns", "$person"),
    "ended": ("■ r again  t by hand  q leave", "$person"),
}


class PresenterLine(Widget):
    """A caption, and under it chapter, time and what comes next. The second row can be hidden."""

    DEFAULT_CSS = """
    PresenterLine { dock: bottom; height: 2; padding: 0 1; background: $panel; }
    PresenterLine.-caption-only { height: 1; }
    """
    ALLOW_SELECT = False

    hidden_row: var[bool] = var(False, toggle_class="-caption-only")

    def __init__(self, view: PresenterView) -> None:
        super().__init__()
        self.view = view

    def show(self, view: PresenterView) -> None:
        """Show a new state; repaints these rows only."""
        if view != self.view:
            self.view = view
            self.refresh(layout=False)

    def render(self) -> Content:
        """Draw the rows."""
        width = max(self.content_size.width, 20)
        rows = [caption_row(self.view, width)]
        if not self.hidden_row:
            rows.append(status_row(self.view, width))
        return Content("\n").join(rows)


def caption_row(view: PresenterView, width: int) -> Content:
    """Return what the audience reads; what went wrong stands before it."""
    mark = sanitize_line(view.mark)
    line = Content.styled(f"{mark}  " if mark else "", "$warning bold")
    return _cut(line + Content.styled(sanitize_line(view.caption), "$foreground bold"), width)


def status_row(view: PresenterView, width: int) -> Content:
    """Return where the demo stands and what comes next."""
    sign, style = _STATES.get(view.state, ("▶", "$speed"))
    where = f"{view.number}/{view.chapters} {view.chapter}" if view.number else view.title
    speed = f"  ×{view.speed:g}" if view.speed != 1.0 else ""
    line = Content.assemble(
        (f"{sign}  ", style),
        (f"{clock_text(view.elapsed_ns)[:-2]}{speed}  ", "$foreground"),
        (sanitize_line(where), "$quiet"),
    )
    if view.state != "ended":
        line += Content.styled(f"  next: {sanitize_line(view.next_step)}", "$faint")
    return _cut(line, width)


def _cut(line: Content, width: int) -> Content:
    return line.truncate(width, ellipsis=True) if line.cell_length > width else line
