"""Where a command's files go: a path, or `-` for standard output."""

from __future__ import annotations

import os
from pathlib import Path

import click

from chatapp.errors import ChatappError, UsageError


def check_output(target: str | None) -> None:
    """Refuse, before anything is measured, a file that could not be written afterwards.

    Raises:
        UsageError: its folder is missing, or it may not be written.
    """
    if target is None or target == "-":
        return
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"{target}: is a folder", hint="name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{target}: the folder {str(path.parent)!r} does not exist", hint="create it, or name another")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{target}: may not be written", hint="name another file")


def write_output(target: str, text: str) -> None:
    """Write text to a file, or to standard output.

    Raises:
        ChatappError: it cannot be written.
    """
    if target == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ChatappError(f"{target}: cannot be written: {exc.strerror or exc}", hint="is the disk full?") from None
