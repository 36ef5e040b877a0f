"""The Responses API over WebSocket as an upstream: official servers' frames, their ends and their refusals."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import aclosing
from http import HTTPStatus

import pytest
from websockets.asyncio.server import serve

from chatapp.backends import openai_responses
from chatapp.backends.openai_responses import ResponsesBackend, websocket_url
from chatapp.backends.patience import Patience
from chatapp.errors import BackendError
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Notice, Request, Sent, Usage

INFO = BackendInfo("test/m", "Test", "live", "Test", "m")
ASK = Request((Message("user", "Hi"),), instructions="Be short.", max_output_tokens=9)

CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
PROGRESS = {"type": "response.in_progress", "response": {"id": "resp_1"}}
COMPLETED = {
    "type": "response.completed",
    "response": {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2}},
}


def delta(text, kind="output_text"):
    return {"type": f"response.{kind}.delta", "delta": text, "item_id": "i", "output_index": 0}


ANSWER = (CREATED, PROGRESS, delta("Hel"), delta("lo"), COMPLETED)


class Server:
    """A server that answers each request with the next list of frames; a callable is given the connection."""

    def __init__(self, *answers, **options):
        self.answers, self.options = list(answers), options
        self.requests, self.headers = [], []
        self.gone = asyncio.Event()

    async def _handle(self, connection):
        self.headers.append(connection.request.headers)
        with contextlib.suppress(Exception):
            async for message in connection:
                self.requests.append(json.loads(message))
                for frame in self.answers[min(len(self.requests), len(self.answers)) - 1]:
                    if callable(frame):
                        await frame(connection)
                    else:
                        await connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)
        await connection.wait_closed()
        self.gone.set()

    async def __aenter__(self):
        self._server = await serve(self._handle, "127.0.0.1", 0, **self.options)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_exc):
        self._server.close()
        await self._server.wait_closed()


async def hold(connection):
    await connection.wait_closed()


async def close(connection):
    await connection.close(1011, "internal \x1b[2J")


@contextlib.asynccontextmanager
async def asking(*answers, patience=None, key=None, **options):
    async with Server(*answers, **options) as server:
        backend = ResponsesBackend(INFO, base_url=server.url, key=key, key_variable="T_KEY", patience=patience)
        try:
            yield server, backend
        finally:
            await backend.aclose()


async def collect(backend):
    async with aclosing(backend.stream(ASK)) as events:
        return [event async for event in events]


async def events_of(*answers, **options):
    async with asking(*answers, **options) as (_server, backend):
        return await collect(backend)


def text(events):
    return "".join(e.text for e in events if isinstance(e, Delta))


async def test_an_answer():
    async with asking(ANSWER, key=Secret("K", "sk-test-secret")) as (server, backend):
        sent, *rest = await collect(backend)
    assert isinstance(sent, Sent)
    assert (set(sent.connect_ns), sent.reused) == ({"websocket"}, False)
    assert text(rest) == "Hello"
    assert rest[-2] == Usage(3, 2)
    assert rest[-1].reason == "stop"
    assert sent.at_ns < rest[0].at_ns
    (request,) = server.requests
    assert request["type"] == "response.create"
    assert (request["model"], request["instructions"], request["max_output_tokens"]) == ("m", "Be short.", 9)
    assert server.headers[0]["Authorization"] == "Bearer sk-test-secret"


async def test_reasoning_and_length():
    incomplete = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}
    events = await events_of((CREATED, PROGRESS, delta("hm", "reasoning_text"), delta("Hi"), incomplete))
    assert [e.channel for e in events if isinstance(e, Delta)] == ["reasoning", "answer"]
    assert events[-1].reason == "length"


async def test_what_is_no_frame_is_passed_over():
    assert text(await events_of((CREATED, "nonsense", {"type": "response.new_thing"}, *ANSWER[1:]))) == "Hello"


async def test_the_connection_is_kept_and_warmed():
    async with asking(ANSWER) as (server, backend):
        await backend.warm()
        await backend.warm()
        for _ in range(2):
            sent = (await collect(backend))[0]
            assert (sent.reused, sent.connect_ns) == (True, {})
    assert len(server.headers) == 1


async def test_an_old_connection_is_replaced_before_it_is_cut(monkeypatch):
    async with asking(ANSWER) as (server, backend):
        await collect(backend)
        monkeypatch.setattr(openai_responses, "MAX_AGE_S", 0.0)
        assert text(await collect(backend)) == "Hello"
    assert len(server.headers) == 2


LIMIT = {"type": "error", "status": 400, "error": {"code": "websocket_connection_limit_reached", "message": "60 min"}}


@pytest.mark.parametrize("worn_out", [(LIMIT,), (close,)])
async def test_a_kept_connection_that_ends_is_replaced_silently(worn_out):
    async with asking(ANSWER, worn_out, ANSWER) as (server, backend):
        await collect(backend)
        events = await collect(backend)
    assert text(events) == "Hello"
    assert not any(isinstance(e, Failed) for e in events)
    assert len(server.headers) == 2


async def test_a_fresh_connection_that_ends_fails():
    events = await events_of((close,))
    (failure,) = events
    assert (failure.code, failure.retryable) == ("truncated", True)
    assert "\x1b" not in failure.message


async def test_an_answer_that_breaks_off_is_truncated():
    events = await events_of((CREATED, PROGRESS, delta("Hel"), close))
    assert text(events) == "Hel"
    assert isinstance(events[-2], Notice)
    assert events[-1].reason == "truncated"


async def test_an_error_of_the_server():
    error = {"type": "error", "status": 429, "error": {"code": "rate_limited", "message": "slow \x1b[2Jdown"}}
    (failure,) = await events_of((error,))
    assert (failure.code, failure.status) == ("rate_limited", 429)
    assert failure.message.startswith("Test: slow")
    assert "\x1b" not in failure.message


async def test_an_unknown_code_is_the_servers():
    failed = {"type": "response.failed", "response": {"error": {"code": "kaputt", "message": "x"}}}
    assert (await events_of((CREATED, PROGRESS, failed)))[-1].code == "server_error"


@pytest.mark.parametrize(("frames", "code"), [((CREATED, hold), "timeout"), ((*ANSWER[:3], hold), "stalled")])
async def test_silence(frames, code):
    events = await events_of(frames, patience=Patience(first_s=0.2, idle_s=0.2))
    assert events[-1].code == code


async def test_cancelling_closes_the_connection_at_once():
    async with asking((*ANSWER[:3], hold)) as (server, backend):
        async with aclosing(backend.stream(ASK)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await asyncio.wait_for(server.gone.wait(), 1.0)


@pytest.mark.parametrize(
    ("status", "code"), [(HTTPStatus.UNAUTHORIZED, "auth"), (HTTPStatus.NOT_FOUND, "not_found"), (503, "server_error")]
)
async def test_a_refused_handshake(status, code):
    def refuse(connection, _request):
        return connection.respond(HTTPStatus(status), "no\n")

    (failure,) = await events_of(ANSWER, process_request=refuse)
    assert failure.code == code
    assert ("T_KEY" in failure.hint) == (code == "auth")


async def test_nothing_listens():
    backend = ResponsesBackend(INFO, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(BackendError) as caught:
        await backend.warm()
    assert (caught.value.code, caught.value.retryable) == ("unreachable", True)


async def test_no_handshake_in_time():
    async def silent(reader, writer):
        await reader.read()  # until the other side has given up
        writer.close()
        await writer.wait_closed()
        gone.set()

    gone = asyncio.Event()
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        backend = ResponsesBackend(INFO, base_url=f"ws://127.0.0.1:{port}", patience=Patience(connect_s=0.05))
        (failure,) = await collect(backend)
        await gone.wait()
    assert "no connection within 0.05 s" in failure.message


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.x.ai/v1/", "wss://api.x.ai/v1/responses"),
        ("http://127.0.0.1:8123/v1", "ws://127.0.0.1:8123/v1/responses"),
        ("wss://host/v1/responses", "wss://host/v1/responses"),
    ],
)
def test_the_address_beside_a_base_url(base, url):
    assert websocket_url(base) == url


def test_finished_is_the_only_whole_end():
    assert Finished(0).reason == "stop"
