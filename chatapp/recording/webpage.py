"""A page that plays an animated picture: one file, no network, with pause, speed and chapters."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from importlib import resources

from chatapp.text.sanitize import sanitize_line


def to_page(svg: str, *, title: str, duration_s: float, chapters: Iterable[tuple[float, str]] = ()) -> str:
    """Return a self-contained page.

    Args:
        svg: the animated picture, whose animation begins at 0.
        title: of the page.
        duration_s: length of the animation, in seconds.
        chapters: begin in seconds, and title, of what the viewer can jump to.
    """
    # "<" could end the script element that holds the chapters.
    marks = json.dumps([(at_s, sanitize_line(label)) for at_s, label in chapters]).replace("<", "\\u003c")
    parts = {
        "title": html.escape(sanitize_line(title)),
        "duration": f"{duration_s:.3f}",
        "chapters": marks,
        "svg": svg,
    }
    page = resources.files("chatapp.recording").joinpath("webpage.html").read_text(encoding="utf-8")
    head, *rest = page.split("{{")
    # Cut, not replaced one after the other: what is put in may itself look like a place.
    filled = [parts[name] + text for name, text in (piece.split("}}", 1) for piece in rest)]
    return head + "".join(filled)
