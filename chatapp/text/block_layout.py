"""What every block's layout offers a screen, and what all of them have in common."""

from __future__ import annotations

from typing import Protocol

from chatapp.text.blocks import Block
from chatapp.text.cells import width_of
from chatapp.text.rows import Row, Span

_LEAST_TEXT = 8
"""Cells that decorations must leave for the text, however deep it is nested."""


class Layout(Protocol):
    """What a screen asks of a block."""

    width: int

    @property
    def height(self) -> int:
        """The number of rows."""

    @property
    def stable(self) -> int:
        """The number of rows that no later text of the block changes."""

    def is_final(self, index: int) -> bool:
        """Whether a row will always look as it does now."""

    def update(self) -> None:
        """Take in what was added to the block."""

    def row(self, index: int) -> Row:
        """Return a row, 0 <= index < height."""


class BlockLayout:
    """What all have in common: the empty row above, and the decoration to the left."""

    def __init__(self, block: Block, width: int) -> None:
        self.width = width
        self._block = block
        self._gap = 1 if block.gap is not None else 0
        room = max(0, width - _LEAST_TEXT)
        self._first, used_first = _fit_decoration(block.first, room)
        self._rest, used_rest = _fit_decoration(block.rest, room)
        self._room = max(1, width - max(used_first, used_rest))
        self._indent = max(used_first, used_rest)

    @property
    def stable(self) -> int:
        """The number of final rows."""
        raise NotImplementedError

    def is_final(self, index: int) -> bool:
        """Whether a row will always look as it does now."""
        return index < self.stable

    def _gap_row(self) -> Row:
        spans, _used = _fit_decoration(self._block.gap or (), self.width)
        return Row(spans, decoration=sum(len(span.text) for span in spans))

    def _decorate(self, spans: tuple[Span, ...], *, first: bool) -> tuple[tuple[Span, ...], int]:
        left = self._first if first else self._rest
        return left + spans, 0 if first else sum(len(span.text) for span in left)


def _fit_decoration(spans: tuple[Span, ...], room: int) -> tuple[tuple[Span, ...], int]:
    """Return the innermost decorations that fit, and the cells they take."""
    used = 0
    kept: list[Span] = []
    for span in reversed(spans):
        cells = width_of(span.text)
        if used + cells > room:
            break
        used += cells
        kept.append(span)
    return tuple(reversed(kept)), used
