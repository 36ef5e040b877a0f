"""Asciicast: what a terminal showed and when, for the players and converters that people have.

Version 2 by default, since not every tool reads version 3 yet; ours become `m` markers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chatapp.text.sanitize import sanitize_line

_ALLOWED = re.compile(r"\x1b\[[0-9;:]*[A-HJKSTfm]")
"""Moving, erasing, scrolling, colours: all that a picture needs."""
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


_PALETTE = (
    "#000000:#cd3131:#0dbc79:#e5e510:#2472c8:#bc3fbc:#11a8cd:#e5e5e5:"
    "#666666:#f14c4c:#23d18b:#f5f543:#3b8eea:#d670d6:#29b8db:#ffffff"
)
"""The sixteen colours that a terminal names itself. A theme must state them; our screens use none of them."""

_BEGIN = "\x1b[?25l\x1b[2J"
"""An app on the full screen shows no cursor of the terminal's."""


@dataclass(frozen=True, slots=True)
class Output:
    """What was written to the terminal at a time, or a marker."""

    at_ns: int
    text: str
    marker: bool = False


def clean_output(text: str) -> str:
    """Return terminal output with only the sequences that a picture needs: no titles, links, modes, clipboards."""
    kept = _SEQUENCE.sub(lambda m: m[0] if _ALLOWED.fullmatch(m[0]) else "", text)
    kept = _CONTROLS.sub("", kept)
    return re.sub(r"\x1b(?!\[[0-9;:]*[A-HJKSTfm])", "", kept)


def cast_lines(
    outputs: Iterable[Output],
    *,
    columns: int,
    rows: int,
    title: str = "",
    version: int = 2,
    timestamp: int | None = None,
    colours: tuple[str, str] | None = None,
) -> Iterator[str]:
    """Yield the lines of an asciicast, each with its newline.

    Args:
        outputs: in order of time.
        columns: of the terminal.
        rows: of the terminal.
        title: shown by players.
        version: 2 (absolute times) or 3 (intervals).
        timestamp: when it was recorded, Unix time.
        colours: foreground and background as `#rrggbb`: what players paint around and beneath the cells.
    """
    header: dict[str, object] = {"version": version}
    theme = {"theme": {"fg": colours[0], "bg": colours[1], "palette": _PALETTE}} if colours else {}
    if version == 3:
        header["term"] = {"cols": columns, "rows": rows, **theme}
    else:
        header |= {"width": columns, "height": rows, **theme}
    if timestamp is not None:
        header["timestamp"] = timestamp
    if title:
        header["title"] = sanitize_line(title)
    yield json.dumps(header, ensure_ascii=False) + "\n"
    yield json.dumps([0.0, "o", _BEGIN]) + "\n"
    written_us = 0
    for output in outputs:
        at_us = max(written_us, output.at_ns // 1000)
        # Version 3 counts from the line before; whole microseconds sum without error.
        time_us = at_us - written_us if version == 3 else at_us
        written_us = at_us
        text = sanitize_line(output.text) if output.marker else clean_output(output.text)
        yield json.dumps([time_us / 1e6, "m" if output.marker else "o", text], ensure_ascii=False) + "\n"
