"""Search in a transcript."""

from chatapp.text.blocks import TextBlock
from chatapp.ui.widgets.pane_find import Search
from chatapp.ui.widgets.transcript import Section, Transcript

SOURCE = """# Speed of light

The speed of light is finite, and the *speed* of **sound** is too: both of them are speeds.

```python
speed = 299_792_458
```

| what | speed |
|---|---|
| light | fast |

---
"""


def transcript(width=30):
    made = Transcript(width)
    section = Section()
    section.stream.feed(SOURCE)
    section.stream.finish()
    made.sync(section)
    return made


def found(search):
    out = []
    for match in search.matches:
        layout = search._transcript.entries[match.entry].layout
        out.append("|".join(layout.row(row).text[start:end] for row, start, end in match.pieces))
    return out


def test_matches_in_all_kinds_of_blocks_whatever_the_case():
    search = Search(transcript(), "SPEED")
    assert found(search) == ["Speed", "speed", "speed", "speed", "speed", "speed"]
    assert search.current == -1


def test_a_match_may_reach_over_the_end_of_a_row():
    search = Search(transcript(width=20), "of light is finite")
    assert "".join(found(search)).replace("|", " ") == "of light is finite"
    assert len(search.matches[0].pieces) == 2


def test_stepping_goes_round():
    search = Search(transcript(), "speed")
    search.go_to_row(3)
    first = search.current
    search.step(1)
    assert search.current == first + 1
    for _ in range(len(search.matches)):
        search.step(-1)
    assert search.current == first + 1
    search.go_to_row(10_000)
    assert search.current == len(search.matches) - 1
    assert search.row_of(0) == 0


def test_marks_in_a_row():
    search = Search(transcript(), "speed")
    search.current = 0
    assert search.ranges(0, 0) == [(0, 5, "match-current")]
    assert search.ranges(0, 1) == []
    search.current = 1
    assert search.ranges(0, 0) == [(0, 5, "match")]


def test_nothing_found():
    search = Search(transcript(), "no such words")
    search.step(1)
    assert search.matches == []
    assert Search(transcript(), "").matches == []
    assert Search(transcript(), "  ").matches == []


def test_new_text_is_found_after_a_refresh_and_folded_text_is_not():
    made = transcript()
    search = Search(made, "speed")
    before = len(search.matches)
    made.add(TextBlock.of("more speed"))
    made.add(TextBlock.of("hidden speed"), hidden=True)
    search.refresh()
    assert len(search.matches) == before + 1


def test_letters_that_fold_to_two_keep_their_place():
    made = Transcript(40)
    made.add(TextBlock.of("Straße und MASSE"))
    search = Search(made, "masse")
    assert found(search) == ["MASSE"]
