"""Widths and wrapping."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import get_character_cell_size

from chatapp.text import cells
from chatapp.text.cells import width_of, wrap

MIXED = st.text(st.sampled_from("ab  \n你。，（a—\u0301😀\ufe0f☂é-"), max_size=60)


def rows(text, width):
    return [text[start:end] for start, end in wrap(text, width)]


def test_words_go_to_the_next_row():
    assert rows("hello brave new world of words", 10) == ["hello", "brave new", "world of", "words"]


def test_a_row_can_be_exactly_full():
    assert rows("abcde fghij", 5) == ["abcde", "fghij"]
    assert rows("“abc” fghij", 5) == ["“abc”", "fghij"]


def test_a_word_longer_than_the_row_is_cut():
    assert rows("averyverylongword and", 8) == ["averyver", "ylongwor", "d and"]


def test_lines_and_empty_lines_stay():
    assert rows("a\n\nb\n", 5) == ["a", "", "b", ""]
    assert rows("", 5) == [""]


def test_spaces_at_a_cut_belong_to_no_row():
    assert rows("aaaa     bbbb", 5) == ["aaaa", "bbbb"]
    assert rows("aaaa     ", 5) == ["aaaa"]
    assert rows("  abcdefgh", 5) == ["  abc", "defgh"]


def test_wide_characters_break_anywhere_but_before_a_full_stop():
    assert rows("你好，世界。这是", 7) == ["你好，", "世界。", "这是"]
    assert rows("你（好）", 4) == ["你", "（好", "）"]
    assert rows("ab 你好", 4) == ["ab", "你好"]
    assert rows("你", 1) == ["你"]


def test_combining_characters_stay_with_their_letter():
    assert rows("e\u0301" * 12, 8) == ["e\u0301" * 8, "e\u0301" * 4]
    assert rows("z" + "\u0301" * 100 + "ab", 2) == ["z" + "\u0301" * 100 + "a", "b"]


def test_a_family_of_emoji_is_one_character():
    assert rows("👩‍💻👩‍💻👩‍💻", 5) == ["👩‍💻👩‍💻", "👩‍💻"]


def test_width():
    assert width_of("abc") == 3
    assert width_of("你好") == 4


def test_the_fast_path_holds_single_cells_only():
    single = [chr(c) for c in range(0x20, 0x3000) if cells._ALL_SINGLE(chr(c))]
    assert len(single) > 1000
    assert all(get_character_cell_size(c) == 1 for c in single)


@given(MIXED, st.integers(1, 14))
def test_rows_fit_and_hold_all_but_spaces(text, width):
    if width > 1:
        assert all(width_of(text[start:end]) <= width for start, end in wrap(text, width))
    assert "".join(rows(text, width)).replace(" ", "") == text.replace("\n", "").replace(" ", "")


@given(MIXED, st.integers(0, 60), st.integers(1, 14))
def test_appending_changes_the_last_row_only(text, at, width):
    before = wrap(text[:at], width)
    after = wrap(text, width)
    assert after[: len(before) - 1] == before[:-1]


@given(MIXED, st.integers(1, 14))
def test_wrapping_can_go_on_at_any_row(text, width):
    whole = wrap(text, width)
    for number, (start, _end) in enumerate(whole):
        assert wrap(text, width, start) == whole[number:]
