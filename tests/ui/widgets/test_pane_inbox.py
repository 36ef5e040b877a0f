"""What waits for the next frame."""

from hypothesis import given
from hypothesis import strategies as st

from chatapp.ui.widgets.pane_inbox import Inbox


def inbox():
    taken = []
    return Inbox(lambda text, channel: taken.append((text, channel))), taken


def test_pieces_of_one_channel_are_joined():
    box, taken = inbox()
    for piece in ("a", "b"):
        box.put(piece, "reasoning")
    box.put("c", "answer")
    assert box
    box.drain()
    assert not box
    assert taken == [("ab", "reasoning"), ("c", "answer")]


def test_calls_keep_their_place():
    box, taken = inbox()
    box.put("a", "answer")
    box.call(lambda: taken.append("call"))
    box.put("b", "answer")
    box.drain()
    assert taken == [("a", "answer"), "call", ("b", "answer")]


def test_a_flood_is_taken_in_portions():
    box, taken = inbox()
    box.put("x" * 25, "answer")
    box.put("y" * 5, "answer")
    for _ in range(3):
        box.drain(10)
    assert [text for text, _channel in taken] == ["x" * 10, "x" * 10, "x" * 5 + "y" * 5]
    assert not box


def test_text_is_made_safe():
    box, taken = inbox()
    box.put("\x1b", "answer")
    box.drain()
    box.put("[31m", "answer")
    box.drain()
    assert "".join(text for text, _channel in taken) == "␛[31m"


def test_the_ends_of_windows_lines_may_be_split():
    box, taken = inbox()
    for piece in ("a\r", "\nb\r\nc\r", "d"):
        box.put(piece, "answer")
        box.drain()
    assert "".join(text for text, _channel in taken) == "a\nb\nc␍d"
    box.put("e\r", "answer")
    box.call(lambda: None)
    box.drain()
    assert taken[-1][0] == "e␍"


def test_to_forget_what_waits():
    box, taken = inbox()
    box.put("a\r", "answer")
    box.drain()
    box.put("b", "answer")
    box.clear()
    box.drain()
    assert "".join(text for text, _channel in taken) == "a"


@given(st.lists(st.text("ab\r\n", max_size=6), max_size=8), st.integers(1, 8))
def test_any_split_hands_on_the_same(pieces, portion):
    box, taken = inbox()
    for piece in pieces:
        box.put(piece, "answer")
        box.drain(portion)
    box.call(lambda: None)
    while box:
        box.drain(portion)
    whole, expected = inbox()
    whole.put("".join(pieces), "answer")
    whole.call(lambda: None)
    whole.drain()
    assert "".join(t for t, _c in taken) == "".join(t for t, _c in expected)
