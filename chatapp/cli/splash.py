"""The first thing a person sees: painted before the screen's libraries are imported, which takes three times as long.

It stands where the chat paints the same words on a small terminal. If the real screen never comes, the terminal is
given back as it was, for the error to be read.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType

HEADLINE = "Feel how fast an inference system is."

_ALTERNATE, _NORMAL = "\x1b[?1049h", "\x1b[?1049l"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_AMBER, _BOLD, _DIM, _PLAIN = "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Splash:
    """Paints on entering; on an exception leaves the terminal as it found it. Does nothing without a terminal."""

    def __init__(self) -> None:
        in_browser = bool(os.environ.get("TEXTUAL_DRIVER"))
        self._shown = (
            sys.platform != "win32" and sys.__stdout__ is not None and sys.__stdout__.isatty() and not in_browser
        )

    def __enter__(self) -> None:
        if self._shown:
            self._write(_ALTERNATE + _HIDE_CURSOR + picture(colour=not os.environ.get("NO_COLOR")))

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._shown and kind is not None:
            self._write(_NORMAL + _SHOW_CURSOR)

    def _write(self, text: str) -> None:
        assert sys.__stdout__ is not None
        sys.__stdout__.write(text)
        sys.__stdout__.flush()


def picture(*, colour: bool) -> str:
    """Return what is painted, as terminal output."""
    amber, bold, dim, plain = (_AMBER, _BOLD, _DIM, _PLAIN) if colour else ("", "", "", "")
    return f"\x1b[2J\x1b[1;2H{amber}▌{plain}{bold}chatapp{plain}   {dim}starting{plain}\x1b[3;3H{bold}{HEADLINE}{plain}"
