"""All blocks of a conversation as one column of rows, of which only those that are looked at are made.

Heights are exact for what has been laid out and estimated for the rest; `settle` makes them exact in idle moments.
Nothing here knows the screen: a pane asks for rows, and is told where a change began.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from chatapp.text.block_layout import Layout
from chatapp.text.blocks import Block, TableBlock
from chatapp.text.highlight import Colours
from chatapp.text.layout import estimate, layout_of
from chatapp.text.markdown import MarkdownStream
from chatapp.text.rows import Row
from chatapp.ui.widgets.pane_heights import Heights

MEASURE = 100
"""The longest row of text in cells, however wide the pane: longer ones are hard to read on from."""
_NO_CHANGE = 1 << 60


class Entry:
    """One block of the transcript."""

    __slots__ = ("block", "exact", "hidden", "layout", "revision")

    def __init__(self, block: Block, *, hidden: bool) -> None:
        self.block = block
        self.hidden = hidden
        self.layout: Layout | None = None
        self.exact = False
        self.revision = 0
        """Counts how often it was laid out anew: rows of an older one are stale."""


class Section:
    """The blocks of one Markdown text, as they come.

    Args:
        base: the style of its paragraphs.
        hidden: whether its blocks take no rows for now.
    """

    def __init__(self, base: str = "", *, hidden: bool = False) -> None:
        self.stream = MarkdownStream(base)
        self.hidden = hidden
        self.first = -1
        """The index of its first entry, -1 before there is one."""
        self.synced = 0


class Transcript:
    """A column of rows at a width.

    Args:
        width: in cells.
        colours: where code gets its colours from.
    """

    def __init__(self, width: int = 80, colours: Colours | None = None) -> None:
        self.width = max(1, width)
        self._colours = colours or Colours()
        self.entries: list[Entry] = []
        self.heights = Heights()
        self.changed_from = _NO_CHANGE
        """The first row that may differ since `take_change`."""
        self._unsettled = 0
        self._settle_at = -1

    @property
    def total(self) -> int:
        """The number of rows, as far as is known."""
        return self.heights.total

    @property
    def settled(self) -> bool:
        """Whether all heights are exact."""
        return self._unsettled == 0

    def take_change(self) -> int | None:
        """Return the first row that may have changed since the last call, None if none has."""
        changed = self.changed_from
        self.changed_from = _NO_CHANGE
        return None if changed == _NO_CHANGE else changed

    def add(self, block: Block, *, hidden: bool = False) -> int:
        """Add a block at the end; return its index."""
        self.changed_from = min(self.changed_from, self.total)
        entry = Entry(block, hidden=hidden)
        self.entries.append(entry)
        self.heights.append(0 if hidden else estimate(block, self._width_for(block)))
        self._unsettled += 1
        self._settle_at = len(self.entries) - 1
        return len(self.entries) - 1

    def replace(self, index: int, block: Block) -> None:
        """Put another block in the place of one."""
        entry = self.entries[index]
        entry.block = block
        self._forget(entry)
        self.changed_from = min(self.changed_from, self.heights.start(index))
        self.ensure(index)

    def sync(self, section: Section) -> None:
        """Take over what a section's stream has read since the last call."""
        blocks = section.stream.blocks
        if not blocks:
            return
        if section.first < 0:
            section.first = len(self.entries)
        if section.synced:
            index = section.first + section.synced - 1
            entry = self.entries[index]
            if entry.block is not blocks[section.synced - 1]:
                self.replace(index, blocks[section.synced - 1])
            self._grow(index)
        for block in blocks[section.synced :]:
            self.add(block, hidden=section.hidden)
        section.synced = len(blocks)

    def _grow(self, index: int) -> None:
        entry = self.entries[index]
        if entry.hidden:
            return
        layout = entry.layout
        if layout is None:
            self.heights.set(index, estimate(entry.block, self._width_for(entry.block)))
            self.changed_from = min(self.changed_from, self.heights.start(index))
            return
        stable = layout.stable
        layout.update()
        self.heights.set(index, layout.height)
        self.changed_from = min(self.changed_from, self.heights.start(index) + min(stable, layout.stable))

    def ensure(self, index: int) -> None:
        """Make an entry's height exact."""
        entry = self.entries[index]
        if entry.exact:
            return
        entry.exact = True
        self._unsettled -= 1
        if entry.hidden:
            self.heights.set(index, 0)
            return
        entry.layout = layout_of(entry.block, self._width_for(entry.block), self._colours)
        self.heights.set(index, entry.layout.height)

    def ensure_rows(self, top: int, count: int) -> None:
        """Make the entries exact that are seen in `count` rows from `top`; what is above `top` stays as it is."""
        index, offset = self.heights.locate(top)
        end = count + offset
        while index < len(self.entries) and end > 0:
            self.ensure(index)
            end -= self.heights[index]
            index += 1

    def ensure_end(self, count: int) -> None:
        """Make the last entries exact, as many as `count` rows need."""
        index = len(self.entries)
        while index and count > 0:
            index -= 1
            self.ensure(index)
            count -= self.heights[index]

    def settle(self, budget_s: float = 0.003) -> None:
        """Make more heights exact, the last first, for a little while.

        Args:
            budget_s: how long it may take, in seconds.
        """
        until = time.perf_counter() + budget_s
        while self._unsettled:
            if self._settle_at < 0:
                self._settle_at = len(self.entries) - 1
            self.ensure(self._settle_at)
            self._settle_at -= 1
            if time.perf_counter() > until:
                break

    def resize(self, width: int) -> None:
        """Change the width: nothing is laid out again before it is looked at."""
        self.width = max(1, width)
        heights = Heights()
        for entry in self.entries:
            self._forget(entry)
            heights.append(0 if entry.hidden else estimate(entry.block, self._width_for(entry.block)))
        self.heights = heights
        self._settle_at = len(self.entries) - 1
        self.changed_from = 0

    def hide(self, first: int, count: int, *, hidden: bool) -> None:
        """Fold or unfold entries."""
        for index in range(first, first + count):
            entry = self.entries[index]
            entry.hidden = hidden
            self._forget(entry)
            self.ensure(index)
        self.changed_from = min(self.changed_from, self.heights.start(first))

    def revision(self, index: int) -> int:
        """Return the revision of an entry's layout, -1 behind the end."""
        return self.entries[index].revision if index < len(self.entries) else -1

    def row(self, index: int, offset: int) -> Row | None:
        """Return a row of an entry, None where there is none."""
        if index >= len(self.entries):
            return None
        self.ensure(index)
        layout = self.entries[index].layout
        return layout.row(offset) if layout is not None and offset < layout.height else None

    def width_of(self, index: int) -> int:
        """Return the width an entry is laid out in."""
        return self._width_for(self.entries[index].block)

    def is_final(self, index: int, offset: int) -> bool:
        """Whether a row of an entry will always look as it does now."""
        layout = self.entries[index].layout if index < len(self.entries) else None
        return layout is not None and layout.is_final(offset)

    def rows(self, first: int, last: int) -> Iterator[tuple[int, Row]]:
        """Yield the rows from `first` to `last`, both included, with their numbers."""
        for y in range(first, last + 1):
            row = self.row(*self.heights.locate(y))
            if row is None:
                return
            yield y, row

    def _width_for(self, block: Block) -> int:
        return self.width if isinstance(block, TableBlock) else min(self.width, MEASURE)

    def _forget(self, entry: Entry) -> None:
        entry.layout = None
        entry.revision += 1
        if entry.exact:
            entry.exact = False
            self._unsettled += 1
