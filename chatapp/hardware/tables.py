"""Tables and bars of plain text, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from chatapp.text.sanitize import sanitize_line

_EIGHTHS = " ▏▎▍▌▋▊▉"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return aligned lines: a head, a rule, the rows. Columns named in `right` are flush right."""
    cells = [[sanitize_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for row in cells:
        parts = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return [lines[0], "─" * max(len(line) for line in lines), *lines[1:]]


def bars(rows: Sequence[tuple[str, float, str]], *, width: int = 40) -> list[str]:
    """Return a bar chart: a name, a bar in proportion to the value, and a note behind it."""
    if not rows:
        return []
    longest = max(len(name) for name, _value, _note in rows)
    most = max(value for _name, value, _note in rows)
    return [f"{sanitize_line(name).ljust(longest)}  {bar(value / most, width)}  {note}" for name, value, note in rows]


def bar(share: float, width: int) -> str:
    """Return a bar to an eighth of a column, padded to `width`."""
    eighths = max(1, round(share * width * 8))
    full, rest = divmod(min(eighths, width * 8), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def si(value: float, unit: str) -> str:
    """Return a large quantity with a decimal prefix: `21 PB/s`."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"
