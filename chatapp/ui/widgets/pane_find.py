"""Search in a transcript: matches by place, found in the text as it is shown, across the ends of rows."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from chatapp.text.blocks import CodeBlock, TableBlock, TextBlock
from chatapp.ui.widgets.transcript import Entry, Transcript


class Match(NamedTuple):
    """A place where the text stands."""

    entry: int
    pieces: tuple[tuple[int, int, int], ...]
    """Row within the entry, first character, one past the last: one piece for each row it reaches over."""


class Search:
    """The matches of one text, and the one the reader is at.

    Args:
        transcript: where to search.
        text: what for; letters of either case match.
    """

    def __init__(self, transcript: Transcript, text: str) -> None:
        self.text = text
        self.current = -1
        self._needle = text.casefold()
        self._transcript = transcript
        self._by_entry: dict[int, list[int]] = {}
        self.matches: list[Match] = []
        self.refresh()

    def refresh(self) -> None:
        """Search again: the transcript has grown or was laid out anew."""
        self.matches = []
        self._by_entry = {}
        for index, entry in enumerate(self._transcript.entries):
            if self._needle.strip() and not entry.hidden and _may_hold(entry, self._needle):
                for match in _matches_in(self._transcript, index, self._needle):
                    self._by_entry.setdefault(index, []).append(len(self.matches))
                    self.matches.append(match)
        self.current = min(self.current, len(self.matches) - 1)

    def row_of(self, number: int) -> int:
        """Return the row of the transcript where a match begins."""
        match = self.matches[number]
        return self._transcript.heights.start(match.entry) + match.pieces[0][0]

    def go_to_row(self, row: int) -> None:
        """Make the first match at or below a row the current one, the last if there is none below."""
        rows = [self.row_of(number) for number in range(len(self.matches))]
        self.current = min(bisect_right(rows, row - 1), len(rows) - 1)

    def step(self, by: int) -> None:
        """Go on by some matches, round the end."""
        if self.matches:
            self.current = (self.current + by) % len(self.matches)

    def ranges(self, entry: int, offset: int) -> list[tuple[int, int, str]]:
        """Return what to mark in a row of an entry."""
        found: list[tuple[int, int, str]] = []
        for number in self._by_entry.get(entry, ()):
            style = "match-current" if number == self.current else "match"
            found += [(start, end, style) for row, start, end in self.matches[number].pieces if row == offset]
        return found


def _may_hold(entry: Entry, needle: str) -> bool:
    """Whether a block can hold a text: asked before its rows are made."""
    block = entry.block
    word = needle.split(maxsplit=1)[0] if needle.split() else needle
    if isinstance(block, TextBlock):
        block.inline.settle()
        return word in (block.inline.plain + block.inline.tail()[0]).casefold()
    if isinstance(block, CodeBlock):
        return word in block.source.expandtabs(4).casefold() or word in block.language.casefold()
    return isinstance(block, TableBlock)


def _matches_in(transcript: Transcript, index: int, needle: str) -> list[Match]:
    transcript.ensure(index)
    layout = transcript.entries[index].layout
    if layout is None:
        return []
    parts: list[str] = []
    places: list[tuple[int, int, int]] = []  # where the row's text begins in the whole, row, characters cut off
    size = 0
    for number in range(layout.height):
        row = layout.row(number)
        joint = row.joint if parts else ""
        content = _fold(row.text[row.decoration :])
        size += len(joint)
        places.append((size, number, row.decoration))
        parts.append(joint + content)
        size += len(content)
    whole = "".join(parts)
    found: list[Match] = []
    at = whole.find(needle)
    while at >= 0:
        end = at + len(needle)
        pieces: list[tuple[int, int, int]] = []
        for place, (start, number, cut) in enumerate(places):
            stop = places[place + 1][0] if place + 1 < len(places) else size
            if start < end and stop > at:
                pieces.append((number, max(at, start) - start + cut, min(end, stop) - start + cut))
        if pieces:
            found.append(Match(index, tuple(pieces)))
        at = whole.find(needle, end)
    return found


def _fold(text: str) -> str:
    """Return a text with case folded and its length kept, so that places in it stay valid."""
    folded = text.casefold()
    return folded if len(folded) == len(text) else "".join(c if len(f := c.casefold()) != 1 else f for c in text)
