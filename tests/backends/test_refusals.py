"""Exceptions of SDK and network as failures that a person can act on."""

from __future__ import annotations

import ssl

import httpx2
import openai
import pytest

from chatapp.backends.dialing import DialError
from chatapp.backends.refusals import explain

REQUEST = httpx2.Request("POST", "http://provider.test/v1/chat/completions")


def caused(outer, *causes):
    """Chain exceptions as `raise ... from ...` does."""
    current = outer
    for cause in causes:
        current.__cause__ = cause
        current = cause
    return outer


def connection_error(*causes):
    return caused(openai.APIConnectionError(request=REQUEST), *causes)


@pytest.mark.parametrize(
    ("exc", "code", "words", "retryable"),
    [
        (connection_error(httpx2.ConnectError("x"), DialError("dns", "no such name")), "dns", "no such name", False),
        (connection_error(DialError("unreachable", "refused")), "unreachable", "Test: refused", True),
        (connection_error(DialError("unreachable", "Test is down")), "unreachable", "Test is down", True),
        (connection_error(httpx2.ConnectError("x"), ssl.SSLError(1, "wrong version")), "tls", "wrong version", False),
        (connection_error(httpx2.ConnectTimeout("too slow")), "unreachable", "too slow", True),
        (openai.APITimeoutError(REQUEST), "unreachable", "the connection broke", True),
        (caused(openai.APITimeoutError(REQUEST), httpx2.ReadTimeout("t")), "timeout", "no answer in time", True),
        (TimeoutError(), "timeout", "no answer in time", True),
        (connection_error(httpx2.ProxyError("407")), "unreachable", "the proxy refused: 407", False),
        (httpx2.UnsupportedProtocol("gopher"), "unreachable", "not a usable address", False),
        (httpx2.InvalidURL("bad"), "unreachable", "not a usable address", False),
        (connection_error(httpx2.RemoteProtocolError("gone")), "unreachable", "the connection broke: gone", True),
        (httpx2.ReadError("reset"), "unreachable", "the connection broke: reset", True),
        (connection_error(httpx2.ReadError("")), "unreachable", "ReadError", True),
        (ValueError("what"), "bad_stream", "what", False),
        (ValueError(), "bad_stream", "ValueError", False),
    ],
)
def test_what_failed_by_its_name(exc, code, words, retryable):
    failure = explain(exc, where="Test")
    assert (failure.code, failure.retryable) == (code, retryable)
    assert words in failure.message
    assert failure.message.startswith("Test")


def test_a_certificate_is_explained_in_openssls_own_words():
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    assert "self-signed certificate" in explain(connection_error(error), where="Test").message


def test_causes_in_a_circle_end():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert explain(one, where="Test").code == "bad_stream"


def status_error(status, content=b"", **headers):
    response = httpx2.Response(status, headers=headers, content=content, request=REQUEST)
    return openai.APIStatusError("x", response=response, body=None)


def test_retry_after_is_read_from_the_headers():
    assert explain(status_error(429, **{"Retry-After": "3"}), where="Test").retry_after_s == 3.0


def test_key_variable_is_named_where_there_is_one():
    assert "K" in explain(status_error(401), where="Test", key_variable="K").hint
    assert "backends list" in explain(status_error(401), where="Test").hint
    unsent = explain(status_error(401), where="Test", key_variable="K", key_sent=False)
    assert unsent.hint == "it wants a key: export K=..."


def test_a_redirect_to_nowhere():
    assert "redirects to nowhere" in explain(status_error(302), where="Test").message
