"""The four prompts that an empty chat offers, taken from the front matter of `prompts/library/*.md`."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from chatapp.config import prompt_files
from chatapp.errors import ConfigError
from chatapp.text.sanitize import sanitize_line

RACE = 4
"""The starter that asks two systems at once."""

RACE_BACKENDS = ("sim:cs3/kimi-k2.6", "sim:h100x16/kimi-k2.6")

_HEAD_BYTES = 4096
"""Front matter ends well before; the text after it is not read."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Starter:
    """One numbered suggestion."""

    number: int
    kind: str
    """One word: conversation, code, science, race."""
    title: str
    prompt: str


_FALLBACK = (
    Starter(1, "conversation", "Why the sky turns red at dusk", "Why does the sky turn red in the evening?"),
    Starter(2, "code", "A rate limiter in Python", "Write a token bucket rate limiter in Python, with tests."),
    Starter(3, "science", "Heat in a rod, step by step", "Simulate heat flow in a metal rod and explain each step."),
    Starter(RACE, "race", "CS-3 against 16 H100", "How does a processor run a large language model?"),
)


def load_starters() -> tuple[Starter, ...]:
    """Return the four starters; a library that cannot be read costs only its suggestions, never the chat."""
    found = {starter.number: starter for starter in _FALLBACK}
    try:
        files = prompt_files("library", "*.md")
    except ConfigError as exc:
        _LOG.warning("starters: %s", exc.message)
        return _FALLBACK
    for path in files:
        try:
            with path.open("rb", buffering=0) as file:
                head = file.read(_HEAD_BYTES)
            starter = _read(head.decode("utf-8", "replace")) if b"\nstarter:" in head else None
        except (OSError, TypeError, ValueError, AttributeError) as exc:
            _LOG.warning("starters: %s: %s", path, exc)
            continue
        if starter is not None:
            found[starter.number] = starter
    return tuple(found[number] for number in sorted(found) if 1 <= number <= RACE)


def _read(head: str) -> Starter | None:
    parts = head.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    import yaml  # 14 ms to import

    try:
        front = yaml.load(parts[1], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from None
    number = front.get("starter")
    prompts = front.get("prompts") or [front.get("title", "")]
    if not isinstance(number, int) or not prompts:
        return None
    kind = "race" if number == RACE else str(front.get("domain", "conversation"))
    title = "CS-3 against 16 H100, side by side" if number == RACE else str(front.get("title", prompts[0]))
    return Starter(number, sanitize_line(kind), sanitize_line(title), sanitize_line(str(prompts[0])))
