"""A column of rows on Textual's line API: painting, following and scrolling, for any transcript.

Rows, not widgets: a finished row is laid out once and painted from a cached strip, so a frame costs the screen's area,
not the conversation's length.

To follow the end is a state. Only the reader changes it: upward by wheel, key or scrollbar releases it, the bottom or a
new prompt takes it up again. What is above the reader's place never moves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from chatapp.ui.frame import FrameTimer
from chatapp.ui.widgets.pane_colours import FrameColours
from chatapp.ui.widgets.pane_paint import COMPONENT_CLASSES, Range, RowPainter
from chatapp.ui.widgets.pane_style import DEFAULT_CSS
from chatapp.ui.widgets.transcript import Transcript

_CACHED_STRIPS = 1024
"""More than any screen has rows; about 2 MB."""
_SCROLLBAR_PERIOD_S = 0.15
"""How often a scrollbar that is shown learns that the text has grown: each time costs as much as a pane's frame."""


class RowView(ScrollView, can_focus=True):
    """Shows a transcript, and its end as long as the reader follows."""

    DEFAULT_CSS = DEFAULT_CSS
    COMPONENT_CLASSES: ClassVar[set[str]] = COMPONENT_CLASSES

    following: var[bool] = var(True, init=False)
    """Whether the end of the text stays in sight."""
    jumping: var[bool] = var(False, init=False)
    """Whether following moves by quarter pages: a third of the bytes, for slow lines."""

    class FollowChanged(Message):
        """The view began or ceased to follow the end of the text."""

        def __init__(self, pane: RowView, following: bool) -> None:
            super().__init__()
            self.pane = pane
            self.following = following

        @property
        def control(self) -> RowView:
            """The view."""
            return self.pane

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # Textual's own name for it
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self.colours = FrameColours()
        self.transcript = Transcript(colours=self.colours)
        self._painter = RowPainter(self)
        self._strips: dict[tuple[int, int, int], Strip] = {}
        self._top = 0
        self._shown_top = -1
        """The top as of the last repaint that was asked for."""
        self._area = Size(0, 0)
        """Its cells, as `size` with the column of the scrollbar. `size` walks the DOM, several times a frame."""
        self._measured = False
        self._timer: FrameTimer | None = None
        self._scrollbar_told = 0.0

    # For subclasses.

    def take_in(self) -> bool:
        """Put what waits on the transcript; return whether anything waited."""
        return False

    @property
    def marked(self) -> bool:
        """Whether some rows are shown otherwise than they are: `marks` is asked then, and nothing is cached."""
        return self.text_selection is not None

    def marks(self, index: int, offset: int) -> list[Range]:
        """Return what to mark in a row of an entry, in characters of the row."""
        return []

    def wake(self) -> None:
        """Make sure that a frame comes."""
        if self._timer is not None:
            self._timer.wake()

    def repaint(self) -> None:
        """Paint all anew, nothing from the cache."""
        self._strips.clear()
        self.refresh()

    # The frame.

    def on_mount(self) -> None:
        """Take part in the frame."""
        self._timer = FrameTimer.of(self.app)
        self.jumping = self._timer.jumping
        self._timer.add(self)
        self._timer.wake()

    def on_unmount(self) -> None:
        """Leave the frame."""
        if self._timer is not None:
            self._timer.discard(self)
            self._timer = None

    def on_frame(self) -> bool:
        """Take in what waits and ask for a repaint of what changed."""
        plain = self.colours.waiting and self.screen.is_current
        with self.keeping_place():
            streaming = self.take_in()
            self.colours.begin_frame(streaming=streaming)
            if not streaming:
                if self.transcript.settled and self._measured and not plain:
                    return False
                self.transcript.settle()
        self.show_change()
        if plain:
            self._refresh_from(0)
        return True

    @contextmanager
    def keeping_place(self) -> Iterator[None]:
        """Keep the rows on the screen in their place while heights above them change."""
        heights = self.transcript.heights
        index = heights.locate(self._top)[0]
        before = heights.start(index)
        yield
        self._top += self.transcript.heights.start(index) - before

    def show_change(self) -> None:
        """Bring scroll position and screen up to date with the transcript."""
        if not self._measured:
            self._measure()
        transcript = self.transcript
        height = self._area.height
        if not height:
            return
        old_top = self._shown_top
        if self.following:
            transcript.ensure_end(height)
            end = max(0, transcript.total - height)
            if not self.jumping:
                self._top = end
            elif end > self._top or self._top > transcript.total:
                self._top = end + height // 4
        else:
            transcript.ensure_rows(self._top, height)
            self._top = max(0, min(self._top, transcript.total - height))
        self._publish(height)
        self._shown_top = self._top
        changed = transcript.take_change()
        if self._top != old_top:
            self._refresh_from(0)
        elif changed is not None and changed < self._top + height:
            self._refresh_from(max(0, changed - self._top))

    def _refresh_from(self, first: int) -> None:
        """Ask for a repaint of the rows of the screen from one on."""
        if first and self.styles.gutter.totals == (0, 0):
            self.refresh(Region(0, first, self._area.width, self._area.height - first))
        else:
            self.refresh()

    def _publish(self, height: int) -> None:
        """Let Textual know size and place, without the layout that assigning them would cause.

        A layout repaints every widget of the screen; in the frame loop it was most of the cost.
        """
        total = max(self.transcript.total, self._top + height)
        size = Size(self._area.width, total)
        if size != self.virtual_size:
            self.set_reactive(RowView.virtual_size, size)
            now = time.monotonic()
            if self.show_vertical_scrollbar and now - self._scrollbar_told > _SCROLLBAR_PERIOD_S:
                self._scrollbar_told = now
                self.vertical_scrollbar.window_virtual_size = total
        if self.scroll_y != self._top:
            self.set_reactive(RowView.scroll_y, float(self._top))
            self.set_reactive(RowView.scroll_target_y, float(self._top))
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.position = self._top

    # Following and scrolling.

    @property
    def allow_vertical_scroll(self) -> bool:
        """Whether there is more than fits; Textual's own answer is whether a scrollbar is shown."""
        return not self.disabled and self.transcript.total > self._area.height

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow or not, as the reader has moved: the frame sets the place without passing here."""
        super().watch_scroll_y(old_value, new_value)
        self._top = round(new_value)
        self.transcript.ensure_rows(self._top, self._area.height)
        # The end first: a pane that grows is moved up by Textual, and that is not the reader's doing.
        if self._top >= self.max_scroll_y:
            self.following = True
        elif new_value < old_value:
            self.following = False

    def watch_following(self, following: bool) -> None:
        """Show the scrollbar while the reader is elsewhere."""
        self.set_class(not following, "-reading")
        if self.is_attached:
            self.post_message(self.FollowChanged(self, following))
            self.wake()
            if following:
                self.show_change()

    @property
    def top(self) -> int:
        """The row of the transcript at the top of the screen."""
        return self._top

    def show_row(self, y: int) -> None:
        """Bring a row into sight, a third down the screen, and stay there."""
        height = self._area.height
        if self._top <= y < self._top + height:
            return
        self.following = False
        self._top = max(0, y - height // 3)
        self.show_change()
        self.repaint()

    def action_scroll_end(self) -> None:
        """Go to the end, and follow."""
        self.following = True

    def on_resize(self) -> None:
        """Wrap for the new width what is on screen, keeping the reader's place; the rest when there is time."""
        self._measure()
        self.show_change()
        self.repaint()
        self.wake()

    def _measure(self) -> None:
        self._measured = True
        self._area = self.size
        width = max(1, self._area.width - 1 - self.margin * 2)
        transcript = self.transcript
        if width != transcript.width:
            index, offset = transcript.heights.locate(self._top)
            before = transcript.heights[index] if index < len(transcript.heights) else 1
            transcript.resize(width)
            if index < len(transcript.entries):
                transcript.ensure(index)
                after = transcript.heights[index]
                self._top = transcript.heights.start(index) + (offset * after // before if before else 0)
            if self.is_attached:
                self.screen.clear_selection()
            with self.keeping_place():
                self.laid_out_anew()

    def laid_out_anew(self) -> None:
        """Follow up on a change of width: places in rows are no longer valid."""

    @property
    def margin(self) -> int:
        """Empty cells left and right of the text."""
        return 1 if self._area.width >= 40 else 0

    # Painting.

    def notify_style_update(self) -> None:
        """Look colours up again: the theme or a class has changed."""
        super().notify_style_update()
        self._painter.forget()
        self._strips.clear()
        self._measured = False
        self.wake()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return strips straight from the cache, past Textual's own for borders and padding, half of a frame's cost."""
        if self.styles.gutter.totals != (0, 0):
            if self._area != self.size:  # a border that has come since: it sends no Resize
                self._measured = False
                self.wake()
            return super().render_lines(crop)
        self.colours.begin_paint()
        width = self._area.width
        strips = self._paint(crop.y, crop.height, width)
        if crop.x or crop.width != width:
            strips = [strip.crop_extend(crop.x, crop.right, None) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """Return one row with the places of its characters, which Textual asks for to select text with the mouse."""
        return self._paint(y, 1, self._area.width)[0].apply_offsets(0, self._top + y)

    def _paint(self, first: int, count: int, width: int) -> list[Strip]:
        """Return strips for rows of the screen. What is the same for all rows is looked up once: it is a DOM walk."""
        transcript = self.transcript
        heights = transcript.heights
        plain = not self.marked
        cache = self._strips
        strips: list[Strip] = []
        index, offset = heights.locate(self._top + first)
        height = heights[index] if index < len(heights) else 0
        for y in range(first, first + count):
            while offset >= height and index < len(heights):
                index += 1
                offset = 0
                height = heights[index] if index < len(heights) else 0
            key = (index, offset, transcript.revision(index))
            strip = cache.get(key) if plain else None
            if strip is None or strip.cell_length != width:
                strip = self._make_strip(index, offset, y, width, plain=plain)
                if plain and transcript.is_final(index, offset):
                    if len(cache) >= _CACHED_STRIPS:
                        cache.clear()
                    cache[key] = strip
            strips.append(strip)
            offset += 1
        self._mark_position(strips, first, width)
        return strips

    def _make_strip(self, index: int, offset: int, y: int, width: int, *, plain: bool) -> Strip:
        transcript = self.transcript
        row = transcript.row(index, offset)
        if row is None:
            return self._painter.blank(width)
        ranges: Sequence[Range] = ()
        if not plain:
            ranges = [*self.marks(index, offset), *self._selected(self._top + y, len(row.text))]
        fill_width = transcript.width_of(index)
        return self._painter.strip(row, width, margin=self.margin, fill_width=fill_width, ranges=ranges)

    def _mark_position(self, strips: list[Strip], first: int, width: int) -> None:
        """Mark the place in the last column while following: a ScrollBar repaints itself in every frame."""
        total = self.transcript.total
        height = self._area.height
        if not self.following or total <= height:
            return
        length = max(1, height * height // total)
        start = (height - length) * self._top // (total - height)
        for y in range(max(first, start), min(first + len(strips), start + length)):
            strip = strips[y - first]
            strips[y - first] = Strip([*strip.crop(0, width - 1), self._painter.mark()], width)

    def _selected(self, y: int, size: int) -> list[Range]:
        selection = self.text_selection
        span = selection.get_span(y) if selection is not None else None
        if span is None:
            return []
        start, end = span
        margin = self.margin
        return [(max(0, start - margin), size if end < 0 else max(0, end - margin), "selection")]
