"""Fitting text into columns of a terminal, where a character may take two."""

from __future__ import annotations

from rich.cells import cell_len, chop_cells, set_cell_size


def cut(text: str, width: int) -> str:
    """Return a text in at most `width` columns, an ellipsis at the end where something was left out."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def columns(text: str) -> int:
    """Return how many columns a text takes."""
    return cell_len(text)


def wrap(text: str, width: int, *, first: int | None = None) -> list[str]:
    """Return a text as lines of at most `width` columns, broken between words, in a word only where it is longer.

    Args:
        text: words; hyphens are no place to break, for names have them.
        width: columns, at least 2.
        first: columns of the first line where something stands beside it.
    """
    lines = [""]
    for word in text.split():
        room = first if first is not None and len(lines) == 1 else width
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= room:
            lines[-1] = joined
        else:
            parts = chop_cells(word, width)
            lines = [*lines, *parts] if lines[-1] else [*lines[:-1], *parts]
    return lines
