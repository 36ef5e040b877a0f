"""`@path` in a prompt puts a text file in, after its size has been said."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from chatapp.client import wording
from chatapp.errors import UsageError

LIMIT_BYTES = 2_000_000
"""The largest file taken in: half a million tokens, beyond most context windows."""

CHARACTERS_PER_TOKEN = 4
"""Of English text and code in common vocabularies; the number shown is marked as an estimate."""

_FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?(?:^\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_MENTION = re.compile(r"(?<!\S)@(\"[^\"]+\"|[^\s\"]+)")


@dataclass(frozen=True, slots=True)
class Included:
    """One file that a prompt takes in."""

    path: Path
    size: int
    """Bytes."""
    tokens: int
    """Estimated."""

    @property
    def summary(self) -> str:
        """Name, size and tokens, for the screen."""
        return f"@{self.path.name} {wording.size(self.size)}, ~{self.tokens:,} tokens"


def include_files(prompt: str, base: Path | None = None) -> tuple[str, list[Included]]:
    """Return the prompt with the files it mentions appended as fenced blocks, and what was put in.

    A mention that names no existing file stays as it is: `@someone` is a name, unless it looks like a path. What stands
    in a fenced block is code. A prompt that is edited has its files in it already: they are not put in twice.

    Raises:
        UsageError: a file is binary, too large, unreadable, or a path that does not exist.
    """
    base = base or Path.cwd()
    blocks: list[str] = []
    files: list[Included] = []
    for mention in _MENTION.findall(_FENCED.sub("", prompt)):
        name = mention.strip('"').rstrip(".,;:!?)")
        path = base / Path(name).expanduser()
        if not path.exists():
            if os.sep in name:
                raise UsageError(f"@{name}: no such file", hint="the prompt is kept; @path takes in a text file")
            continue
        text = _read(path, name)
        if any(file.path == path for file in files):
            continue
        fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
        block = f"{name}:\n{fence}{path.suffix.lstrip('.')}\n{text.rstrip()}\n{fence}"
        if block in prompt:
            continue
        files.append(Included(path, len(text.encode()), max(len(text) // CHARACTERS_PER_TOKEN, 1)))
        blocks.append(block)
    return "\n\n".join((prompt, *blocks)), files


def _read(path: Path, name: str) -> str:
    if path.is_dir():
        raise UsageError(f"@{name} is a folder", hint="name one text file")
    try:
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise UsageError(f"@{name} is too large: {wording.size(size)}", hint=f"at most {wording.size(LIMIT_BYTES)}")
        data = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"@{name} cannot be read: {exc.strerror or exc}") from None
    if b"\0" in data:
        raise UsageError(f"@{name} is a binary file", hint="only text files can be taken in")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise UsageError(
            f"@{name} is not UTF-8 text (byte {exc.start})", hint="only text files can be taken in"
        ) from None
