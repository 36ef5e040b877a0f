"""Cutting styled text into spans."""

from chatapp.text.rows import Mark, Row, Span, cut_spans

TEXT = "plain bold link end"
MARKS = [Mark(6, 10, "strong"), Mark(11, 15, "link", "https://x.y")]


def test_text_without_marks_is_one_span():
    assert cut_spans("abc", [], 0, 3, "h1") == (Span("abc", "h1"),)
    assert cut_spans("abc", [], 1, 1) == ()


def test_marks_are_styled_and_the_rest_is_not():
    assert cut_spans(TEXT, MARKS, 0, len(TEXT)) == (
        Span("plain "),
        Span("bold", "strong"),
        Span(" "),
        Span("link", "link", "https://x.y"),
        Span(" end"),
    )


def test_a_cut_through_marks_keeps_their_parts():
    assert cut_spans(TEXT, MARKS, 8, 13) == (Span("ld", "strong"), Span(" "), Span("li", "link", "https://x.y"))
    assert cut_spans(TEXT, MARKS, 10, 11) == (Span(" "),)
    assert cut_spans(TEXT, MARKS, 16, 19) == (Span("end"),)


def test_the_base_style_comes_first():
    assert cut_spans(TEXT, MARKS, 6, 11, "h2") == (Span("bold", "h2 strong"), Span(" ", "h2"))


def test_a_row_is_its_text():
    assert Row((Span("a"), Span("b", "em"))).text == "ab"
