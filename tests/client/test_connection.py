from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from websockets.asyncio.server import serve

from chatapp.client.connection import MOST_WAITING, Connection, ResponseCreate
from chatapp.errors import GatewayError
from chatapp.redaction import Secret
from chatapp.stream.events import Delta, Failed, Finished, Message, Notice, Sent, Usage
from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, endless, now, serving, until

pytestmark = pytest.mark.timeout(20)

HELLO = (Message("user", "hi"),)
ASK = ResponseCreate(model="scripted", input=HELLO)


@asynccontextmanager
async def talking(*backends):
    async with serving(*backends) as (gateway, url):
        connection = await Connection.open(url, TOKEN)
        try:
            yield gateway, connection
        finally:
            await connection.aclose()


async def test_what_the_backend_yields_is_what_the_screen_gets():
    async def script(request):
        yield Notice("progress", "loading", 0.5)
        yield Sent(now(), "kernel", {"tcp": 1_000_000}, False, "req_1")
        yield Delta("hello", now(), "answer", 2, 3000)
        yield Usage(1, 2, 0, 0)
        yield Finished(now(), "stop", {"server": "test"})

    async with talking(ScriptedBackend(script)) as (_gateway, connection):
        pairs = [pair async for pair in connection.exchange(ASK)]
    events = [event for event, _decoder in pairs]
    decoder = pairs[-1][1]

    assert [type(event) for event in events] == [Notice, Sent, Delta, Usage, Finished]
    assert events[0] == Notice("progress", "loading", 0.5)
    assert (events[1].source, events[1].request_id) == ("kernel", "req_1")
    assert (events[2].text, events[2].tokens, events[2].uncertainty_ns) == ("hello", 2, 3000)
    assert events[4].provenance == {"server": "test", "response_id": decoder.response_id}
    assert decoder.info is not None
    assert decoder.info.name == "scripted"
    # One machine, one monotonic clock: the stamps are the backend's own.
    assert events[1].at_ns <= events[2].at_ns <= events[4].at_ns <= now()


async def test_many_answers_at_once_do_not_mix():
    async with talking(ScriptedBackend(echo)) as (_gateway, connection):

        async def ask(number):
            request = ResponseCreate(model="scripted", input=(Message("user", f"number {number}"),))
            return "".join([e.text async for e in connection.respond(request) if isinstance(e, Delta)])

        texts = await asyncio.gather(*(ask(number) for number in range(12)))

    assert texts == [f"1 messages: number {number}" for number in range(12)]


async def test_an_answer_is_continued_by_its_id():
    backend = ScriptedBackend(echo)
    async with talking(backend) as (_gateway, connection):
        pairs = [pair async for pair in connection.exchange(ASK)]
        known = pairs[-1][1].response_id
        follow = ResponseCreate(model="scripted", input=(Message("user", "more"),), previous_response_id=known)
        _ = [event async for event in connection.respond(follow)]

    assert [message.role for message in backend.requests[1].messages] == ["user", "assistant", "user"]


async def test_closing_the_answer_cancels_it_and_nothing_else():
    backend = ScriptedBackend(endless)
    async with talking(backend, ScriptedBackend(echo, "echo")) as (_gateway, connection):
        answer = connection.respond(ASK)
        async for event in answer:
            if isinstance(event, Delta):
                break
        await answer.aclose()
        await until(lambda: backend.closed_early == 1)
        events = [event async for event in connection.respond(ResponseCreate(model="echo", input=HELLO))]

    assert isinstance(events[-1], Finished)


async def test_an_answer_that_nobody_reads_is_bounded_and_can_still_be_closed():
    async def flood(request):
        yield Sent(now())
        while True:
            yield Delta("x" * 2000, now())
            await asyncio.sleep(0)

    backend = ScriptedBackend(flood)
    async with talking(backend) as (_gateway, connection):
        answer = connection.respond(ASK)
        async for event in answer:
            if isinstance(event, Delta):
                break
        (queue,) = connection._streams.values()
        await until(queue.full)
        assert queue.qsize() == MOST_WAITING
        await answer.aclose()
        await until(lambda: backend.closed_early == 1)


async def test_a_refused_request_is_a_failure_of_its_answer():
    async with talking(ScriptedBackend(echo)) as (_gateway, connection):
        (failure,) = [e async for e in connection.respond(ResponseCreate(model="nobody", input=HELLO))]

    assert isinstance(failure, Failed)
    assert (failure.code, failure.status) == ("model_not_found", 404)


async def test_a_lost_gateway_ends_every_answer_and_keeps_what_came():
    async with serving(ScriptedBackend(endless)) as (gateway, url):
        connection = await Connection.open(url, TOKEN)
        answers = [connection.respond(ASK) for _ in range(2)]
        for answer in answers:
            async for event in answer:
                if isinstance(event, Delta):
                    break
        await gateway.aclose()
        lasts = [[event async for event in answer][-1] for answer in answers]
        assert not connection.alive
        after = [event async for event in connection.respond(ASK)]
        await connection.aclose()

    assert [last.code for last in lasts] == ["gateway_lost", "gateway_lost"]
    assert "1001" in lasts[0].message
    assert [event.code for event in after] == ["gateway_lost"]


async def test_what_can_be_chosen_is_listed():
    async with talking(ScriptedBackend(echo), ScriptedBackend(echo, "sim", "simulated")) as (_gateway, connection):
        models = await connection.models()

    assert [(model.name, model.label, model.simulated) for model in models] == [
        ("scripted", "Scripted", False),
        ("sim", "Sim", True),
    ]


async def test_a_list_that_cannot_be_had_is_said():
    async with serving(ScriptedBackend(echo)) as (gateway, url):
        connection = await Connection.open(url, TOKEN)
        connection._token = Secret("wrong", "wrong-token-0123456789")
        with pytest.raises(GatewayError, match="401"):
            await connection.models()
        await gateway.aclose()
        with pytest.raises(GatewayError, match="does not list"):
            await connection.models()
        await connection.aclose()


async def test_a_refusal_says_what_to_do_and_never_the_token():
    wrong = Secret("wrong", "wrong-token-0123456789")
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        with pytest.raises(GatewayError, match="401") as caught:
            await Connection.open(url, wrong)

    assert "CHATAPP_GATEWAY_TOKEN" in caught.value.hint
    assert wrong.reveal() not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ws://127.0.0.1:1/v1/responses", "cannot be reached"),
        ("http://127.0.0.1:1/v1/responses", "not the address"),
        ("ws://no-such-host.invalid/v1/responses", "cannot be reached"),
    ],
)
async def test_an_address_without_a_gateway_is_one_line(url, says):
    with pytest.raises(GatewayError, match=says) as caught:
        await Connection.open(url, TOKEN)
    assert "\n" not in caught.value.message


async def test_another_server_of_the_protocol_is_read_without_the_extensions():
    asked = []

    async def openai_like(socket):
        async for message in socket:
            asked.append(json.loads(message))
            for event in (
                {"type": "response.created", "response": {"id": "resp_9"}},
                {"type": "response.in_progress", "response": {"id": "resp_9"}},
                {"type": "response.something_new"},
                {"type": "response.output_text.delta", "delta": "Hi", "logprobs": []},
                {"type": "response.completed", "response": {"id": "resp_9", "usage": {"input_tokens": 1}}},
            ):
                await socket.send(json.dumps(event))
            await socket.send("not json")

    async with serve(openai_like, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await Connection.open(f"ws://127.0.0.1:{port}/v1/responses")
        before = now()
        events = [event async for event in connection.respond(ASK)]
        await connection.aclose()

    assert [type(event) for event in events] == [Sent, Delta, Usage, Finished]
    assert before <= events[0].at_ns <= events[1].at_ns <= events[3].at_ns <= now()
    assert "compact" not in asked[0]
    assert set(asked[0]) <= {"type", "model", "input", "store", "stream_id"}


async def test_what_follows_a_loss_is_said_by_whoever_opened_the_connection():
    async with serving(ScriptedBackend(endless)) as (gateway, url):
        connection = await Connection.open(url, TOKEN, when_lost="the next prompt connects again")
        answer = connection.respond(ASK)
        async for event in answer:
            if isinstance(event, Delta):
                break
        await gateway.aclose()
        lost = [event async for event in answer][-1]
        await connection.aclose()

    assert (lost.code, lost.hint) == ("gateway_lost", "the next prompt connects again")


@pytest.mark.parametrize(
    ("days", "says"), [((-9, -1), "certificate has expired"), ((-1, 9), "unable to get local issuer certificate")]
)
async def test_a_certificate_that_is_not_accepted_is_said_in_words(days, says, tmp_path, monkeypatch):
    authority = trustme.CA()
    first, last = (datetime.now(tz=UTC) + timedelta(days=each) for each in days)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_before=first, not_after=last).configure_cert(server)
    if days[1] < 0:  # trusted, and of no use
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serving(ScriptedBackend(echo), tls=server) as (_gateway, url):
        with pytest.raises(GatewayError, match="cannot be reached: its certificate is not accepted: ") as caught:
            await Connection.open(url.replace("ws://127.0.0.1", "wss://localhost"), TOKEN)

    assert says in caught.value.message
    assert "_ssl.c" not in caught.value.message
