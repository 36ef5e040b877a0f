"""What all layouts have in common: decorations to the left."""

from tests.text.test_layout import blocks, rows


def test_decorations_are_counted_from_the_second_row_on():
    (block,) = blocks("- aaaa bbbb cccc")
    assert [row.decoration for row in rows(block, 13)] == [0, 3]


def test_too_much_decoration_gives_way_to_text():
    deep = blocks("> " * 20 + "text that wraps")[-1]
    assert all(len(row.text) <= 20 for row in rows(deep, 20))
    assert "".join(row.text for row in rows(deep, 20)).replace("▎", "").split() == ["text", "that", "wraps"]
    assert rows(deep, 1)[0].text == "t"
