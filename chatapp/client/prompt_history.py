"""Earlier prompts and the draft of the next one, kept in the state folder."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from chatapp.config import state_folder

KEPT = 1000
"""Prompts remembered; older ones leave the file when it is next shortened."""

LINE_LIMIT = 20_000
"""Characters of a prompt kept in the history: a pasted book is not something to find again by the up key."""

_LOG = logging.getLogger(__name__)


class PromptHistory:
    """A file of prompts, one JSON string a line, and a file with the draft. A folder that cannot be written is ignored.

    Args:
        folder: where both files are; the state folder by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or state_folder()
        self.path = folder / "prompts.jsonl"
        self.draft_path = folder / "draft.txt"

    def load(self) -> list[str]:
        """Return the prompts, oldest first."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        prompts: list[str] = []
        for line in lines[-KEPT:]:
            with suppress(ValueError):
                prompt = json.loads(line)
                if isinstance(prompt, str) and (not prompts or prompts[-1] != prompt):
                    prompts.append(prompt)
        if len(lines) > 2 * KEPT:
            self._write(self.path, "".join(json.dumps(prompt) + "\n" for prompt in prompts))
        return prompts

    def add(self, prompt: str) -> None:
        """Remember a prompt, and forget the draft."""
        if len(prompt) <= LINE_LIMIT:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8", errors="replace") as file:
                    file.write(json.dumps(prompt) + "\n")
            except OSError as exc:
                _LOG.warning("prompt history: %s", exc)
        self.keep_draft("")

    def draft(self) -> str:
        """Return what was being written when chatapp last ended."""
        try:
            return self.draft_path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def keep_draft(self, text: str) -> None:
        """Keep what is being written."""
        if text:
            self._write(self.draft_path, text)
        else:
            with suppress(OSError):
                self.draft_path.unlink()

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_text(text, encoding="utf-8", errors="replace")
            temporary.replace(path)
        except OSError as exc:
            _LOG.warning("%s: %s", path.name, exc)
