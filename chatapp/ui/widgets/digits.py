"""Figures three rows high, for the one number a room should be able to read.

Each glyph is five pixels tall, drawn with half blocks in three rows and three columns, so that five digits and a
thousands separator fit into the 22 columns that a 24-column panel leaves.
"""

from __future__ import annotations

HEIGHT = 3

_GLYPHS: dict[str, tuple[str, str, str]] = {
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": ("▀█ ", " █ ", "▀▀▀"),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
    ",": (" ", " ", "▞"),
    ".": (" ", " ", "▘"),
    "-": ("   ", "▀▀▀", "   "),
    "~": ("   ", "▞▚▞", "   "),
    "k": ("█ ▄", "█▀▄", "▀ ▀"),
    "M": ("█▄█", "█ █", "▀ ▀"),
    " ": (" ", " ", " "),
}


def big(text: str) -> tuple[str, str, str]:
    """Return the three rows of a figure; characters without a glyph are left out."""
    glyphs = [_GLYPHS[character] for character in text if character in _GLYPHS]
    return tuple(" ".join(glyph[row] for glyph in glyphs) for row in range(HEIGHT))  # type: ignore[return-value]


def speed_text(tokens_per_s: float | None) -> str:
    """Return a speed as its big figure: three significant digits or whole tokens, never more than 21 columns wide."""
    if tokens_per_s is None:
        return "-"
    if tokens_per_s < 99.95:
        return f"{tokens_per_s:.1f}"
    if tokens_per_s < 99_999.5:
        return f"{tokens_per_s:,.0f}"
    if tokens_per_s < 999_500:
        return f"{tokens_per_s / 1e3:.0f}k"
    return f"{tokens_per_s / 1e6:.1f}M"
