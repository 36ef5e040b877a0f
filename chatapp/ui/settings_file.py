"""Writing config.toml without losing what a person wrote in it: comments, order, tables and unknown keys stay."""

from __future__ import annotations

import json
import os
import re
from dataclasses import Field
from pathlib import Path
from typing import Any

from chatapp.config import load_settings
from chatapp.errors import ChatappError, UsageError

_ASSIGNMENT = re.compile(r"^(\s*)([A-Za-z0-9_-]+)(\s*=\s*)(.*)$")


def parse_value(setting: Field[Any], text: str) -> Any:
    """Return a setting's value from what was typed.

    Raises:
        UsageError: not a value of the setting's type or outside its bounds.
    """
    if isinstance(setting.default, str):
        return text.strip()
    whole = isinstance(setting.default, int)
    try:
        value = int(text.strip()) if whole else float(text.strip())
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"{setting.name} must be {kind}, not {text!r}") from None
    bounds = setting.metadata["bounds"]
    if bounds and not bounds[0] <= value <= bounds[1]:
        raise UsageError(f"{setting.name} must lie between {bounds[0]:g} and {bounds[1]:g}")
    return value


def write_settings(path: Path, changed: dict[str, Any]) -> None:
    """Set top-level values in config.toml, and check that the result can be read.

    Raises:
        ChatappError: the file cannot be written, or would be broken; then it is left as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(edit(text, changed), encoding="utf-8")
        try:
            load_settings(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise ChatappError(f"{path}: cannot be written: {exc.strerror or exc}") from None


def edit(text: str, changed: dict[str, Any]) -> str:
    """Return TOML text with top-level values replaced where they stand, and new ones put before the first table."""
    left = dict(changed)
    lines = text.splitlines()
    out: list[str] = []
    first_table = next((i for i, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    for number, line in enumerate(lines):
        if number == first_table:
            out += [f"{name} = {_toml(value)}" for name, value in left.items()]
            left = {}
        found = _ASSIGNMENT.match(line) if number < first_table else None
        if found and found[2] in left:
            comment = _comment(found[4])
            out.append(f"{found[1]}{found[2]}{found[3]}{_toml(left.pop(found[2]))}{comment}")
        else:
            out.append(line)
    out += [f"{name} = {_toml(value)}" for name, value in left.items()]
    return "\n".join(out) + "\n"


def _comment(rest: str) -> str:
    outside = re.sub(r'"(?:\\.|[^"\\])*"|\'[^\']*\'', lambda m: "x" * len(m[0]), rest)
    at = outside.find("#")
    return "  " + rest[at:].strip() if at >= 0 else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
