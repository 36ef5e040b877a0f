import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.backends.pieces import cut
from chatapp.stream.tokens import count_tokens


@settings(deadline=None)  # the first example loads the vocabulary
@given(st.text(max_size=300))
def test_the_pieces_joined_are_the_text(text):
    assert "".join(piece.text for piece in cut(text)) == text


@pytest.mark.parametrize("text", ["Plain words, in a row.", "naïve 🙂 über", "def f(x):\n    return x\n"])
def test_the_pieces_have_the_texts_tokens(text):
    pieces = cut(text)
    assert sum(piece.tokens for piece in pieces) == count_tokens(text)
    assert all(piece.text and piece.tokens >= 1 for piece in pieces)


def test_a_character_of_several_tokens_is_one_piece():
    pieces = cut("𓀀")
    assert [piece.text for piece in pieces] == ["𓀀"]
    assert pieces[0].tokens > 1


@pytest.mark.parametrize("text", ["word " * 20_000, "x" * 40_000])
def test_long_text_is_cut_in_parts(text):
    pieces = cut(text)
    assert "".join(piece.text for piece in pieces) == text
    assert sum(piece.tokens for piece in pieces) == pytest.approx(count_tokens(text), rel=0.001)
