"""TOML files that people edit: parsed by tomllib, with the line of every key for error messages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chatapp.errors import ConfigError, FileFormatError, SourceError

KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_ERROR_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")


class TomlFile:
    """A parsed TOML file that knows where its keys stand.

    Args:
        path: named in errors.
        text: the file's content.
        error: the class of errors to raise, so that settings and data files can be told apart.

    Raises:
        SourceError: the text is not TOML; with line and column.
    """

    def __init__(self, path: Path | str, text: str, *, error: type[SourceError] = FileFormatError) -> None:
        self.path = path
        self._error = error
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            found = _ERROR_POSITION.search(str(exc))
            message = _ERROR_POSITION.sub("", str(exc))
            line, column = (int(found[1]), int(found[2])) if found and found[1] else (text.count("\n") + 1, None)
            raise error(path, f"not valid TOML: {message}", line=line, column=column) from None
        self._lines = _key_lines(text)

    @classmethod
    def read(cls, path: Path, *, error: type[SourceError] = FileFormatError) -> TomlFile:
        """Read and parse a file.

        Raises:
            SourceError: it cannot be read, is not UTF-8, or is not TOML.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as exc:
            raise error(path, f"cannot be read: {exc.strerror or exc}") from None
        except UnicodeDecodeError as exc:
            raise error(path, f"not UTF-8 text (byte {exc.start})") from None
        return cls(path, text, error=error)

    def line(self, key: KeyPath) -> int | None:
        """Return the line of a key path (array-of-tables entries by index), or of its nearest known parent."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key[:-1]
        return None

    def fail(self, key: KeyPath, message: str, *, hint: str = "") -> SourceError:
        """Return the error to raise for a wrong value at `key`."""
        return self._error(self.path, f"{dotted(key)}: {message}" if key else message, line=self.line(key), hint=hint)


def read_config(path: Path) -> TomlFile:
    """Read a settings file; its errors are `ConfigError`s."""
    return TomlFile.read(path, error=ConfigError)


def dotted(key: KeyPath) -> str:
    """Return a key path as a person would write it: `backends[2].base_url`."""
    out = ""
    for part in key:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _parts(dotted_key: str) -> list[str]:
    return [p.strip("\"'") for p in _PART.findall(dotted_key)]


def _key_lines(text: str) -> dict[KeyPath, int]:
    """Map each key path to its line (from 1). Follows headers and assignments; multi-line strings are skipped."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if closing is not None:
            if closing in line:
                closing = None
            continue
        if header := _HEADER.match(line):
            table = _enter(_parts(header[2]), counts, array=header[1] == "[[")
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault((*table, *_parts(assignment[1])), number)
            value = line[assignment.end() :]
            closing = next((quotes for quotes in ('"""', "'''") if value.count(quotes) % 2), None)
    return lines


def _enter(parts: Sequence[str], counts: dict[KeyPath, int], *, array: bool) -> KeyPath:
    path: KeyPath = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if array and i == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
            return (*path, counts[path])
        if path in counts:
            path = (*path, counts[path])
    return path
