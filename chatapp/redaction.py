"""One list of what a secret is, used for logs, errors, recordings and evidence alike.

Two lists drift apart, and what one accepts the other leaks (facts behind this: aimock 1.38, vcrpy issue 961). Secrets
are found by value (every key this process has loaded) and by shape (what keys of known kinds look like).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("bearer", re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}")),
    ("jwt", re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")),
    ("key", re.compile(r"()\b(?:sk|csk|gsk|xai|nvapi|pk|rk|fw|tgp_v1|hf)[-_][A-Za-z0-9_-]{16,}")),
    ("google", re.compile(r"()\bAIza[A-Za-z0-9_-]{30,}")),
    ("aws", re.compile(r"()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("github", re.compile(r"()\bgh[pousr]_[A-Za-z0-9]{30,}")),
    ("userinfo", re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+(?=@)")),
    ("parameter", re.compile(r"(?i)([?&](?:api[_-]?key|key|token|access_token|secret)=)[^&#\s\"']{4,}")),
)


_HINT = re.compile(r"(?i)bearer\s|eyJ|AIza|A[KS]IA|[-_][a-z0-9]|://|=")
"""Every shape holds one of these, so one search tells that a token's text needs no closer look."""

SHORTEST_SHAPE = 8
"""Characters that a secret of a known shape has at least: a userinfo, "a://b:c@"."""


_HEAD = 4
"""Characters of an exact secret by which `Redactor.find_beginning` looks for it; fewer than any secret has."""


class Secret:
    """A value that does not show itself. Loading one registers it with the process-wide redactor."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value
        REDACTOR.add(name, value)

    def reveal(self) -> str:
        """Return the value itself; only for the place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, ***)"

    __str__ = __repr__


class Redactor:
    """Replaces secrets in text by `[REDACTED:name]` and counts them.

    Args:
        patterns: the user's own regular expressions, applied last.
    """

    def __init__(self, patterns: Iterable[re.Pattern[str]] = ()) -> None:
        self.hits = 0
        self._values: dict[str, str] = {}
        self._exact: re.Pattern[str] | None = None
        self._beginning: re.Pattern[str] | None = None
        self._patterns = tuple(patterns)

    def add(self, name: str, value: str) -> None:
        """Register an exact secret. Values under 6 characters are ignored: they would blank ordinary text."""
        if len(value) >= 6 and value not in self._values:
            self._values[value] = name
            longest_first = sorted(self._values, key=len, reverse=True)
            self._exact = re.compile("|".join(map(re.escape, longest_first)))
            self._beginning = None

    def with_patterns(self, patterns: Iterable[re.Pattern[str]]) -> Redactor:
        """Return a redactor with the same secrets, its own patterns and its own count."""
        other = Redactor((*self._patterns, *patterns))
        for value, name in self._values.items():
            other.add(name, value)
        return other

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if self._exact is not None:
            text, hits = self._exact.subn(lambda m: f"[REDACTED:{self._values[m[0]]}]", text)
            self.hits += hits
        for name, shape in _SHAPES:
            text, hits = shape.subn(rf"\1[REDACTED:{name}]", text)
            self.hits += hits
        for pattern in self._patterns:
            text, hits = pattern.subn("[REDACTED:pattern]", text)
            self.hits += hits
        return text

    @property
    def secrets(self) -> dict[str, str]:
        """The exact secrets known, value to name. Not to be changed, and not to be shown."""
        return self._values

    @property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """The user's own patterns."""
        return self._patterns

    def find_beginning(self) -> Callable[[str], re.Match[str] | None] | None:
        """Return a search that finds something in every text that holds an exact secret or may end inside one.

        It may find something in other texts too. It takes 0.1 us for a token's text, a tenth of what `unfinished` does.
        None while no secret is known.
        """
        if self._beginning is None and self._values:
            heads = {value[:_HEAD] for value in self._values}
            ends = {head[:length] for head in heads for length in range(1, _HEAD)}
            # Flat, so that `re` skips to the first letters of the branches; in a group it tries them at each place.
            branches = [re.escape(head) for head in sorted(heads)] + [rf"{re.escape(end)}\Z" for end in sorted(ends)]
            self._beginning = re.compile("|".join(branches))
        return None if self._beginning is None else self._beginning.search

    def may_hold_secret(self, text: str) -> bool:
        """Return False where `text()` is certain to return the text unchanged. 0.1 us for a token's text."""
        if self._exact is not None and self._exact.search(text):
            return True
        return bool(self._patterns) or (len(text) >= SHORTEST_SHAPE and _HINT.search(text) is not None)

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """Return where secrets stand, ascending and apart: start, end, and what replaces them.

        For text whose parts must keep their places; `text()` is the quicker way otherwise.
        """
        found: list[tuple[int, int, str]] = []
        if self._exact is not None:
            found += [(m.start(), m.end(), self._values[m[0]]) for m in self._exact.finditer(text)]
        for name, shape in _SHAPES:
            found += [(m.end(1), m.end(), name) for m in shape.finditer(text)]
        for pattern in self._patterns:
            found += [(m.start(), m.end(), "pattern") for m in pattern.finditer(text) if m[0]]
        merged: list[tuple[int, int, str]] = []
        for start, end, name in sorted(found, key=lambda span: (span[0], -span[1])):
            if merged and start < merged[-1][1]:
                before = merged[-1]
                merged[-1] = (before[0], max(before[1], end), before[2])
            else:
                merged.append((start, end, f"[REDACTED:{name}]"))
        self.hits += len(merged)
        return merged

    def unfinished(self, text: str) -> int:
        """Return how many characters at the end may begin an exact secret that the next text completes."""
        longest = 0
        for value in self._values:
            start = text.find(value[0], max(0, len(text) - len(value) + 1))
            while start >= 0:
                if value.startswith(text[start:]):
                    longest = max(longest, len(text) - start)
                    break
                start = text.find(value[0], start + 1)
        return longest

    def learn(self, text: str) -> None:
        """Register what looks like a secret in a text, so that it is also found where it comes back in pieces."""
        for name, shape in _SHAPES:
            for match in shape.finditer(text):
                self.add(name, match[0][len(match[1]) :])
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                self.add("pattern", match[0])

    def value(self, value: Any) -> Any:
        """Return a JSON-like value with every string in it redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(k): self.value(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(v) for v in value]
        return value


REDACTOR = Redactor()
"""The process-wide redactor: knows every `Secret` this process has loaded."""
