"""Widths in terminal cells, and greedy wrapping that can go on where it stopped.

Rows before the last never change when text is appended: that is what lets a paragraph grow at a constant cost.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, get_character_cell_size, split_graphemes

_ALL_SINGLE = re.compile(
    "[ -~\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0482\u2010-\u2027\u2030-\u205e\u2190-\u2211\u2500-\u25fc]*"
).fullmatch
"""Characters of one cell each, a superset of rich's list by what models write most: dashes, quotes, arrows."""

_NO_ROW_START = frozenset("、。，．・：；？！）］｝〉》」』】〕’”ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々…‥")
_NO_ROW_END = frozenset("（［｛〈《「『【〔‘“")
"""Kinsoku, the part of it that a reader of Chinese or Japanese notices when it is missing."""


def width_of(text: str) -> int:
    """Return the number of cells a text without control characters takes."""
    return len(text) if text.isascii() else cell_len(text)


def wrap(text: str, width: int, start: int = 0) -> list[tuple[int, int]]:
    r"""Return the rows of a text as character ranges, from `start`, which must be 0 or the start of a row.

    Lines end at "\n". A word longer than a row begins a row of its own and is cut where the row is full. Spaces at a
    cut belong to no row. When text is appended, only the last row can change.

    Args:
        text: plain text.
        width: cells in a row, at least 1.
        start: where to begin.
    """
    rows: list[tuple[int, int]] = []
    at = start
    size = len(text)
    while at < size:
        end = text.find("\n", at)
        if end < 0:
            end = size
        _wrap_line(text, at, end, width, rows)
        at = end + 1
    if not rows or (size and text[-1] == "\n"):
        rows.append((size, size))
    return rows


def _wrap_line(text: str, at: int, end: int, width: int, rows: list[tuple[int, int]]) -> None:
    if at == end:
        rows.append((at, at))
        return
    while True:
        # Two more than fit: a variation selector behind the row's last character can widen it.
        if text.isascii() or _ALL_SINGLE(text, at, min(end, at + width + 2)):
            if end - at <= width:
                rows.append((at, end))
                return
            stop = text.rfind(" ", at + 1, at + width + 1)
            if stop < 0 or text[at:stop].isspace():
                stop = at + width
        else:
            stop = _fit(text, at, end, width)
            if stop >= end:
                rows.append((at, end))
                return
        trimmed = stop
        while trimmed > at + 1 and text[trimmed - 1] == " ":
            trimmed -= 1
        rows.append((at, trimmed))
        at = stop
        while at < end and text[at] == " ":
            at += 1
        if at >= end:
            return


def _fit(text: str, at: int, end: int, width: int) -> int:
    """Return where the row that begins at `at` ends, for text of mixed widths."""
    look = width + 16
    while True:
        spans, cells = split_graphemes(text[at : min(end, at + look)])
        if cells > width + 2 or at + look >= end:
            break
        look *= 2  # combining characters: many of them in few cells
    if cells <= width and at + look >= end:
        return end
    used = 0
    fallback = 0
    opportunity = 0
    previous = ""
    wide_before = False
    for first, last, size in spans:
        piece = text[at + first : at + last]
        # By the first character, not by `size`: a variation selector still to come must not move an earlier break.
        wide = get_character_cell_size(piece[0]) == 2
        if first and (
            (piece == " " and not text[at : at + first].isspace())
            or (
                (wide or wide_before)
                and previous != " "
                and piece[0] not in _NO_ROW_START
                and previous[0] not in _NO_ROW_END
            )
            or (wide and previous == " ")
        ):
            opportunity = first
        used += size
        if used > width and first:
            if piece == " ":
                return at + first
            fallback = first
            break
        previous = piece
        wide_before = wide
    return at + (opportunity or fallback or spans[0][1])
