from __future__ import annotations

import pytest

from chatapp.addresses import host_and_port, is_literal, is_loopback, is_this_machine


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", None, "10.0.0.1", "192.0.2.1", "0.0.0.0", "::", "::2", "example.org"),
        *("127.example.com", "127.0.0.1.example.org", "localhost.example.com", "localhost.x"),
    ],
)
def test_any_other_machine(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1/v1", True),
        ("ws://127.0.0.1:1/v1/responses", True),
        ("http://127.8.8.8/", True),
        ("ws://[::1]:1/v1/responses", True),
        ("http://127.example.com", False),
        ("ws://127.0.0.1.example.com:1/v1/responses", False),
        ("ws://[2001:db8::1]:1/v1/responses", False),
        ("https://api.example.com", False),
        ("ws://localhost.x:1/v1/responses", False),
        ("nonsense", False),
    ],
)
def test_the_machine_of_a_url(url, here):
    assert is_this_machine(url) is here


def test_addresses_need_no_look_up():
    assert is_literal("10.0.0.1")
    assert is_literal("::1")
    assert not is_literal("example.com")


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://api.example.com/v1", ("api.example.com", 443)),
        ("wss://api.example.com/v1/responses", ("api.example.com", 443)),
        ("http://user:pass@127.0.0.1:8000/v1", ("127.0.0.1", 8000)),
        ("ws://[::1]/v1", ("::1", 80)),
    ],
)
def test_where_the_server_of_a_url_is(url, where):
    assert host_and_port(url) == where
