"""What a token allows, held on a running gateway; what an operator sees of it; and TLS."""

from __future__ import annotations

import asyncio
import re
import ssl

import pytest
import trustme

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.errors import GatewayError
from chatapp.gateway.access import Access
from chatapp.gateway.meter import Meter
from chatapp.gateway.metrics import PrometheusMeter
from chatapp.gateway.pool import MOST_OPEN, BackendPool
from chatapp.gateway.server import Gateway
from chatapp.gateway.tokens import TokenFile
from chatapp.redaction import Secret
from chatapp.stream.events import Delta, Failed, Finished, Message, Sent
from tests.gateway.raw import OPENING, answer, connected
from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, now, serving, silent, until

pytestmark = pytest.mark.timeout(20)

STAGE = "stage-token-0123456789"
TEAM = "team-token-0123456789"
AUTH = {"Authorization": OPENING["Authorization"]}


def bearer(token):
    return {**OPENING, "Authorization": f"Bearer {token}"}


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(
        f'[tokens.stage]\ntoken = "{STAGE}"\nconnections = 1\nstreams = 1\nbackends = ["scripted"]\n'
        f'[tokens.team]\ntoken = "{TEAM}"\n'
    )
    return path


async def test_each_token_has_its_own_limits(token_file):
    backends = ScriptedBackend(silent), ScriptedBackend(echo, "other")
    async with serving(*backends, tokens=TokenFile(token_file)) as (_gateway, url):
        async with connected(url, headers=bearer(STAGE)) as client:
            status, text = await answer(url, headers=bearer(STAGE))
            assert (status, "Retry-After" in text) == (429, True)
            await client.say(model="other", input="hi")
            forbidden = await client.event()
            await client.say(model="scripted", input="hi", stream_id="a")
            await client.until("response.in_progress")
            await client.say(model="scripted", input="hi", stream_id="b")
            refused = await client.event()
            async with connected(url, headers=bearer(TEAM)) as other:
                await other.say(model="other", input="hi")
                await other.until("response.completed")
        listed = [(await answer(url, "/v1/models", bearer(token)))[1] for token in (STAGE, TEAM)]

    assert forbidden["error"]["code"] == "forbidden_model"
    assert refused["error"]["code"] == "too_many_streams"
    assert ['"id":"other"' in text for text in listed] == [False, True]


async def test_new_tokens_are_taken_without_dropping_a_stream(token_file):
    async with (
        serving(ScriptedBackend(echo), tokens=TokenFile(token_file)) as (gateway, url),
        connected(url, headers=bearer(STAGE)) as client,
    ):
        token_file.write_text(f'[tokens.new]\ntoken = "{TEAM}-new"\n')
        await until(lambda: gateway._access.tokens.grants[0].name == "new")
        assert (await answer(url, headers=bearer(STAGE)))[0] == 401
        async with connected(url, headers=bearer(f"{TEAM}-new")):
            pass
        await client.say(model="scripted", input="still here")
        await client.until("response.completed")


async def broken(request):
    yield Sent(now())
    yield Failed(now(), "server_error", "boom")


async def test_an_operator_sees_what_happened_and_only_with_the_token():
    meter = PrometheusMeter()
    backends = ScriptedBackend(echo), ScriptedBackend(broken, "broken")
    async with serving(*backends, meter=meter) as (gateway, url):
        async with connected(url) as client:
            for model, end in (("scripted", "response.completed"), ("broken", "response.failed"), ("nobody", "error")):
                await client.say(model=model, input="hi")
                await client.until(end)
            assert (await answer(url, "/metrics", {}))[0] == 401
            during = (await answer(url, "/metrics", AUTH))[1]
        await until(lambda: not gateway.connections)
        after = (await answer(url, "/metrics", AUTH))[1]

    def value(text, name):
        found = re.search(rf"^{re.escape(name)} ([0-9.e+-]+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    assert value(during, "chatapp_connections") == 1
    assert value(after, "chatapp_connections") == 0
    assert value(after, 'chatapp_responses_total{backend="scripted",outcome="done"}') == 1
    assert value(after, 'chatapp_responses_total{backend="broken",outcome="failed"}') == 1
    assert value(after, 'chatapp_upstream_errors_total{backend="broken",code="server_error"}') == 1
    assert value(after, 'chatapp_refused_requests_total{code="model_not_found"}') == 1
    assert value(after, 'chatapp_time_to_first_token_seconds_count{backend="scripted"}') == 1
    assert value(after, 'chatapp_inter_chunk_seconds_count{backend="scripted"}') == 2
    assert value(after, 'chatapp_output_tokens_total{backend="scripted"}') == 3
    assert value(after, "chatapp_deltas_sent_total") == 3
    assert value(after, "chatapp_delta_frames_total") >= 1
    assert value(after, "chatapp_loop_lag_seconds_count") >= 1


async def test_a_client_that_was_dropped_is_counted_by_reason():
    meter = PrometheusMeter()
    async with serving(ScriptedBackend(echo), meter=meter) as (gateway, url):
        async with connected(url) as client:
            await client.send(b"\x81\x81\0\0\0\0\xff")  # text that is no UTF-8
            await client.close_code()
        await until(lambda: not gateway._peers)
        text = (await answer(url, "/metrics", AUTH))[1]

    assert 'chatapp_dropped_clients_total{reason="protocol"} 1.0' in text


async def test_without_metrics_the_page_says_how_to_have_them():
    async with serving(ScriptedBackend(echo), meter=Meter()) as (_gateway, url):
        status, text = await answer(url, "/metrics", AUTH)

    assert (status, "--metrics" in text) == (404, True)


async def test_readiness_tells_of_a_drain():
    async with serving(ScriptedBackend(silent)) as (gateway, url), connected(url) as client:
        await client.say(model="scripted", input="hi")
        await client.until("response.in_progress")
        ready = await answer(url, "/readyz", {})
        draining = asyncio.create_task(gateway.drain(1.0))
        await asyncio.sleep(0)
        leaving = await answer(url, "/readyz", {})
        refused = await answer(url)
        await asyncio.gather(draining, client.close_code())

    assert (ready[0], '"streams":1' in ready[1]) == (200, True)
    assert (leaving[0], refused[0]) == (503, 503)


# TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    certificate.configure_cert(context)
    return context


async def served_over_tls(certificate):
    async def models():
        return []

    backend = ScriptedBackend(echo)
    gateway = Gateway(lambda name: backend, models, Access(TOKEN.reveal(), loopback=True))
    await gateway.listen("127.0.0.1", 0, tls=server_context(certificate))
    return gateway, f"wss://127.0.0.1:{gateway.port}/v1/responses"


async def test_text_passes_over_tls_and_the_list_too(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    gateway, url = await served_over_tls(authority.issue_cert("127.0.0.1"))
    try:
        connection = await Connection.open(url, TOKEN)
        events = [e async for e in connection.respond(ResponseCreate(model="scripted", input=(Message("user", "hi"),)))]
        assert list(await connection.models()) == []
        await connection.aclose()
    finally:
        await gateway.aclose()

    assert "".join(e.text for e in events if isinstance(e, Delta)) == "1 messages: hi"
    assert isinstance(events[-1], Finished)


async def test_a_certificate_nobody_vouches_for_is_refused_by_the_client(authority):
    gateway, url = await served_over_tls(authority.issue_cert("127.0.0.1"))
    try:
        with pytest.raises(GatewayError, match=r"(?i)certificate"):
            await Connection.open(url, TOKEN)
    finally:
        await gateway.aclose()


async def test_clear_text_on_a_tls_port_is_closed():
    gateway, url = await served_over_tls(trustme.CA().issue_cert("127.0.0.1"))
    try:
        with pytest.raises(GatewayError):
            await Connection.open(url.replace("wss:", "ws:"), TOKEN)
    finally:
        await gateway.aclose()


# The pool of backends


async def test_a_backend_is_opened_once_and_the_longest_unused_are_closed():
    opened, closed = [], []

    class Closing(ScriptedBackend):
        async def aclose(self):
            closed.append(self.info.name)

    def resolve(name):
        opened.append(name)
        return Closing(echo, name)

    pool = BackendPool(resolve)
    first, again = await asyncio.gather(pool.open("a"), pool.open("a"))
    assert first is again
    for number in range(MOST_OPEN):
        await pool.open(f"b{number}")
    await until(lambda: closed.count("a") == opened.count("a"))
    await pool.aclose()

    assert sorted(opened) == sorted(closed)


def test_secrets_of_tests_show_nowhere():
    assert STAGE not in repr(Secret("t", STAGE))
