"""Prompt files: perhaps front matter, which is YAML between `---` lines, then the text itself.

The front matter is for people and menus (`title`, `description`); only the text is ever sent to a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatapp.errors import FileFormatError

_FENCE = "---"


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A prompt file in its two parts."""

    text: str
    """What follows the front matter, with the file's own line ends as `\\n`."""
    head: dict[str, Any] = field(default_factory=dict)
    """The front matter; empty where the file has none."""
    has_head: bool = False
    """Whether there is front matter at all, be it empty."""
    line: int = 1
    """Where the text begins, from 1."""

    @property
    def description(self) -> str:
        """One line for a menu: the front matter's description or title, else how the text begins."""
        said = self.head.get("description") or self.head.get("title")
        return said if isinstance(said, str) else self.text[:400]


def read_prompt_file(path: Path) -> PromptFile:
    """Read a prompt file.

    Raises:
        FileFormatError: it cannot be read, is not UTF-8, or its front matter is not closed or is no YAML; with file and
            line.
    """
    text = read_text(path)
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != _FENCE:
        return PromptFile(text)
    end = next((i for i, line in enumerate(lines[1:], start=1) if line.strip() == _FENCE), None)
    if end is None:
        raise FileFormatError(path, "the front matter is not closed with a --- line", line=1)
    return PromptFile("".join(lines[end + 1 :]), _front_matter(path, "".join(lines[1:end])), True, end + 2)


def read_text(path: Path) -> str:
    r"""Return a file's text, its line ends as `\n`.

    Raises:
        FileFormatError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except OSError as exc:
        raise FileFormatError(path, f"cannot be read: {exc.strerror or exc}") from None
    except UnicodeDecodeError as exc:
        raise FileFormatError(path, f"not UTF-8 text (byte {exc.start})") from None


def _front_matter(path: Path, text: str) -> dict[str, Any]:
    import yaml  # only files with front matter pay for it

    try:
        head = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        line = mark.line + 2 if mark else None  # the mark counts from 0, and the first line is ---
        raise FileFormatError(path, f"front matter is not YAML: {exc.problem or exc}", line=line) from None
    except yaml.YAMLError as exc:
        raise FileFormatError(path, f"front matter is not YAML: {exc}", line=1) from None
    if not isinstance(head, dict):
        raise FileFormatError(path, "front matter must be a list of `name: value` lines", line=2)
    return head
