import re

import pytest

from chatapp.redaction import REDACTOR, Redactor, Secret


def test_an_exact_secret_is_replaced_by_its_name_wherever_it_stands():
    redactor = Redactor()
    redactor.add("KEY", "canary-value-1")
    assert redactor.text("a canary-value-1 b canary-value-1") == "a [REDACTED:KEY] b [REDACTED:KEY]"
    assert redactor.hits == 2


def test_the_longest_secret_wins_where_one_holds_another():
    redactor = Redactor()
    redactor.add("SHORT", "canary")
    redactor.add("LONG", "canary-long")
    assert redactor.text("canary-long canary") == "[REDACTED:LONG] [REDACTED:SHORT]"


def test_short_values_are_ignored():
    redactor = Redactor()
    redactor.add("KEY", "abc")
    assert redactor.text("abc") == "abc"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("key sk-abcdefghijklmnop1234", "sk-abcdefghijklmnop1234"),
        ("csk-abcdefghijklmnop1234", "csk-abcdefghijklmnop1234"),
        ("gsk_abcdefghijklmnop1234", "gsk_abcdefghijklmnop1234"),
        ("AIzaSyA-1234567890abcdefghijklmnopqrs", "AIzaSyA-1234567890abcdefghijklmnopqrs"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"),
        ("AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "ghp_abcdefghijklmnopqrstuvwxyz012345"),
        ("https://user:hunter22@host/path", "hunter22"),
        ("https://host/v1?api_key=hunter22&x=1", "hunter22"),
    ],
)
def test_shapes(text, secret):
    redacted = Redactor().text(text)
    assert secret not in redacted
    assert "[REDACTED:" in redacted
    assert Redactor().may_hold_secret(text)


def test_ordinary_text_is_left_alone():
    text = "The task-list of risk-averse people: https://host/v1?page=2 at 10:30, bearer of news."
    redactor = Redactor()
    assert redactor.text(text) == text
    assert redactor.hits == 0


def test_every_string_of_a_json_value_is_redacted():
    redactor = Redactor([re.compile("user-[0-9]+")])
    redactor.add("KEY", "canary-value-1")
    value = {"canary-value-1": [{"a": "user-42"}, 1, None], "t": ("canary-value-1",)}
    assert redactor.value(value) == {"[REDACTED:KEY]": [{"a": "[REDACTED:pattern]"}, 1, None], "t": ["[REDACTED:KEY]"]}


def test_a_copy_with_more_patterns_counts_apart():
    redactor = Redactor()
    redactor.add("KEY", "canary-value-1")
    other = redactor.with_patterns([re.compile("zzz")])
    assert other.text("zzz canary-value-1") == "[REDACTED:pattern] [REDACTED:KEY]"
    assert (other.hits, redactor.hits) == (2, 0)


def test_a_secret_does_not_show_itself_and_is_known_to_the_process():
    secret = Secret("MY_KEY", "canary-of-this-test")
    assert "canary" not in f"{secret!r} {secret}"
    assert secret.reveal() == "canary-of-this-test"
    assert REDACTOR.text("x canary-of-this-test") == "x [REDACTED:MY_KEY]"


def test_what_only_begins_like_a_secret_is_told_by_its_length():
    redactor = Redactor()
    redactor.add("KEY", "canary-value-1")
    assert redactor.unfinished("a cat") == 0
    assert redactor.unfinished("a canary-v") == 8
    assert redactor.unfinished("canary-value-1") == 0
    assert redactor.unfinished("c") == 1
    assert redactor.unfinished("cca") == 2
    assert redactor.unfinished("") == 0


def test_one_search_tells_that_no_secret_begins():
    redactor = Redactor()
    assert redactor.find_beginning() is None
    redactor.add("KEY", "canary-value-1")
    redactor.add("OTHER", "(secret)")
    search = redactor.find_beginning()
    assert not any(search(text) for text in ("", "the", "can it", "a cat", "c\n"))
    assert all(search(text) for text in ("xcanary-value-1y", "a canary", "can", "c", "(", "it (sec"))
    redactor.add("LATER", "zz-top-1")
    assert redactor.find_beginning()("puzz")


def test_a_secret_learnt_by_its_shape_is_known_by_its_value():
    redactor = Redactor()
    redactor.learn("Authorization: Bearer abcdefgh12345")
    assert list(redactor.secrets) == ["abcdefgh12345"]
    assert redactor.text("abcdefgh12345") == "[REDACTED:bearer]"


def test_ordinary_tokens_need_no_closer_look():
    redactor = Redactor()
    redactor.add("KEY", "canary-value-1")
    assert not any(redactor.may_hold_secret(token) for token in ("the", " speed", "a-b", "\n\n", "tokens per second"))
    assert Redactor([re.compile("x")]).may_hold_secret("the")
    assert redactor.may_hold_secret("a canary-value-1")


def test_spans_say_where_secrets_stand():
    redactor = Redactor([re.compile("user-[0-9]+")])
    redactor.add("KEY", "canary-value-1")
    text = "canary-value-1 user-42 Bearer abcdefgh12345 nothing"
    assert [(text[a:b], name) for a, b, name in redactor.spans(text)] == [
        ("canary-value-1", "[REDACTED:KEY]"),
        ("user-42", "[REDACTED:pattern]"),
        ("abcdefgh12345", "[REDACTED:bearer]"),
    ]
    assert redactor.hits == 3


def test_overlapping_spans_are_one():
    redactor = Redactor([re.compile("abcdef"), re.compile("defghi")])
    assert redactor.spans("xabcdefghix") == [(1, 10, "[REDACTED:pattern]")]


@pytest.mark.parametrize("gap", [" ", "\n", "\t", "\u00a0"])
def test_the_quick_look_misses_nothing_that_the_close_one_finds(gap):
    redactor = Redactor()
    text = f"Authorization: Bearer{gap}abcdefghijkl"
    assert redactor.text(text) != text
    assert redactor.may_hold_secret(text)


def test_what_fits_a_users_pattern_is_learnt_too():
    redactor = Redactor([re.compile(r"CORP-\d{6}")])
    redactor.learn("what is CORP-123456?")
    assert redactor.secrets == {"CORP-123456": "pattern"}
