"""Pictures of the screen that a script keeps beside it: the screen must still look like that."""

from __future__ import annotations

import re
from pathlib import Path

_UNIQUE = re.compile(r"terminal-\d+")
"""Textual names the classes of each picture after a number of its own."""


def compare_picture(picture: str, golden: Path, *, update: bool) -> str:
    """Return what is wrong with a picture, empty where it is as kept.

    Args:
        picture: the screen as SVG.
        golden: the picture that is kept.
        update: keep this one from now on.
    """
    picture = _UNIQUE.sub("terminal", picture)
    if update:
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(picture, encoding="utf-8")
        return ""
    try:
        kept = golden.read_text(encoding="utf-8")
    except OSError as exc:
        return f"{golden}: the golden picture cannot be read: {exc.strerror or exc}; --update writes it"
    except UnicodeDecodeError:
        return f"{golden}: the golden picture is not text; --update writes it anew"
    if kept == picture:
        return ""
    found = golden.with_suffix(".new.svg")
    try:
        found.write_text(picture, encoding="utf-8")
    except OSError:
        return f"the screen does not look like {golden}"
    return f"the screen does not look like {golden}; it looks like {found}"
