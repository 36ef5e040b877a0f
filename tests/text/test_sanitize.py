"""Nothing a model writes can control the terminal."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from chatapp.text.sanitize import sanitize, sanitize_line

ATTACKS = {
    "clipboard": "\x1b]52;c;aGk=\x1b\\",
    "hyperlink": "\x1b]8;;http://evil\x07click\x1b]8;;\x07",
    "title": "\x1b]0;owned\x07",
    "clear": "\x1b[2J\x1b[H",
    "dcs": "\x1bP+q544e\x1b\\",
    "c1 csi": "\x9b2J",
    "c1 osc": "\x9d52;c;aGk=\x9c",
    "bell": "\x07",
    "return": "honest\rfake",
    "backspace": "abc\x08\x08\x08",
    "delete": "\x7f",
    "nul": "\x00",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069",
    "zero width": "a\u200bb\ufeffc\u2060d",
    "tags": "\U000e0041\U000e0042\U000e007f",
}
HARMLESS_FORMAT = {"\u200c", "\u200d", "\u00ad"}
"""Joiners that scripts and emoji need, and the soft hyphen; they control nothing."""


def is_dangerous(character):
    category = unicodedata.category(character)
    return category in ("Cc", "Cs") or (
        character in "\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u2060\ufeff"
        or "\u202a" <= character <= "\u202e"
        or "\u2061" <= character <= "\u206f"
        or "\U000e0000" <= character <= "\U000e007f"
    )


def test_plain_text_passes_as_it_is():
    text = "Grüße, 你好, 👩‍💻 and plain ASCII.\n\tIndented."
    assert sanitize(text) == text
    ascii_text = "plain"
    assert sanitize(ascii_text) is ascii_text


def test_each_attack_becomes_harmless():
    for name, attack in ATTACKS.items():
        for clean in (sanitize(attack), sanitize_line(attack)):
            assert not any(is_dangerous(c) for c in clean if c not in "\n\t"), name


def test_controls_stay_visible():
    assert sanitize("\x1b[31m") == "␛[31m"
    assert sanitize("a\rb\x07\x7f") == "a␍b␇␡"
    assert sanitize("\x9b1m") == "\ufffd1m"
    assert sanitize("\ud800") == "\ufffd"


def test_unicode_line_ends_become_newlines_and_spaces():
    assert sanitize("a\u2028b\u2029c") == "a\nb\nc"
    assert sanitize_line("a\nb\tc\u2028d") == "a b c d"


def test_a_line_is_cut_at_its_limit():
    assert sanitize_line("x" * 50, limit=10) == "x" * 9 + "…"
    assert sanitize_line("x" * 10, limit=10) == "x" * 10


@given(st.text(st.characters(codec=None, categories=None)))
def test_nothing_dangerous_survives(text):
    assert not any(is_dangerous(c) for c in sanitize(text) if c not in "\n\t")
    line = sanitize_line(text)
    assert not any(is_dangerous(c) for c in line)
    sanitize(text).encode("utf-8")


@given(st.text(), st.integers(0, 40))
def test_a_split_changes_nothing(text, at):
    assert sanitize(text[:at]) + sanitize(text[at:]) == sanitize(text)


@given(st.text())
def test_to_clean_twice_is_to_clean_once(text):
    assert sanitize(sanitize(text)) == sanitize(text)
