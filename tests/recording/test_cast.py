import json
import re

from hypothesis import given
from hypothesis import strategies as st

from chatapp.recording.cast import Output, cast_lines, clean_output

S = 1_000_000_000
PIECES = [
    "text", "\x1b[1;2H", "\x1b[0m", "\x1b[38;2;1;2;3m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\",
    "\x1b]52;c;eA==\x07", "\x1b[?1049h", "\x1b[?2026h", "\x1b[6n", "\x1bP1$r\x1b\\", "\x1b_G;x\x1b\\", "\x9b31m",
    "\x90x\x9c", "\x1b", "\x07", "\x08", "\x1bc", "\r\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=20))
def test_only_harmless_sequences_survive(pieces):
    cleaned = clean_output("".join(pieces))
    rest = re.sub(r"\x1b\[[0-9;:]*[A-HJKSTfm]", "", cleaned)
    assert "\x1b" not in rest
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", rest)


def test_what_a_picture_needs_stays():
    text = "\x1b[1;1H\x1b[1;38;2;1;2;3;48;5;16mA\x1b[0m\r\n\tB\x1b[K"
    assert clean_output(text) == text


OUTPUTS = [Output(0, "a"), Output(S // 3, "b"), Output(S // 2, "chapter", marker=True), Output(2 * S // 3, "c")]


def test_version_2_has_absolute_times():
    header, begin, *lines = map(json.loads, cast_lines(OUTPUTS, columns=80, rows=24, title="T", timestamp=5))
    assert header == {"version": 2, "width": 80, "height": 24, "timestamp": 5, "title": "T"}
    assert begin == [0.0, "o", "\x1b[?25l\x1b[2J"]
    assert lines == [[0.0, "o", "a"], [0.333333, "o", "b"], [0.5, "m", "chapter"], [0.666666, "o", "c"]]


def test_version_3_has_intervals_that_sum_to_the_same():
    header, _begin, *lines = map(json.loads, cast_lines(OUTPUTS, columns=80, rows=24, version=3))
    assert header == {"version": 3, "term": {"cols": 80, "rows": 24}}
    assert [line[0] for line in lines] == [0.0, 0.333333, 0.166667, 0.166666]


def test_titles_and_chapters_control_no_terminal():
    lines = "".join(cast_lines([Output(0, "m\x1b[2J", marker=True)], columns=1, rows=1, title="t\x1b[2J"))
    assert lines.count("\\u001b") == 2  # those of the first line, which are ours


def test_time_never_goes_back():
    lines = list(map(json.loads, cast_lines([Output(S, "a"), Output(0, "b")], columns=1, rows=1)))
    assert [line[0] for line in lines[2:]] == [1.0, 1.0]
