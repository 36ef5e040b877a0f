"""What a screen is given: rows of styled spans.

A style is a few names in one string ("h2 code", "link strong"); what they look like is the theme's business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple


class Span(NamedTuple):
    """A run of text in one style."""

    text: str
    style: str = ""
    href: str = ""
    """An http(s) address that a click may open, or empty."""


class Row(NamedTuple):
    """One line of the screen."""

    spans: tuple[Span, ...]
    fill: str = ""
    """The style of the cells right of the text."""
    joint: Literal["\n", " ", ""] = "\n"
    """What stood between this row and the one above in the source: a line's end, a space, or nothing."""
    decoration: int = 0
    """How many leading characters (bullets, bars, indents) are no part of the source."""

    @property
    def text(self) -> str:
        """The row as plain text."""
        return "".join(span.text for span in self.spans)


class Mark(NamedTuple):
    """A styled range of a plain text."""

    start: int
    end: int
    style: str
    href: str = ""


def cut_spans(text: str, marks: Sequence[Mark], start: int, end: int, base: str = "") -> tuple[Span, ...]:
    """Return text[start:end] as spans.

    Args:
        text: a plain text.
        marks: its styled ranges, sorted, without overlap.
        start: first character.
        end: one past the last character.
        base: the style of what is not marked, and the first part of the style of what is.
    """
    if not marks:
        return (Span(text[start:end], base),) if end > start else ()
    spans: list[Span] = []
    at = start
    index = max(0, bisect_right(marks, (start,)) - 1)  # the mark before may reach into the range
    while index < len(marks) and at < end:
        mark = marks[index]
        index += 1
        if mark.end <= at:
            continue
        if mark.start >= end:
            break
        if mark.start > at:
            spans.append(Span(text[at : mark.start], base))
            at = mark.start
        stop = min(mark.end, end)
        spans.append(Span(text[at:stop], f"{base} {mark.style}" if base else mark.style, mark.href))
        at = stop
    if at < end:
        spans.append(Span(text[at:end], base))
    return tuple(spans)
