"""Requests, refusals, retries, loading and cancelling of chat-completions servers, over loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from contextlib import aclosing

import openai
import pytest

from chatapp.backends.openai_chat import ChatBackend, warm_sdk
from chatapp.backends.openai_chat import ChatServer as Where
from chatapp.backends.patience import Patience
from chatapp.errors import BackendError
from chatapp.redaction import Secret
from chatapp.stream.events import (
    Delta,
    Failed,
    Finished,
    Message,
    Request,
    Sent,
)
from tests.backends.asking import ASK, CALM, INFO, CountingClock, asking, collect, events_of, kinds, text
from tests.integration.chat_server import (
    ChatServer,
    Close,
    Hold,
    Reply,
    answer,
    chunk,
    eventually,
    refusal,
)


async def test_what_is_sent():
    request = Request(
        (Message("developer", "d"), Message("user", "Hi"), Message("assistant", "Yo"), Message("user", "And?")),
        instructions="Be short.",
        max_output_tokens=7,
        temperature=0.5,
        seed=3,
        reasoning_effort="low",
    )
    async with asking(answer("x"), extra_body={"top_k": 4}, headers={"X-Extra": "1"}) as (server, backend):
        await collect(backend, request)
    (received,) = server.requests
    assert received.path == "/v1/chat/completions"
    assert received.body == {
        "model": "test-model",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "system", "content": "d"},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yo"},
            {"role": "user", "content": "And?"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0.5,
        "seed": 3,
        "reasoning_effort": "low",
        "top_k": 4,
    }
    assert received.headers["x-extra"] == "1"
    assert received.headers["accept-encoding"] == "identity"


async def test_openai_itself_gets_its_own_names(monkeypatch):
    request = Request((Message("developer", "d"),), max_output_tokens=7)
    options = {"developer_role": True, "max_tokens_field": "max_completion_tokens"}
    async with asking(answer("x"), **options) as (server, backend):
        await collect(backend, request)
    body = server.requests[0].body
    assert body["messages"] == [{"role": "developer", "content": "d"}]
    assert (body["max_completion_tokens"], "max_tokens" in body) == (7, False)


async def test_a_server_without_a_key_is_told_no_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-canary-canary")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
    async with asking(answer("x")) as (server, backend):
        await backend.warm()
        await collect(backend)
    assert "canary" not in str(server.requests[0].headers)
    assert "authorization" not in server.requests[0].headers


async def test_the_key_is_sent_as_a_bearer():
    async with asking(answer("x"), key=Secret("K", "sk-test-secret")) as (server, backend):
        await collect(backend)
    assert server.requests[0].headers["authorization"] == "Bearer sk-test-secret"


async def test_connection_is_kept_and_set_up_reported_apart():
    async with asking(answer("a b"), answer("c")) as (server, backend):
        first = await collect(backend)
        second = await collect(backend)
    assert (first[0].reused, set(first[0].connect_ns)) == (False, {"tcp"})
    assert (second[0].reused, second[0].connect_ns) == (True, {})
    assert server.connections == 1


async def test_warm_opens_the_connection_that_the_answer_uses():
    async with asking(answer("a")) as (server, backend):
        await backend.warm()
        sent = (await collect(backend))[0]
    assert sent.reused
    assert server.connections == 1


async def test_warm_accepts_a_server_without_a_list_of_models():
    async with asking(answer("a"), models=None) as (_server, backend):
        await backend.warm()


async def test_warm_refuses_what_cannot_be_reached():
    backend = ChatBackend(INFO, Where("http://127.0.0.1:9/v1"), patience=CALM)
    with pytest.raises(BackendError) as caught:
        await backend.warm()
    assert caught.value.code == "unreachable"
    await backend.aclose()


# --- refusals before the stream


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_key_names_the_variable_and_never_the_key(status):
    key = Secret("TEST_API_KEY", "sk-canary-0123456789abcdef")
    reply = refusal(status, f"Incorrect API key provided: {key.reveal()}")
    events = await events_of(reply, key=key, key_variable="TEST_API_KEY")
    (failure,) = events
    assert (failure.code, failure.status, failure.retryable) == ("auth", status, False)
    assert "TEST_API_KEY" in failure.hint
    assert "canary" not in repr(events)


async def test_unknown_model():
    (failure,) = await events_of(refusal(404, "model not found"))
    assert (failure.code, "model not found" in failure.message) == ("not_found", True)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
async def test_busy_servers_are_asked_again(status):
    clock = CountingClock()
    async with asking(refusal(status), refusal(status), answer("Hi"), clock=clock) as (server, backend):
        events = await collect(backend)
    assert kinds(events)[:2] == ["Notice", "Notice"]
    assert text(events) == "Hi "
    assert len(server.requests) == 3
    assert 0.25 <= clock.waits_s[0] <= 0.5 <= clock.waits_s[1] <= 1.0


async def test_retries_are_bounded():
    async with asking(refusal(503, "busy")) as (server, backend):
        events = await collect(backend)
    assert kinds(events) == ["Notice", "Notice", "Failed"]
    assert [e.kind for e in events[:2]] == ["retry", "retry"]
    assert "1 of 2" in events[0].message
    assert (events[-1].code, len(server.requests)) == ("server_error", 3)


async def test_retry_after_is_honoured_outside_every_figure():
    clock = CountingClock()
    replies = (refusal(429, headers={"Retry-After": "7"}), answer("Hi"))
    async with asking(*replies, clock=clock) as (server, backend):
        events = await collect(backend)
    assert clock.waits_s == [7.0]
    sent = next(e for e in events if isinstance(e, Sent))
    assert server.requests[0].at_ns < sent.at_ns < server.requests[1].at_ns


async def test_a_long_retry_after_is_told_not_waited_for():
    clock = CountingClock()
    (failure,) = await events_of(refusal(429, headers={"Retry-After": "3600"}), clock=clock)
    assert (failure.retry_after_s, clock.waits_s) == (3600.0, [])


async def test_no_retry_after_the_first_token():
    async with asking(Reply([chunk("Hel"), Close]), answer("again")) as (server, backend):
        await collect(backend)
    assert len(server.requests) == 1


async def test_kept_connection_that_the_server_closes_is_replaced_silently():
    def reply(request):
        return answer("Hi") if request.connection == 1 or len(server.requests) == 1 else Reply(vanish=True)

    async with asking(reply) as (server, backend):
        await collect(backend)
        events = await collect(backend)
    assert kinds(events) == ["Sent", "Delta", "Usage", "Finished"]
    assert [r.connection for r in server.requests] == [0, 0, 1]
    assert not events[0].reused


async def test_fresh_connection_that_the_server_closes_is_tried_again_visibly():
    async with asking(Reply(vanish=True), answer("Hi")) as (_server, backend):
        events = await collect(backend)
    assert kinds(events)[0] == "Notice"
    assert text(events) == "Hi "


async def test_redirect_is_named_not_followed():
    (failure,) = await events_of(Reply([], 301, {"Location": "https://elsewhere.test/v1"}))
    assert (failure.code, failure.status) == ("bad_request", 301)
    assert "https://elsewhere.test/v1" in failure.message


async def test_old_server_without_stream_options_is_asked_without():
    replies = (refusal(400, "unknown field stream_options"), answer("Hi", usage=False))
    async with asking(*replies) as (server, backend):
        events = await collect(backend)
        await collect(backend)
    assert text(events) == "Hi "
    assert ["stream_options" in r.body for r in server.requests] == [True, False, False]


async def test_endless_error_page_is_not_read_to_its_end():
    reply = Reply([b"x" * 8192 for _ in range(40)] + [Hold], 500, content_type="text/plain")
    (failure,) = await events_of(reply, patience=Patience(first_s=5.0, retries=0))
    assert failure.code == "server_error"


async def test_refused_connection():
    backend = ChatBackend(INFO, Where("http://127.0.0.1:9/v1"), patience=CALM, clock=CountingClock())
    events = await collect(backend)
    await backend.aclose()
    assert events[-1].code == "unreachable"
    assert events[-1].message == "127.0.0.1:9 cannot be reached: connection refused"


async def test_name_that_cannot_be_found(monkeypatch):
    async def getaddrinfo(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    backend = ChatBackend(INFO, Where("http://no-such-host.test/v1"), patience=CALM, clock=CountingClock())
    (failure,) = await collect(backend)
    await backend.aclose()
    assert (failure.code, failure.retryable) == ("dns", False)
    assert "no-such-host.test" in failure.message


async def test_https_asked_of_a_plain_server():
    async def refuse(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        backend = ChatBackend(INFO, Where(f"https://127.0.0.1:{port}/v1"), patience=CALM, clock=CountingClock())
        (failure,) = await collect(backend)
        await backend.aclose()
    assert failure.code == "tls"


# --- cancelling


@pytest.mark.parametrize("before_text", [True, False])
async def test_cancelling_closes_the_upstream_at_once(before_text):
    steps = [Hold] if before_text else [chunk("a"), Hold]
    async with asking(Reply(steps), patience=Patience()) as (server, backend):
        task = asyncio.create_task(collect(backend))
        await eventually(lambda: server.requests and (before_text or server.requests[0].sent))
        cancelled_ns = time.monotonic_ns()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await eventually(lambda: server.requests[0].left_ns)
        assert server.requests[0].left_ns - cancelled_ns < 100_000_000


async def test_cancelling_before_the_head():
    async with asking(Reply(before=30.0), patience=Patience()) as (server, backend):
        task = asyncio.create_task(collect(backend))
        await eventually(lambda: server.requests)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await eventually(lambda: server.requests[0].left_ns)


async def test_closing_the_generator_closes_the_upstream():
    async with asking(Reply([chunk("a"), Hold])) as (server, backend):
        async with aclosing(backend.stream(ASK)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await eventually(lambda: server.requests[0].left_ns)


# --- loading


async def test_a_server_that_loads_on_demand_is_loaded_before_anything_is_measured():
    loaded = Reply([b'{"choices":[]}'], content_type="application/json", framing="length")
    async with asking(loaded, answer("Hi"), loads_on_demand=True) as (server, backend):
        events = await collect(backend)
        await collect(backend)
    assert (events[0].kind, "loading model" in events[0].message) == ("progress", True)
    assert text(events) == "Hi "
    first, *others = server.requests
    assert (first.body["max_tokens"], first.body["stream"], len(others)) == (1, False, 2)


async def test_what_cannot_be_loaded_fails_before_anything_is_measured():
    events = await events_of(refusal(404, "no such model"), loads_on_demand=True)
    assert kinds(events) == ["Notice", "Failed"]


async def test_warm_loads_too():
    async with asking(refusal(404, "no such model"), loads_on_demand=True) as (_server, backend):
        with pytest.raises(BackendError, match="no such model"):
            await backend.warm()


async def test_warm_raises_what_the_server_refuses():
    async with ChatServer(answer("x"), models=None) as server:
        server._list_models = lambda: refusal(401, "bad key")
        backend = ChatBackend(INFO, Where(server.base_url), patience=CALM)
        with pytest.raises(BackendError, match="bad key"):
            await backend.warm()
        await backend.aclose()


async def test_warming_the_sdk_asks_nobody_and_only_once(monkeypatch):
    monkeypatch.setattr("chatapp.backends.openai_chat._sdk_is_warm", False)
    await warm_sdk()
    monkeypatch.setattr(openai, "AsyncOpenAI", None)
    await warm_sdk()


async def test_closing_twice_is_closing_once():
    backend = ChatBackend(INFO, Where("http://127.0.0.1:9/v1"))
    await backend.aclose()
    await backend.aclose()


def test_failed_and_finished_are_the_only_ends():
    assert not issubclass(Failed, Finished)
