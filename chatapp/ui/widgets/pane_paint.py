"""From a row's style names to strips of the terminal, looked up once per style instead of once per cell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from chatapp.text.cells import width_of
from chatapp.text.rows import Row, Span

STYLE_NAMES = (
    *("h1", "h2", "h3", "h4", "h5", "h6", "heading-rule"),
    *("strong", "em", "strike", "link", "image", "code", "math", "html"),
    *("quote", "quote-bar", "list-mark", "rule", "table", "table-header", "table-rule"),
    *("fence", "code-language", "code-keyword", "code-string", "code-comment", "code-number", "code-constant"),
    *("code-function", "code-type", "code-builtin", "code-decorator", "code-attribute", "code-variable"),
    *("code-operator", "code-deleted", "code-inserted", "code-output"),
    *("prompt", "prompt-bar", "label", "badge", "footer", "footer-state", "reasoning", "fold", "notice-info"),
    *("notice-warning", "notice-error", "hint", "match", "match-current", "chosen", "position"),
)
COMPONENT_CLASSES = {f"stream-pane--{name}" for name in STYLE_NAMES}

Range = tuple[int, int, str]
"""First character, one past the last, style name."""


class RowPainter:
    """Makes strips for one widget, in its current theme.

    `Widget.rich_style` walks the DOM, 23 us a call: 88 rows a frame would cost 2 ms. So styles are kept until
    `forget` is called, which the widget does from `notify_style_update`.
    """

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._styles: dict[str, Style] = {}

    def forget(self) -> None:
        """Look styles up again from now on."""
        self._styles.clear()

    def style(self, names: str) -> Style:
        """Return the terminal style of a row's style, e.g. `h2 code`."""
        style = self._styles.get(names)
        if style is None:
            style = self._styles[names] = self._look_up(names)
        return style

    def _look_up(self, names: str) -> Style:
        widget = self._widget
        _under, _outer, background, foreground = widget.colors
        text_style = Style()
        for name in names.split():
            if name == "selection":
                styles = widget.screen.get_component_styles("screen--selection")
            else:
                styles = widget.get_component_styles(f"stream-pane--{name.replace('.', '-')}")
            if styles.has_rule("background"):
                background += styles.background
            if styles.has_rule("color"):
                foreground = styles.color
            text_style += styles.text_style
        style = Style.from_color(_over(background, foreground).rich_color, background.rich_color) + text_style
        # Elsewhere Textual applies these to each strip: colours for a terminal with few or none.
        for line_filter in widget.app.get_line_filters():
            style = line_filter.apply([Segment(" ", style)], background)[0].style or style
        return style

    def mark(self) -> Segment:
        """Return the cell that marks the place in the last column."""
        return Segment("▐", self.style("position"))

    def blank(self, width: int) -> Strip:
        """Return an empty row."""
        return Strip.blank(width, self.style(""))

    def strip(self, row: Row, width: int, *, margin: int, fill_width: int, ranges: Sequence[Range] = ()) -> Strip:
        """Return a row as a strip of exactly `width` cells.

        Args:
            row: what to show.
            width: cells of the strip.
            margin: empty cells to the left.
            fill_width: cells that the row's fill reaches to, from the margin on.
            ranges: what to show in another style: selected or found text.
        """
        style = self.style
        segments = [Segment(" " * margin, style(""))] if margin else []
        used = margin
        for text, name, _href in _overlay(row.spans, ranges) if ranges else row.spans:
            segments.append(Segment(text, style(name)))
            used += len(text) if text.isascii() else width_of(text)
        if row.fill:
            room = min(width, margin + fill_width) - used
            if room > 0:
                segments.append(Segment(" " * room, style(row.fill)))
                used += room
        if used < width:
            segments.append(Segment(" " * (width - used), style("")))
        elif used > width:
            return Strip(segments, used).crop(0, width)  # a wide character in a pane of one cell
        return Strip(segments, width)


def _over(background: Color, foreground: Color) -> Color:
    """Return a foreground, blended where it is translucent."""
    return foreground if foreground.a == 1 or foreground.ansi is not None else background + foreground


def _overlay(spans: Sequence[Span], ranges: Sequence[Range]) -> list[Span]:
    """Return spans with another style added in some ranges of characters."""
    out: list[Span] = []
    at = 0
    for span in spans:
        end = at + len(span.text)
        cuts = sorted({at, end, *(min(max(edge, at), end) for start, stop, _name in ranges for edge in (start, stop))})
        for first, last in pairwise(cuts):
            names = [name for start, stop, name in ranges if start <= first and last <= stop]
            out.append(Span(span.text[first - at : last - at], " ".join([span.style, *names]).strip(), span.href))
        at = end
    return out
