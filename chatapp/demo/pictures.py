"""Pictures of the screen that a script keeps beside it: the screen must still look like that.

A golden `.svg` is the picture itself, colours and all. A golden `.txt` holds what can be read in it, row by row: it
outlives a new version of Textual and another theme, and a change of it can be read in a diff.
"""

from __future__ import annotations

import html
import re
from itertools import zip_longest
from pathlib import Path

GOLDEN_KINDS = (".svg", ".txt")
"""How the name of a golden picture may end."""

_UNIQUE = re.compile(r"terminal-\d+")
"""Textual names the classes of each picture after a number of its own."""

_TEXT = re.compile(r'<text [^>]*?x="([\d.]+)"[^>]*?textLength="([\d.]+)"[^>]*?-line-(\d+)\)"[^>]*>(.*?)</text>')
"""One run of text on a row. The title above the screen has no row."""

_CELL = 12.2
"""Width of a cell in a picture: Rich's 20 pixels of height times 0.61."""


def picture_rows(picture: str) -> list[str]:
    """Return the text in a picture, row by row, each character in its column; empty rows at the end left out."""
    rows: dict[int, str] = {}
    ends: dict[int, float] = {}
    for x, length, line, text in _TEXT.findall(picture):
        number, begin = int(line), float(x)
        gap = " " * round((begin - ends.get(number, 0.0)) / _CELL)
        rows[number] = rows.get(number, "") + gap + html.unescape(text).replace("\xa0", " ")
        ends[number] = begin + float(length)
    return [rows.get(number, "").rstrip() for number in range(max(rows, default=-1) + 1)]


def compare_picture(picture: str, golden: Path, *, update: bool) -> str:
    """Return what is wrong with a picture, empty where it is as kept.

    Args:
        picture: the screen as SVG.
        golden: the picture that is kept.
        update: keep this one from now on.
    """
    rows = picture_rows(picture)
    is_text = golden.suffix == ".txt"
    found = "\n".join([*rows, ""]) if is_text else _UNIQUE.sub("terminal", picture)
    if update:
        try:
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(found, encoding="utf-8")
        except OSError as exc:
            return f"{golden}: the golden picture cannot be written: {exc.strerror or exc}"
        return ""
    try:
        kept = golden.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"{golden}: the golden picture is missing; make it: chatapp demo check NAME --update"
    except OSError as exc:
        return f"{golden}: the golden picture cannot be read: {exc.strerror or exc}"
    except UnicodeDecodeError:
        return f"{golden}: the golden picture is not text; make it anew with --update"
    if kept == found:
        return ""
    kept_rows = kept.splitlines() if is_text else picture_rows(kept)
    return f"the screen does not look like {golden}: {_first_difference(kept_rows, rows)}; {_keep_new(found, golden)}"


def _first_difference(kept: list[str], found: list[str]) -> str:
    for number, (old, new) in enumerate(zip_longest(kept, found, fillvalue=""), start=1):
        if old != new:
            column = next(
                (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
            )
            begin = max(0, column - 20)
            return f"row {number} reads {new[begin : begin + 60]!r}, not {old[begin : begin + 60]!r}"
    return "the words are the same, the colours are not"


def _keep_new(found: str, golden: Path) -> str:
    """Write the new picture beside the kept one, where that is possible, and say how to accept it."""
    new = golden.with_suffix(f".new{golden.suffix}")
    try:
        new.write_text(found, encoding="utf-8")
    except OSError:
        return "where that is right, --update keeps it"
    return f"all of it is in {new.name}; where that is right, --update keeps it"
