"""Error bodies of every shape that was met, and what must never get out of them."""

from __future__ import annotations

import json

import pytest

from chatapp.errors import BackendError
from chatapp.protocol.failures import (
    as_error,
    clean,
    code_of_status,
    failed,
    failure_from_body,
    page_text,
    retry_after,
    says_error,
)
from chatapp.redaction import Secret


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (401, "auth"),
        (403, "auth"),
        (404, "not_found"),
        (408, "timeout"),
        (418, "bad_request"),
        (429, "rate_limited"),
        (500, "server_error"),
        (504, "timeout"),
        (529, "server_error"),
    ],
)
def test_status_decides_the_code(status, code):
    assert code_of_status(status) == code
    assert failure_from_body(b"", at_ns=0, status=status).code == code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "no such model"}}, "no such model"),
        ({"error": "model not loaded"}, "model not loaded"),  # Ollama
        ({"message": "wrong key", "type": "auth"}, "wrong key"),  # Cerebras
        ([{"error": {"message": "quota"}}], "quota"),  # Google's compatible endpoint
        ({"detail": "Not Found"}, "Not Found"),  # FastAPI
        ({"error": {"code": 5}}, "gave no reason"),
        ([], "[]"),
        ("plain", '"plain"'),
        ({"error": 7}, '{"error": 7}'),
    ],
)
def test_shapes_of_error_bodies(body, message):
    failure = failure_from_body(json.dumps(body).encode(), at_ns=0, status=400, where="Test")
    assert failure.message.startswith("Test: HTTP 400: ")
    assert message in failure.message or message == "gave no reason"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "x", "type": "rate_limit_error"}, "rate_limited"),
        ({"message": "x", "code": "invalid_api_key"}, "auth"),
        ({"message": "x", "type": "overloaded_error"}, "server_error"),
        ({"message": "x", "code": "context_length_exceeded"}, "bad_request"),
        ({"message": "x", "code": 429}, "rate_limited"),  # OpenRouter: the upstream's status
        ({"message": "x", "code": 400, "type": "authentication_error"}, "auth"),
        ({"message": "x"}, "server_error"),
    ],
)
def test_an_error_inside_a_stream_has_no_status(error, code):
    assert failure_from_body(json.dumps({"error": error}).encode(), at_ns=5).code == code


def test_used_up_quota_is_not_worth_a_retry():
    body = json.dumps({"error": {"message": "pay", "code": "insufficient_quota"}}).encode()
    assert not failure_from_body(body, at_ns=0, status=429).retryable
    assert failure_from_body(b"{}", at_ns=0, status=429).retryable


def test_an_html_page_is_quoted_as_text_and_cut():
    page = (
        b"<html><head><title>t</title><style>x{}</style></head><body><script>1</script><h1>502 Bad</h1>\n<p>"
        + b"y" * 999
    )
    text = page_text(page)
    assert text.startswith("502 Bad yyy")
    assert len(text) == 200


def test_nothing_of_a_server_controls_the_terminal():
    body = json.dumps({"error": {"message": "\x1b]52;c;aGk=\x07\u202e\x9b2J"}}).encode()
    message = failure_from_body(body, at_ns=0, status=500).message
    assert "\x1b" not in message
    assert "\x9b" not in message
    assert "\u202e" not in message


def test_a_key_that_the_server_repeats_is_redacted_even_where_the_cut_falls_into_it():
    key = Secret("TEST_KEY", "canary-" + "k" * 40)
    message = "x" * 180 + " " + key.reveal() + " is wrong"
    failure = failure_from_body(json.dumps({"error": {"message": message}}).encode(), at_ns=0, status=401)
    assert "canary" not in failure.message
    assert "kkkk" not in failure.message


@pytest.mark.parametrize(("body", "says"), [(b'{"error":"x"}', True), (b'{"hello":1}', False), (b"<p>", False)])
def test_says_error(body, says):
    assert says_error(body) is says


def test_deep_nesting_is_only_a_body():
    assert failure_from_body(b"[" * 100_000, at_ns=0, status=500).code == "server_error"


def test_failed_takes_the_codes_usual_hint_and_retryability():
    failure = failed("unreachable", "m", at_ns=3)
    assert (failure.at_ns, failure.retryable, bool(failure.hint)) == (3, True, True)
    assert failed("unreachable", "m", at_ns=3, hint="h", retryable=False).hint == "h"
    assert failed("loading_failed", "m", at_ns=3).hint == ""


def test_as_error_keeps_everything():
    error = as_error(failed("rate_limited", "slow", at_ns=0, status=429, retry_after_s=2.0))
    assert isinstance(error, BackendError)
    assert (error.code, error.status, error.retryable, error.retry_after_s) == ("rate_limited", 429, True, 2.0)


def test_clean_joins_white_space():
    assert clean(" a\n\tb  c ", limit=10) == "a b c"


NOW_S = 1_795_000_000.0  # Wed, 18 Nov 2026 11:06:40 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Wed, 18 Nov 2026 11:07:10 GMT"}, 30.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:06:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:07:10 -0000"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "99999999"}, None),
    ],
)
def test_retry_after_in_both_forms(headers, seconds):
    assert retry_after(headers, now_s=NOW_S) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens-minute": "33.01"}, 33.01),
        (
            {
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-requests": "9m",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "2s",
            },
            2.0,
        ),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "2s"}, None),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-reset-tokens": ""}, None),
        ({"retry-after": "3", "x-ratelimit-reset-tokens": "9s"}, 3.0),
        ({}, None),
    ],
)
def test_without_retry_after_the_limits_that_are_used_up_say_how_long(headers, seconds):
    assert retry_after(headers, now_s=0.0) == seconds
