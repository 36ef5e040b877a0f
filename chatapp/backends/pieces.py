"""Text cut into tokens that are whole characters, so that a simulated answer arrives as a real one does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from chatapp.stream.tokens import load_encoding

_AT_ONCE = 16_384
"""Characters encoded in one call; the encoder's time grows faster than linearly on long runs without spaces."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text and the tokens it is."""

    text: str
    tokens: int
    """More than 1 where a character is spread over several tokens."""


def cut(text: str) -> list[Piece]:
    """Return the text token by token (cl100k); the pieces joined are the text."""
    return list(_cut(text))


@lru_cache(maxsize=128)
def _cut(text: str) -> tuple[Piece, ...]:
    """Cut once: several systems tell the same text, and no stream may wait for the encoder."""
    encoding = load_encoding()
    pieces: list[Piece] = []
    for part in _parts(text):
        held = b""
        tokens = 0
        for token in encoding.decode_tokens_bytes(encoding.encode_ordinary(part)):
            held += token
            tokens += 1
            try:
                piece = held.decode("utf-8")
            except UnicodeDecodeError:
                continue  # ends within a character: wait for the rest of it
            pieces.append(Piece(piece, tokens))
            held, tokens = b"", 0
    return tuple(pieces)


def _parts(text: str) -> list[str]:
    """Cut long text before a space, where no token of the vocabulary crosses."""
    parts: list[str] = []
    start = 0
    while len(text) - start > _AT_ONCE:
        end = text.rfind(" ", start + 1, start + _AT_ONCE)
        end = end if end > start else start + _AT_ONCE
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]
