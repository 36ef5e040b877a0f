from __future__ import annotations

import pytest
from websockets.datastructures import Headers

from chatapp.gateway.access import Access, Refusal, host_name

TOKEN = "token-of-the-tests-0123456789"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.org:80", "example.org"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("localhost", "localhost"),
        (None, ""),
    ],
)
def test_a_host_is_known_by_its_name(host, name):
    assert host_name(host) == name


def test_off_loopback_any_host_may_be_named_but_no_origin():
    access = Access(TOKEN, loopback=False)

    assert access.check_place(Headers(Host="gateway.example.org")) is None
    refusal = access.check_place(Headers({"Host": "gateway.example.org", "Origin": "https://evil.example"}))
    assert refusal is not None
    assert refusal.status == 403


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization"])
def test_a_header_that_is_there_twice_is_trusted_in_no_way(name):
    access = Access(TOKEN, loopback=True, origins=("https://ours.example",))
    headers = Headers([("Host", "localhost"), ("Authorization", f"Bearer {TOKEN}")])
    headers[name] = {"Host": "localhost", "Origin": "https://ours.example", "Authorization": f"Bearer {TOKEN}"}[name]
    headers[name] = {"Host": "localhost", "Origin": "https://ours.example", "Authorization": f"Bearer {TOKEN}"}[name]

    assert access.check_place(headers) is not None or isinstance(access.check_token(headers), Refusal)
