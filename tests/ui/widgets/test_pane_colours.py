"""Colours in portions, with lexers made in a thread."""

import time

from chatapp.ui.widgets.pane_colours import LINES_WHILE_IDLE, LINES_WHILE_STREAMING, FrameColours


def wait_for(colours, language):
    deadline = time.monotonic() + 20
    while not colours.may_colour(language):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_lexer_comes_later():
    colours = FrameColours()
    colours.begin_frame(streaming=False)
    wait_for(colours, "ocaml")
    assert colours.lexer("ocaml").name == "OCaml"
    wait_for(colours, "no such language")
    assert colours.lexer("no such language") is None


def test_a_frame_colours_so_many_lines():
    colours = FrameColours()
    wait_for(colours, "python")
    for streaming, lines in ((True, LINES_WHILE_STREAMING), (False, LINES_WHILE_IDLE)):
        colours.begin_frame(streaming=streaming)
        colours.begin_paint()
        assert not colours.waiting
        assert sum(colours.may_colour("python") for _ in range(500)) == lines
        assert colours.waiting
