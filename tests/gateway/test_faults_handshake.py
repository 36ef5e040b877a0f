"""Cases 1 to 12: who may connect, and what a broken opening gets."""

from __future__ import annotations

import asyncio
import logging
import socket
from urllib.parse import urlsplit

import pytest

from chatapp.errors import UsageError
from chatapp.gateway.peer import Limits
from tests.gateway.raw import OPENING, answer, ask, connected, request
from tests.gateway.scripted import ScriptedBackend, echo, serving, until

pytestmark = pytest.mark.timeout(10)


def without(*names):
    return {name: value for name, value in OPENING.items() if name not in names}


async def test_case_01_foreign_origin_is_forbidden_and_logged(caplog):
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, text = await answer(url, headers={**OPENING, "Origin": "https://evil.example"})

    assert status == 403
    assert "--allow-origin" in text
    assert "https://evil.example" in caplog.text


async def test_case_01_an_allowed_origin_may_connect():
    backend, headers = ScriptedBackend(echo), {**OPENING, "Origin": "https://Ours.example/"}
    async with serving(backend, origins=("https://ours.example",)) as (_gateway, url), connected(url, headers=headers):
        pass


async def test_case_02_origin_null_is_forbidden():
    async with serving(ScriptedBackend(echo), origins=("https://ours.example",)) as (_gateway, url):
        status, _text = await answer(url, headers={**OPENING, "Origin": "null"})

    assert status == 403


async def test_case_03_no_token_and_a_wrong_one_get_the_same_answer():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        answers = [
            await answer(url, headers=headers)
            for headers in (
                without("Authorization"),
                {**OPENING, "Authorization": "Bearer wrong"},
                {**OPENING, "Authorization": "Basic " + OPENING["Authorization"].split()[1]},
                {**OPENING, "Authorization": OPENING["Authorization"][:-1]},
            )
        ]

    assert {status for status, _text in answers} == {401}
    bodies = {text.rpartition("\n")[2] for _status, text in answers}
    assert len(bodies) == 1
    assert "WWW-Authenticate: Bearer" in answers[0][1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
async def test_case_04_a_rebound_host_is_misdirected(host):
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, _text = await answer(url, host=host)

    assert status == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80", "LOCALHOST"])
async def test_case_04_names_of_loopback_are_ours(host):
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, _text = await answer(url, "/healthz", host=host)

    assert status == 200


async def test_case_05_half_a_header_is_closed_at_the_deadline():
    async with serving(ScriptedBackend(echo), limits=Limits(open_s=0.1)) as (_gateway, url):
        async with asyncio.timeout(5):
            assert await ask(url, b"GET /v1/responses HTTP/1.1\r\nHost: 127.0") == b""


@pytest.mark.parametrize(
    "headers", [{**OPENING, "X": "y" * 9000}, OPENING | {f"X-{number}": "y" for number in range(200)}]
)
async def test_case_06_too_much_header_is_431(headers):
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, _text = await answer(url, headers=headers)

    assert status == 431


async def test_case_07_other_methods_and_old_http_are_refused():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        assert (await answer(url, method="POST"))[0] == 405
        assert (await answer(url, version="HTTP/1.0"))[0] == 505


async def test_case_08_a_tls_hello_on_the_plain_port_is_closed_with_a_hint_in_the_log(caplog):
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(200)
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        async with asyncio.timeout(5):
            assert not (await ask(url, hello)).startswith(b"HTTP/1.1 101")

    assert "--tls-cert" in caplog.text


async def test_case_09_health_needs_no_token():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, text = await answer(url, "/healthz", {})

    assert status == 200
    assert '"status":"ok"' in text


async def test_case_10_another_websocket_version_is_refused_naming_both():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, text = await answer(url, headers={**OPENING, "Sec-WebSocket-Version": "8"})

    assert status == 426
    assert "version 8 is not spoken here, only 13" in text
    assert "Sec-WebSocket-Version: 13" in text


async def test_case_10_an_unknown_subprotocol_is_refused_by_name():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, text = await answer(url, headers={**OPENING, "Sec-WebSocket-Protocol": "mqtt"})

    assert status == 400
    assert "mqtt" in text


async def test_case_11_one_connection_too_many_is_503_and_told_when_to_return():
    async with serving(ScriptedBackend(echo), most_connections=2) as (gateway, url):
        async with connected(url), connected(url):
            status, text = await answer(url)
        assert (status, "Retry-After: " in text) == (503, True)
        await until(lambda: not gateway.connections)
        async with connected(url):
            pass


@pytest.mark.parametrize(
    ("host", "says"), [("taken", "in use"), ("192.0.2.1", "cannot listen on"), ("no such host", "cannot listen on")]
)
async def test_case_12_an_address_that_cannot_be_listened_on_is_one_clear_line(host, says):
    async with serving(ScriptedBackend(echo)) as (gateway, _url):
        port = gateway.port if host == "taken" else 0
        with pytest.raises(UsageError, match=says) as caught:
            await gateway.listen("127.0.0.1" if host == "taken" else host, port)

    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message


async def test_unknown_paths_are_404_and_name_the_known_ones():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, text = await answer(url, "/v2/nothing")

    assert status == 404
    assert "/v1/responses" in text


async def test_a_plain_get_of_the_websocket_path_is_told_to_upgrade():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        status, text = await answer(url, headers={"Authorization": OPENING["Authorization"]})

    assert status == 426
    assert "Upgrade: websocket" in text


async def test_what_can_be_chosen_is_listed_to_whoever_has_the_token():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        assert (await answer(url, "/v1/models", {}))[0] == 401
        status, text = await answer(url, "/v1/models", {"Authorization": OPENING["Authorization"]})

    assert status == 200
    assert '"id":"scripted"' in text
    assert '"simulated":false' in text


async def test_a_list_that_cannot_be_made_is_an_error_and_not_a_hang(caplog):
    async with serving(ScriptedBackend(echo)) as (gateway, url):

        async def broken():
            raise RuntimeError("no list")

        gateway._pages._models = broken
        status, _text = await answer(url, "/v1/models", {"Authorization": OPENING["Authorization"]})

    assert status == 500
    assert "no list" in caplog.text


async def test_two_hosts_are_no_host():
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        raw = request("/healthz", {"host": "localhost"})
        assert b" 421 " in await ask(url, raw)


async def test_the_oldest_of_too_many_that_have_not_shown_a_token_makes_room(monkeypatch):
    monkeypatch.setattr("chatapp.gateway.server.MOST_OPENING", 2)
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        port = urlsplit(url).port
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        await asyncio.sleep(0.05)
        async with connected(url):
            held[0].settimeout(5)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(held[0].recv, 1)
        for sock in held:
            sock.close()


def test_logging_is_not_disturbed():
    assert logging.getLogger("chatapp.gateway.wire").level == logging.WARNING
