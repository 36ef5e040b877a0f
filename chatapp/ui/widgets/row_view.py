"""A column of rows on Textual's line API: painting, following and scrolling, for any transcript.

Rows, not widgets: a finished row is laid out once and painted from a cached strip, so a frame costs the screen's area,
not the conversation's length.

To follow the end is a state. Only the reader changes it: upward by wheel, key or scrollbar releases it, the bottom or a
new prompt takes it up again. What is above the reader's place never moves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from chatapp.ui.frame import FrameTimer
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
        self.transcript = Transcript()
        self._painter = RowPainter(self)
        self._strips: dict[tuple[int, int, int], Strip] = {}
        self._top = 0
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
        if self.is_attached:
            FrameTimer.of(self.app).wake()

    def repaint(self) -> None:
        """Paint all anew, nothing from the cache."""
        self._strips.clear()
        self.refresh(self.size.region)

    # The frame.

    def on_mount(self) -> None:
        """Take part in the frame."""
        FrameTimer.of(self.app).add(self)
        FrameTimer.of(self.app).wake()

    def on_unmount(self) -> None:
        """Leave the frame."""
        FrameTimer.of(self.app).discard(self)

    def on_frame(self) -> bool:
        """Take in what waits and ask for a repaint of what changed."""
        if not self.take_in():
            if self.transcript.settled:
                return False
            keep, _offset = self.transcript.heights.locate(self._top)
            self._top += self.transcript.settle(keep)
        self.show_change()
        return True

    def show_change(self) -> None:
        """Bring scroll position and screen up to date with the transcript."""
        transcript = self.transcript
        height = self.size.height
        if not height:
            return
        old_top = self._top
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
        changed = transcript.take_change()
        if changed is not None:
            if self._top != old_top:
                self.refresh(self.size.region)
            elif changed < self._top + height:
                first = max(0, changed - self._top)
                self.refresh(Region(0, first, self.size.width, height - first))
        elif self._top != old_top:
            self.refresh(self.size.region)

    def _publish(self, height: int) -> None:
        """Let Textual know size and place, without the layout that assigning them would cause.

        A layout repaints every widget of the screen; in the frame loop it was most of the cost.
        """
        total = max(self.transcript.total, self._top + height)
        size = Size(self.size.width, total)
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
        return not self.disabled and self.transcript.total > self.size.height

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow or not, as the reader has moved: the frame sets the place without passing here."""
        super().watch_scroll_y(old_value, new_value)
        self._top = round(new_value)
        self.transcript.ensure_rows(self._top, self.size.height)
        # The end first: a pane that grows is moved up by Textual, and that is not the reader's doing.
        if self._top >= self.transcript.total - self.size.height:
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
        height = self.size.height
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
        width = max(1, self._outer_width() - 1 - self.margin * 2)
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
            self.laid_out_anew()
        self.show_change()
        self.repaint()
        self.wake()

    def laid_out_anew(self) -> None:
        """Follow up on a change of width: places in rows are no longer valid."""

    def _outer_width(self) -> int:
        return self.size.width + (self.scrollbar_size_vertical if self.show_vertical_scrollbar else 0)

    @property
    def margin(self) -> int:
        """Empty cells left and right of the text."""
        return 1 if self._outer_width() >= 40 else 0

    # Painting.

    def notify_style_update(self) -> None:
        """Look colours up again: the theme or a class has changed."""
        super().notify_style_update()
        self._painter.forget()
        self._strips.clear()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return strips straight from the cache, past Textual's own for borders and padding, half of a frame's cost."""
        if self.styles.gutter.totals != (0, 0):
            return super().render_lines(crop)
        strips = [self._strip(y) for y in range(crop.y, crop.bottom)]
        filters = self.app.get_line_filters()
        if filters:
            background = self.background_colors[1]
            for line_filter in filters:
                strips = [strip.apply_filter(line_filter, background) for strip in strips]
        if crop.x or crop.width != self.size.width:
            strips = [strip.crop_extend(crop.x, crop.right, None) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """Return one row with the places of its characters, which Textual asks for to select text with the mouse."""
        return self._strip(y).apply_offsets(0, self._top + y)

    def _strip(self, y: int) -> Strip:
        transcript = self.transcript
        width = self.size.width
        index, offset = transcript.heights.locate(self._top + y)
        plain = not self.marked
        key = (index, offset, transcript.revision(index))
        strip = self._strips.get(key) if plain else None
        if strip is None or strip.cell_length != width:
            row = transcript.row(index, offset)
            if row is None:
                return self._with_position(self._painter.blank(width), y)
            ranges: Sequence[Range] = ()
            if not plain:
                ranges = [*self.marks(index, offset), *self._selected(self._top + y, len(row.text))]
            strip = self._painter.strip(
                row, width, margin=self.margin, fill_width=transcript.width_of(index), ranges=ranges
            )
            if plain and transcript.is_final(index, offset):
                if len(self._strips) >= _CACHED_STRIPS:
                    self._strips.clear()
                self._strips[key] = strip
        return self._with_position(strip, y)

    def _with_position(self, strip: Strip, y: int) -> Strip:
        """Mark the place in the last column while following: a ScrollBar repaints itself in every frame."""
        total = self.transcript.total
        height = self.size.height
        if not self.following or total <= height:
            return strip
        length = max(1, height * height // total)
        if y < (height - length) * self._top // max(1, total - height):
            return strip
        mark = self._painter.mark()
        return Strip([*strip.crop(0, self.size.width - 1), mark], self.size.width)

    def _selected(self, y: int, size: int) -> list[Range]:
        selection = self.text_selection
        span = selection.get_span(y) if selection is not None else None
        if span is None:
            return []
        start, end = span
        margin = self.margin
        return [(max(0, start - margin), size if end < 0 else max(0, end - margin), "selection")]
