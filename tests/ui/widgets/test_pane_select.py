"""From places on the screen to the text as it was written."""

from textual.geometry import Offset
from textual.selection import SELECT_ALL, Selection

from chatapp.ui.widgets import pane_select
from chatapp.ui.widgets.transcript import Section, Transcript

SOURCE = """- one item that is wrapped
- two

```py
x = 1
  y = 22222222222222222222222
```

[link](http://a.b) 你好 word
"""


def transcript():
    made = Transcript(24)
    section = Section()
    section.stream.feed(SOURCE)
    section.stream.finish()
    made.sync(section)
    while not made.settled:
        made.settle()
    return made


def test_all_text_without_decorations_and_cuts():
    text = pane_select.text_of(transcript(), SELECT_ALL, 1)
    assert text == (" • one item that is wrapped\n • two\n\n\nx = 1\n  y = 22222222222222222222222\n\nlink 你好 word")


def test_a_part_of_some_rows():
    made = transcript()
    selection = Selection(Offset(8, 0), Offset(8, 1))
    assert pane_select.text_of(made, selection, 1) == "item that is wrap"
    assert pane_select.text_of(made, Selection(Offset(4, 2), None), 1).startswith("two\n")
    assert pane_select.text_of(made, Selection(None, Offset(7, 0)), 1) == " • one"


def row_with(made, text):
    return next(y for y, row in made.rows(0, made.total) if text in row.text)


def test_links_are_found_by_cell():
    made = transcript()
    y = row_with(made, "link")
    assert pane_select.link_at(made, 0, y) == "http://a.b"
    assert pane_select.link_at(made, 3, y) == "http://a.b"
    assert pane_select.link_at(made, 4, y) == ""
    assert pane_select.link_at(made, 200, y) == ""
    assert pane_select.link_at(made, -1, y) == ""
    assert pane_select.link_at(made, 0, 0) == ""
    assert pane_select.link_at(made, 0, 999) == ""


def test_words_and_rows():
    made = transcript()
    y = row_with(made, "link")
    row = "link 你好 word"
    assert pane_select.around(made, 2, y, whole_row=False) == (0, 4)
    assert pane_select.around(made, 4, y, whole_row=False) is None
    start, end = pane_select.around(made, 12, y, whole_row=False)
    assert row[start:end] == "word"
    assert pane_select.around(made, 0, y, whole_row=True) == (0, len(row))
    assert pane_select.around(made, 99, y, whole_row=False) is None
    assert pane_select.around(made, 0, 999, whole_row=True) is None
    assert pane_select.selection((0, 4), y, 1) == Selection(Offset(1, y), Offset(5, y))
