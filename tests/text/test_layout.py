"""Rows of blocks at a width."""

import pytest

from chatapp.text.blocks import CodeBlock, RuleBlock, TextBlock
from chatapp.text.highlight import Colours
from chatapp.text.layout import estimate, layout_of
from chatapp.text.markdown import MarkdownStream
from chatapp.text.rows import Mark, Span


def blocks(source):
    stream = MarkdownStream()
    stream.feed(source)
    stream.finish()
    return stream.blocks


def rows(block, width):
    layout = layout_of(block, width)
    assert layout.width == width
    return [layout.row(index) for index in range(layout.height)]


def test_joints_tell_how_rows_hang_together():
    long_word = "x" * 12
    (block,) = blocks(f"aaaa bbbb {long_word}\\\nend")
    found = rows(block, 10)
    assert [row.text for row in found] == ["aaaa bbbb", "x" * 10, "xx", "end"]
    assert [row.joint for row in found] == ["\n", " ", "", "\n"]


def test_joints_while_the_paragraph_is_open():
    stream = MarkdownStream()
    stream.feed("aaaa bbbb cccc *dddd eeee ffff")
    found = rows(stream.blocks[0], 10)
    assert [row.joint for row in found] == ["\n", " ", " "]


def test_code_has_its_language_above_and_a_fill():
    (block,) = blocks("```python\nx = 1\n```")
    header, line = rows(block, 20)
    assert header.text == "python ".rjust(20)
    assert header.fill == line.fill == "fence"
    assert header.decoration == 20
    assert line.spans[0] == Span(" ", "fence")
    assert any("code.number" in span.style for span in line.spans)


def test_long_code_lines_are_cut_not_wrapped():
    (block,) = blocks("```\nabc def ghi jkl\n你好你好你好\n\n```")
    found = rows(block, 10)
    assert [row.text for row in found] == [" abc def ", " ghi jkl", " 你好你好", " 你好", " "]
    assert [row.joint for row in found] == ["\n", "", "\n", "", "\n"]


def test_code_with_combining_characters_fills_its_rows():
    (block,) = blocks("```\n" + "e\u0301" * 12 + "\n```")
    assert [row.text for row in rows(block, 10)] == [" " + "e\u0301" * 8, " " + "e\u0301" * 4]


def test_tabs_in_code_stand_for_spaces_but_stay_in_the_source():
    (block,) = blocks("```\n\tx\n```")
    assert rows(block, 20)[0].text == "     x"
    assert block.source == "\tx"


def test_a_line_of_code_that_grows_over_rows():
    block = CodeBlock()
    layout = layout_of(block, 12)
    for _ in range(50):
        block.append("abcd")
        layout.update()
    assert layout.height == 20
    assert layout.stable == 19
    block.end_line()
    block.append("next")
    layout.update()
    assert "".join(layout.row(index).text[1:] for index in range(20)) == "abcd" * 50
    assert layout.row(20).text == " next"


def test_html_is_plain():
    (block,) = blocks("<div>\nx")
    assert [row.fill for row in rows(block, 20)] == ["html", "html"]
    assert layout_of(block, 20).is_final(0)


class Sparing(Colours):
    """Allows one line at a time."""

    allowed = 0

    def may_colour(self, language):
        self.allowed -= 1
        return self.allowed >= 0


def test_code_is_plain_until_colours_may_be_made():
    (block,) = blocks("```python\nx = 1\ny = 2\n```")
    colours = Sparing()
    layout = layout_of(block, 30, colours)
    assert [span.style for span in layout.row(2).spans] == ["fence", "fence"]
    assert layout.is_final(0)
    assert not layout.is_final(2)
    colours.allowed = 1
    layout.row(2)
    assert (layout.is_final(1), layout.is_final(2)) == (True, False)
    colours.allowed = 1
    assert any("code.number" in span.style for span in layout.row(2).spans)
    assert layout.is_final(2)


def test_the_line_being_written_is_coloured_too():
    block = CodeBlock(language="python")
    block.append("x = 1")
    colours = Sparing()
    layout = layout_of(block, 30, colours)
    assert len(layout.row(1).spans) == 2
    block.end_line()
    block.append("y = 2")
    layout.update()
    colours.allowed = 9
    assert any("code.number" in span.style for span in layout.row(2).spans)
    colours.allowed = 0
    assert len(layout.row(2).spans) == 2


def test_a_heading_is_underlined_when_it_is_finished():
    stream = MarkdownStream()
    stream.feed("# Ti")
    assert [row.text for row in rows(stream.blocks[0], 10)] == ["Ti"]
    stream.feed("tle\n")
    found = rows(stream.blocks[0], 10)
    assert [row.text for row in found] == ["Title", "━" * 10]
    assert found[1].decoration == 10


def test_rules_fill_the_width():
    first, rule = blocks("> a\n> ***")
    del first
    found = rows(rule, 10)
    assert [row.text for row in found] == ["▎ ", "▎ " + "─" * 8]
    layout = layout_of(rule, 10)
    layout.update()
    assert layout.stable == layout.height == 2
    assert layout.is_final(1)
    assert isinstance(rule, RuleBlock)


def test_estimates_are_near():
    source = "# Title\n\n" + "word " * 100 + "\n\n```python\n" + "x = 1\n" * 20 + "```\n\n| a |\n|---|\n| 1 |\n\n---\n"
    for block in blocks(source):
        assert estimate(block, 40) == pytest.approx(layout_of(block, 40).height, abs=2)


def test_a_text_that_is_no_markdown():
    block = TextBlock.of("*a*\n\tb", "prompt", [Mark(0, 1, "hint")])
    assert [row.text for row in rows(block, 20)] == ["*a*", "    b"]
    assert rows(block, 20)[0].spans == (Span("*", "prompt hint"), Span("a*", "prompt"))
    assert not block.open


def test_code_in_a_pane_of_one_cell():
    (block,) = blocks("```python\nab\n```")
    assert [row.text.strip() for row in rows(block, 1)] == ["", "a", "b"]
