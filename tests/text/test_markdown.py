"""Streaming Markdown: blocks as they come, the same for any split of the text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.text.blocks import CodeBlock, RuleBlock, TableBlock, TextBlock
from chatapp.text.layout import layout_of
from chatapp.text.markdown import MarkdownStream

CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.md"))
PIECES = (
    *("#", "## ", "- ", "* ", "+ ", "1. ", "2) ", "> ", ">", "```", "```py\n", "~~~", "`", "**", "*", "_", "~~"),
    *("[", "]", "(", "](http://a.b)", "!", "|", "| a | b |", "|---|:-:|", "---", "===", "\n", "\n\n", " ", "  "),
    *("    ", "\t", "word ", "text", "<div>", "</div>", "<b>", "<!--", "-->", "<think>", "$$", "$", "\\[", "\\]"),
    *("\\", "&amp;", "&", "http://x.y", "[ ] ", "[x] ", "<", "<br>", "def f(): pass # c", "/*", "*/", "你好", "😀"),
)
SOURCES = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def parse(*pieces, finish=True):
    stream = MarkdownStream()
    for piece in pieces:
        stream.feed(piece)
    if finish:
        stream.finish()
    return stream


def rows(stream, width=40):
    out = []
    for block in stream.blocks:
        layout = layout_of(block, width)
        out += [layout.row(index) for index in range(layout.height)]
    return out


def texts(*pieces, width=40, finish=True):
    return [row.text for row in rows(parse(*pieces, finish=finish), width)]


def kinds(source):
    return [block.kind for block in parse(source).blocks]


class Screen:
    """Keeps layouts while text comes, as a pane does."""

    def __init__(self, width):
        self.width = width
        self.stream = MarkdownStream()
        self.layouts = []

    def feed(self, text):
        self.stream.feed(text)
        self.sync()

    def finish(self):
        self.stream.finish()
        self.sync()

    def sync(self):
        for index, block in enumerate(self.stream.blocks):
            if index < len(self.layouts) and self.layouts[index][0] is block:
                layout = self.layouts[index][1]
                final = [layout.row(row) for row in range(layout.stable)]
                layout.update()
                assert [layout.row(row) for row in range(len(final))] == final
            else:
                self.layouts[index:] = [(block, layout_of(block, self.width))]

    def rows(self):
        return [layout.row(index) for _block, layout in self.layouts for index in range(layout.height)]


@settings(max_examples=300)
@given(SOURCES, st.sampled_from([1, 3, 8, 20, 40, 80]), st.data())
def test_any_split_gives_the_same_rows_at_every_moment(source, width, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(source)), max_size=8)))
    screen = Screen(width)
    for start, end in zip([0, *cuts], [*cuts, len(source)], strict=True):
        screen.feed(source[start:end])
        assert screen.rows() == rows(parse(source[:end], finish=False), width)
    screen.finish()
    assert screen.rows() == rows(parse(source), width)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_real_text_character_by_character(path):
    source = path.read_text(encoding="utf-8")
    stream = parse(*source)
    for width in (30, 100):
        assert rows(stream, width) == rows(parse(source), width)


@settings(max_examples=200)
@given(SOURCES, SOURCES)
def test_finished_blocks_never_change(first, second):
    stream = parse(first, finish=False)
    closed = [block for block in stream.blocks if not block.open][:-1]
    before = [[layout_of(b, 40).row(i) for i in range(layout_of(b, 40).height)] for b in closed]
    stream.feed(second)
    assert stream.blocks[: len(closed)] == closed
    assert [[layout_of(b, 40).row(i) for i in range(layout_of(b, 40).height)] for b in closed] == before


FORMING = (
    *("#", "## ", "-", "- ", "1", "1.", "1. ", "`", "```", "```py", "~~~", ">", "> ", "|", "| a | b |\n"),
    *("| a | b |\n|--", "---", "- - ", "* *", "  ", "\t", "<", "<di", "<div", "$", "$$", "\\", "- [", "- [x"),
)


@pytest.mark.parametrize("forming", FORMING)
def test_a_marker_that_is_forming_does_not_flash(forming):
    assert texts(forming, finish=False) == []


@pytest.mark.parametrize("forming", ["=", "==", "-", "--", "---", "1", "*", "#", "|", "| x", "```", ">"])
def test_nor_below_a_paragraph(forming):
    assert texts("para\n" + forming, finish=False) == ["para"]


def test_headings():
    assert kinds("# a\n## b ##\nc\n===\nd\n---\n####### e") == ["heading"] * 4 + ["paragraph"]
    assert texts("# Title") == ["Title", "━" * 40]
    assert texts("## Title ##") == ["Title"]
    assert texts("## C#") == ["C#"]
    assert texts("#") == [""]


def test_lists_nest_and_count():
    source = "- a\n- b\n  - c\n    - d\n1. one\n1. two\n10) x\n- [ ] todo\n- [x] done\n"
    assert texts(source) == [
        " • a",
        " • b",
        "    ◦ c",
        "       ▪ d",
        "",
        " 1. one",
        " 2. two",
        "",
        "10) x",
        "",
        " ☐ todo",
        " ☑ done",
    ]


def test_items_wrap_under_their_text():
    assert texts("1. aaaa bbbb cccc", width=14) == [" 1. aaaa bbbb", "    cccc"]


def test_loose_and_tight_lists_keep_their_distance():
    assert texts("- a\n- b\n\n- c\n") == [" • a", " • b", "", " • c"]


def test_an_empty_item_has_its_row():
    assert texts("-\n- a\n-") == [" • ", " • a", " • "]
    assert texts("-\n  a") == [" • a"]
    assert texts("-\n\n  a") == [" • ", "", "a"]


def test_quotes():
    assert texts("> a\n> b\nlazy\n>\n> - c\n\nd") == ["▎ a b lazy", "▎ ", "▎  • c", "", "d"]


def test_code():
    block = parse("```python title=x\ndef f():\n\treturn 1\n\n```\nafter").blocks[0]
    assert isinstance(block, CodeBlock)
    assert (block.language, block.source) == ("python", "def f():\n\treturn 1\n")
    assert kinds("```\nunclosed\n\ntext") == ["code"]
    assert kinds("```a`b\n") == ["paragraph"]
    assert kinds("~~~\n```\n~~~ \n") == ["code"]
    assert parse("    a\n\n      b\n\n\nc").blocks[0].source == "a\n\n  b"
    assert parse("- x\n  ```\n  y\n    z\n  ```").blocks[1].source == "y\n  z"
    assert parse("  ```\n  y\n    z\n").blocks[0].source == "y\n  z"


def test_tables():
    block = parse("a\n| x | y |\n|:-:|--:|\n| 1 | 2\n3\n\nend").blocks[1]
    assert isinstance(block, TableBlock)
    assert (block.header, block.aligns, block.lines) == (["x", "y"], ["center", "right"], ["| 1 | 2", "3"])
    assert kinds("a | b\n--|--\n1 | 2\n# h") == ["table", "heading"]
    assert kinds("| a | b |\n|---|\n") == ["paragraph"]
    assert kinds("| a |\n\n|---|\n") == ["paragraph", "paragraph"]
    assert kinds("| a |\ntext\n") == ["paragraph"]
    assert kinds("> | a |\n> |---|\n> | 1 |\n") == ["table"]
    assert kinds("> | a |\n|---|\n") == ["paragraph"]


def test_what_waits_in_a_quote():
    assert texts("> | a |\n>", finish=False) == []
    assert texts("> | a |\n> b", finish=False) == ["▎ | a | b"]


def test_an_indented_line_goes_on_with_the_paragraph():
    assert texts("a\n      b") == ["a b"]


def test_rules_and_breaks():
    assert isinstance(parse("---").blocks[0], RuleBlock)
    assert kinds("a\n\n* * *\n___\nb") == ["paragraph", "rule", "rule", "paragraph"]
    assert texts("a  \nb\\\nc\nd") == ["a", "b", "c d"]


def test_html_and_formulas_stand_as_they_are():
    assert kinds("<div>\n*x*\n\ntext") == ["html", "paragraph"]
    assert kinds("<script>\n\nx\n</script>\ntext") == ["html", "paragraph"]
    assert kinds("<!-- a\n\nb -->\ntext") == ["html", "paragraph"]
    assert kinds("<think>\nx\n\ny") == ["html", "paragraph"]
    assert kinds("a\n<custom>\n") == ["paragraph"]
    assert kinds("$$\na\n- b\n\n$$\nend") == ["math", "paragraph"]
    assert kinds("\\[\na_1 * b_1\n\\]\n") == ["math"]
    assert texts("$$\na_1\n$$") == ["$$", "a_1", "$$"]


def test_a_dimmed_text_has_its_base_style():
    stream = MarkdownStream("reasoning")
    stream.feed("a\n\n> b")
    stream.finish()
    assert [block.base for block in stream.blocks] == ["reasoning", "reasoning"]
    assert parse("> b").blocks[0].base == "quote"


def test_bad_input():
    assert len(parse(">" * 10_000 + " deep").blocks) == 1
    assert len(parse("- " * 2_000 + "deep").blocks) >= 1
    assert len(parse("[" * 20_000).blocks) == 1
    assert parse("x" * 1_000_000).blocks[0].length == 1_000_000
    assert parse("|" + "x" * 5000 + "\n|---|\n").blocks[0].kind == "paragraph"
    assert parse("-" * 5000).blocks[0].kind == "paragraph"
    assert parse("```" + "x" * 5000 + "\n").blocks[0].kind == "paragraph"
    assert parse("").blocks == []
    assert parse("\n\n\n").blocks == []


def test_a_long_line_in_small_pieces_is_shown_as_it_comes():
    screen = Screen(80)
    for _ in range(2000):
        screen.feed("some words ")
    assert len(screen.rows()) == pytest.approx(2000 * 11 / 80, rel=0.05)
    assert isinstance(screen.stream.blocks[0], TextBlock)
