"""Copying in a terminal: three ways, because each fails silently somewhere.

OSC 52 asks the terminal (tmux needs `set-clipboard on`; browsers' terminals ignore it), a clipboard program asks the
desktop, and a file always works. All are tried, and the reader is told what was copied and where it lies.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from textual.actions import SkipAction
from textual.app import App
from textual.screen import Screen

from chatapp.client import wording
from chatapp.config import state_folder

_PROGRAMS = (
    ("wl-copy",),
    ("xclip", "-selection", "clipboard"),
    ("xsel", "--clipboard", "--input"),
    ("pbcopy",),
    ("clip.exe",),
)
TIMEOUT_S = 1.0


def copy_text(app: App[Any], text: str, what: str) -> str:
    """Copy a text every way there is and return one line that says what happened."""
    app.copy_to_clipboard(text)
    said = f"Copied {what}: {wording.size(len(text.encode('utf-8', 'replace')))}"
    if any(_pipe(program, text) for program in _PROGRAMS):
        return said
    path = state_folder() / "copied.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError:
        return said
    return f"{said}; also in {path}"


def copy_selection(screen: Screen[Any]) -> None:
    """Copy what is selected by mouse on a screen, and say so.

    Raises:
        SkipAction: nothing is selected: the key may mean something else.
    """
    text = screen.get_selected_text()
    if not text:
        raise SkipAction
    screen.notify(copy_text(screen.app, text, "selection"), markup=False)


def _pipe(program: tuple[str, ...], text: str) -> bool:
    found = shutil.which(program[0])
    if found is None:
        return False
    try:
        done = subprocess.run(
            [found, *program[1:]],
            input=text.encode("utf-8", "replace"),
            check=False,
            timeout=TIMEOUT_S,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
