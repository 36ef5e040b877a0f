"""Sizes, speeds and times, as options write them."""

from __future__ import annotations

from chatapp.errors import UsageError


def parse_size(text: str) -> tuple[int, int]:
    """Return columns and rows.

    Raises:
        UsageError: it is not a size.
    """
    columns, _, rows = text.lower().partition("x")
    if not (columns.isdigit() and rows.isdigit() and 20 <= int(columns) <= 500 and 8 <= int(rows) <= 500):
        raise UsageError(f"not a size: {text!r}", hint="columns and rows, for example 80x24")
    return int(columns), int(rows)


def parse_speed(text: str) -> float | None:
    """Return a speed factor, None for `max`.

    Raises:
        UsageError: it is neither a positive number nor `max`.
    """
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0.01 <= factor <= 1000:
        raise UsageError(f"--speed takes a factor from 0.01 to 1000, or max, not {text!r}")
    return factor


def parse_seconds(text: str | None) -> float | None:
    """Return seconds from a number with or without a unit, None for nothing.

    Raises:
        UsageError: it is no time, or none that passes.
    """
    if text is None:
        return None
    factor = {"s": 1, "m": 60}.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"not a time: {text!r}", hint="seconds or minutes, for example 120, 120s or 2m")
    return seconds
