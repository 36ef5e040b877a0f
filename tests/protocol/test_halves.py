"""However a server cuts characters, what is shown is whole and can be encoded."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.dialects import ChatDecoder
from chatapp.protocol.halves import Halves


def units(text: str) -> list[str]:
    """Cut a text into UTF-16 units: what a server that counts in them may send one by one."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [data[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(data), 2)]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.data())
def test_any_cut_gives_the_whole(text, data):
    halves = Halves()
    pieces, rest = [], units(text)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces.append(halves.join("".join(rest[:size])))
        rest = rest[size:]
    assert "".join(pieces) == text


@given(st.lists(st.text(st.sampled_from("a\ud83d\ude80é🚀"), max_size=4)))
def test_whatever_comes_can_be_encoded(pieces):
    halves = Halves()
    for piece in pieces:
        halves.join(piece).encode("utf-8")


def test_a_half_without_its_other_is_replaced():
    assert Halves().join("a\ude80b\ud83dc") == "a\ufffdb\ufffdc"


def test_halves_in_two_chunks_are_one_character_in_either_channel():
    decoder = ChatDecoder()
    texts = {"answer": "", "reasoning": ""}
    for field, half in (("content", 0xD83D), ("reasoning", 0xD83D), ("content", 0xDE80), ("reasoning", 0xDE81)):
        chunk = json.dumps(
            {"choices": [{"index": 0, "delta": {field: f"[{chr(half)}" if half < 0xDC00 else chr(half)}}]}
        )
        for event in decoder.decode(chunk.encode(), 1):
            texts[event.channel] += event.text
    assert texts == {"answer": "[🚀", "reasoning": "[🚁"}
    (event,) = decoder.decode(json.dumps({"choices": [{"index": 0, "text": "\ud83d!"}]}).encode(), 2)
    assert event.text == "\ufffd!"
