"""What a script needs before its first frame."""

from __future__ import annotations

from pathlib import Path

from chatapp.backends.registry import resolve
from chatapp.config import Settings
from chatapp.demo.script import Backend, Compare, Place, Play, Script
from chatapp.errors import ChatappError, FileFormatError


def check_requirements(script: Script, settings: Settings) -> None:
    """Check what the script requires, and every backend and recording that it names.

    Raises:
        FileFormatError: something is not there; with the line that asks for it.
    """
    wanted: list[tuple[str, str, Place]] = []
    for requirement, place in script.require:
        kind, _, name = requirement.partition(":")
        wanted.append((kind, str(script.path.parent / name) if kind == "file" else name, place))
    for step in script.steps:
        if isinstance(step, Backend):
            # A backend with a fallback may be missing: that is what the fallback is for.
            wanted.append(("backend", step.fallback or step.name, step.place))
        elif isinstance(step, Compare):
            wanted += [("backend", name, step.place) for name in step.backends]
        elif isinstance(step, Play):
            wanted.append(("file", str(step.cassette), step.place))
            if step.repace:
                wanted.append(("backend", step.repace, step.place))
    for kind, name, place in dict.fromkeys(wanted):
        problem = _missing_backend(script, name, settings) if kind == "backend" else _missing_file(Path(name))
        if problem is not None:
            message, hint = problem
            raise FileFormatError(script.path, message, line=place.line, column=place.column, hint=hint)


def _missing_backend(script: Script, name: str, settings: Settings) -> tuple[str, str] | None:
    scheme, _, rest = name.partition(":")
    if scheme == "recording":
        name = f"recording:{script.path.parent / rest}"
    try:
        resolve(name, settings)
    except ChatappError as exc:
        return exc.message, exc.hint
    return None


def _missing_file(path: Path) -> tuple[str, str] | None:
    return None if path.is_file() else (f"{path}: no such file", "")
