"""Tables at a width."""

from hypothesis import given
from hypothesis import strategies as st

from chatapp.text.blocks import TableBlock, parse_delimiter, split_cells
from chatapp.text.cells import width_of
from chatapp.text.layout import layout_of
from chatapp.text.markdown import MarkdownStream
from chatapp.text.table import fit_columns

HEAD = "| Name | What it is | N |\n|:--|---|--:|\n"


def table(source):
    stream = MarkdownStream()
    stream.feed(source)
    stream.finish()
    (block,) = stream.blocks
    return block


def texts(block, width):
    layout = layout_of(block, width)
    return [layout.row(index).text for index in range(layout.height)]


def test_columns_are_aligned():
    assert texts(table(HEAD + "| **alpha** | x | 12 |\n| 你好 | yy | 3,000 |\n"), 60) == [
        "Name  │ What it is │     N",
        "──────┼────────────┼──────",
        "alpha │ x          │    12",
        "你好  │ yy         │ 3,000",
    ]


def test_centred_columns():
    assert texts(table("| ab | wide one |\n|:-:|:-:|\n| x | y |\n"), 40)[2] == "x  │    y"


def test_what_is_too_wide_wraps_in_its_column():
    rows = texts(table(HEAD + "| alpha | a long text that must wrap | 1 |\n"), 30)
    assert all(width_of(row) <= 30 for row in rows)
    assert [row.split("│")[1].strip() for row in rows[2:]] == ["a long text that", "must wrap"]


def test_a_table_too_narrow_for_columns_is_a_list_of_fields():
    assert texts(table(HEAD + "| alpha | some `code` here | 1 |\n"), 14) == [
        "Name: alpha",
        "What it is:",
        "some code here",
        "N: 1",
        "",
    ]
    assert texts(table("|  |\n|---|\n| x |\n"), 3) == ["x", ""]


def test_styles_of_cells():
    layout = layout_of(table(HEAD + "| **a** | b | c |\n"), 40)
    assert all(span.style in ("table.header", "table.rule") for span in layout.row(0).spans)
    assert {span.style for span in layout.row(2).spans} == {"table strong", "table", "table.rule"}
    assert layout.row(1).decoration == len(layout.row(1).text)


def test_missing_and_surplus_cells():
    assert texts(table(HEAD + "| a |\n| b | c | d | e |\n"), 40)[2:] == [
        "a    │            │  ",
        "b    │ c          │ d",
    ]


def test_a_table_in_a_quote_after_text():
    stream = MarkdownStream()
    stream.feed("> a\n> | x |\n> |---|\n> | 1 |\n")
    stream.finish()
    assert texts(stream.blocks[1], 20) == ["▎ ", "▎ x", "▎ ─", "▎ 1"]


def test_a_row_that_is_being_written_fits_what_there_is():
    stream = MarkdownStream()
    stream.feed(HEAD + "| alpha | beta gamma | 1 |\n| a very long cell")
    layout = layout_of(stream.blocks[0], 60)
    widths = layout.row(1).text
    assert layout.height > 4
    assert layout.stable == 0
    stream.feed(" that grows | x | 2 |\n")
    layout.update()
    assert layout.row(1).text != widths
    assert layout.height == 4


def test_a_row_of_borders_shows_nothing_yet():
    stream = MarkdownStream()
    stream.feed(HEAD + "| ")
    assert layout_of(stream.blocks[0], 40).height == 2


def test_a_long_table_stands_still():
    block = TableBlock(header=["a", "b"], aligns=["left", "left"])
    layout = layout_of(block, 40)
    for number in range(1200):
        block.append(f"| {number} | x |")
        block.end_line()
        layout.update()
        if number == 300:
            assert layout.stable == layout.height == 303
            before = [layout.row(index).text for index in range(layout.height)]
    block.append("| much wider by far | x |")
    block.end_line()
    block.close()
    layout.update()
    assert [layout.row(index).text for index in range(len(before))] == before
    assert layout.stable == layout.height == 1206


def test_splitting_cells():
    assert split_cells("| a | `b \\| c` |") == ["a", "`b | c`"]
    assert split_cells("a | b") == ["a", "b"]
    assert split_cells("| a | | c |") == ["a", "", "c"]


def test_delimiter_rows():
    assert parse_delimiter("|:--|:-:|--:|---|") == ["left", "center", "right", "left"]
    assert parse_delimiter("---") is None
    assert parse_delimiter("| a |") is None
    assert parse_delimiter("| - x |") is None


def test_fitting_keeps_words_whole_if_it_can():
    assert fit_columns([5, 5], [3, 3], 20) == [5, 5]
    assert fit_columns([4, 40], [4, 8], 24) == [4, 20]
    assert fit_columns([30, 30], [20, 5], 30) == [20, 10]
    assert fit_columns([30, 30], [25, 25], 20) == [10, 10]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6), st.integers(24, 120))
def test_columns_never_take_more_than_there_is(columns, room):
    natural = [max(n, w) for n, w in columns]
    widths = fit_columns(natural, [w for _n, w in columns], room)
    assert sum(widths) <= max(room, 4 * len(columns))
    assert all(1 <= width <= wish for width, wish in zip(widths, natural, strict=True))
