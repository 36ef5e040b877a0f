"""Selecting in a transcript: from places on the screen to the text as it was written."""

from __future__ import annotations

from textual.geometry import Offset
from textual.selection import Selection

from chatapp.text.cells import width_of
from chatapp.text.rows import Row
from chatapp.ui.widgets.transcript import Transcript


def text_of(transcript: Transcript, selection: Selection, margin: int) -> str:
    """Return the text under a selection: wrapped rows joined, bullets and bars left out where a row is cut.

    Args:
        transcript: what is shown.
        selection: by Textual, in rows of the transcript and characters of the row with its margin.
        margin: empty cells to the left of all rows.
    """
    first = selection.start.y if selection.start is not None else 0
    last = selection.end.y if selection.end is not None else transcript.total - 1
    parts: list[str] = []
    for y, row in transcript.rows(max(0, first), last):
        span = selection.get_span(y)
        if span is None:
            continue
        start, end = span
        text = row.text
        begin = max(start - margin, row.decoration)
        piece = text[begin:] if end < 0 else text[begin : max(begin, end - margin)]
        if parts:
            parts.append(row.joint)
        parts.append(piece)
    return "".join(parts)


def _row_at(transcript: Transcript, y: int) -> Row | None:
    return transcript.row(*transcript.heights.locate(y))


def _character_at(text: str, cell: int) -> int:
    """Return the index of the character that covers a cell, the length behind the end."""
    if text.isascii():
        return min(max(0, cell), len(text))
    used = 0
    for index, character in enumerate(text):
        used += width_of(character)
        if used > cell:
            return index
    return len(text)


def link_at(transcript: Transcript, cell: int, y: int) -> str:
    """Return the address of the link at a place, or an empty string."""
    row = _row_at(transcript, y)
    if row is None or cell < 0 or not any(span.href for span in row.spans):
        return ""
    for span in row.spans:
        cells = width_of(span.text)
        if cell < cells:
            return span.href
        cell -= cells
    return ""


def around(transcript: Transcript, cell: int, y: int, *, whole_row: bool) -> tuple[int, int] | None:
    """Return the characters of the word or the row at a place, None where there is nothing."""
    row = _row_at(transcript, y)
    if row is None:
        return None
    text = row.text
    if whole_row:
        return row.decoration, len(text.rstrip())
    at = _character_at(text, cell)
    if at >= len(text) or not _in_word(text[at]):
        return None
    start = end = at
    while start > row.decoration and _in_word(text[start - 1]):
        start -= 1
    while end < len(text) and _in_word(text[end]):
        end += 1
    return start, end


def selection(characters: tuple[int, int], y: int, margin: int) -> Selection:
    """Return Textual's selection for characters of a row."""
    start, end = characters
    return Selection(Offset(start + margin, y), Offset(end + margin, y))


def _in_word(character: str) -> bool:
    return character.isalnum() or character in "_-'’"
