"""Where a command's files go: a path, or `-` for standard output."""

from __future__ import annotations

import contextlib
import os
import stat
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
    if os.path.isdir(target):  # unlike Path's, it takes impossible names
        raise UsageError(f"{target}: is a folder", hint="name a file")
    if not os.path.isdir(path.parent):
        raise UsageError(f"{target}: the folder {str(path.parent)!r} does not exist", hint="create it, or name another")
    _try_to_open(path)


def check_recording(target: str | None) -> None:
    """Refuse, before anything is asked, a recording that could not be written, or would overwrite something.

    Raises:
        UsageError: as `check_output`; or it is standard output, or a file that holds something.
    """
    if target == "-":
        raise UsageError("a recording goes to a file, not to standard output", hint="--record run.tokcast")
    check_output(target)
    if target is not None and Path(target).is_file() and Path(target).stat().st_size:
        raise UsageError(
            f"{target}: exists already; a recording is never overwritten",
            hint="choose another name, or remove the file",
        )


def check_distinct(**targets: str | None) -> None:
    """Refuse two outputs of a command that go to one place.

    Raises:
        UsageError: they do; names both options.
    """
    seen: dict[str, str] = {}
    for option, target in targets.items():
        if target is None or (target != "-" and Path(target).exists() and not Path(target).is_file()):
            continue  # a device may be named twice: /dev/null
        place = target if target == "-" else os.path.realpath(target)
        if place in seen:
            where = "standard output" if target == "-" else target
            raise UsageError(f"--{seen[place]} and --{option} both go to {where}", hint="name a file for one of them")
        seen[place] = option


def _try_to_open(path: Path) -> None:
    """Open a file as a write would, and leave no trace: only so do read-only disks and impossible names show."""
    try:
        is_new = not os.path.lexists(path)
        if is_new or stat.S_ISREG(path.stat().st_mode):
            with path.open("ab"):
                pass
        elif not os.access(path, os.W_OK):  # a pipe or a device: opening it may already do something
            raise PermissionError(13, "Permission denied")
        if is_new:
            path.unlink()
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise UsageError(f"{path}: cannot be written: {reason}", hint="name another file") from None


def write_output(target: str, text: str) -> None:
    """Write text to a file, or to standard output.

    Raises:
        ChatappError: it cannot be written; the text is then kept elsewhere, where that is possible.
    """
    if target == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as exc:
        kept = _keep_elsewhere(text, Path(target).suffix)
        hint = f"it is kept in {kept}" if kept else "is the disk full?"
        raise ChatappError(f"{target}: cannot be written: {exc.strerror or exc}", hint=hint) from None


def _keep_elsewhere(text: str, suffix: str) -> str:
    """Write a text whose file became unwritable while it was measured into the folder for temporary files."""
    import tempfile

    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile("w", prefix="chatapp-", suffix=suffix, encoding="utf-8", delete=False) as file:
            file.write(text)
        return file.name
    return ""
