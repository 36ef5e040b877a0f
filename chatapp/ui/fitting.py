"""Fitting text into columns of a terminal, where a character may take two."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size


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
