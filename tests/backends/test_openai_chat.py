"""Chat-completions servers with true dialects and true faults, over loopback sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import socket
import sys
import time
from contextlib import aclosing
from functools import partial

import httpx2
import openai
import pytest

from chatapp.backends import arrival_clock
from chatapp.backends.openai_chat import ChatBackend, warm_sdk
from chatapp.backends.openai_chat import ChatServer as Where
from chatapp.backends.patience import Patience
from chatapp.backends.transport import TimedTransport
from chatapp.clock import NS_PER_S, VirtualClock
from chatapp.errors import BackendError
from chatapp.protocol.sse import SseDecoder
from chatapp.redaction import Secret
from chatapp.stream.events import (
    BackendInfo,
    Delta,
    Failed,
    Finished,
    Message,
    Notice,
    Request,
    Sent,
    ServerTiming,
    Usage,
)
from tests.integration.chat_server import (
    DONE,
    ChatServer,
    Close,
    Hold,
    Reply,
    Reset,
    Sleep,
    answer,
    chunk,
    eventually,
    refusal,
    sse,
    usage_chunk,
)

INFO = BackendInfo("test/test-model", "Test", "live", "Test", "test-model")
ASK = Request((Message("user", "Hi"),))
CALM = Patience(connect_s=10.0, first_s=20.0, idle_s=20.0)
"""Longer than a loaded machine ever takes: what ends by itself must not end by a timeout."""
HASTE = Patience(connect_s=10.0, first_s=0.3, idle_s=0.3)
"""For servers that never come to an end."""


class CountingClock(VirtualClock):
    """A virtual clock that notes each wait and is there at once."""

    def __init__(self):
        super().__init__()
        self.waits_s = []

    async def sleep_until(self, deadline_ns):
        self.waits_s.append((deadline_ns - self.now_ns()) / NS_PER_S)


@contextlib.asynccontextmanager
async def asking(*replies, patience=CALM, clock=None, models=("test-model",), **where):
    """Yield a server with these replies, and a backend for it."""
    async with ChatServer(*replies, models=models) as server:
        backend = ChatBackend(INFO, Where(server.base_url, **where), patience=patience, clock=clock or CountingClock())
        try:
            yield server, backend
        finally:
            await backend.aclose()


async def collect(backend, request=ASK):
    async with aclosing(backend.stream(request)) as events:
        return [event async for event in events]


async def events_of(*replies, request=ASK, **options):
    async with asking(*replies, **options) as (_server, backend):
        return await collect(backend, request)


def text(events, channel="answer"):
    return "".join(e.text for e in events if isinstance(e, Delta) and e.channel == channel)


def kinds(events):
    return [type(e).__name__ for e in events]


async def test_events_come_in_the_stated_order():
    events = await events_of(answer("Hello big world"))
    assert kinds(events) == ["Sent", "Delta", "Delta", "Delta", "Usage", "Finished"]
    assert text(events) == "Hello big world "
    assert events[-2] == Usage(12, 3)
    assert events[-1].reason == "stop"


async def test_arrivals_lie_between_the_server_sends_and_our_reading():
    async with asking(answer(["a", "b", "c"], gap=0.01)) as (server, backend):
        sent, *rest = await collect(backend)
    (request,) = server.requests
    now_ns = time.monotonic_ns()
    assert 0 < sent.at_ns < request.at_ns
    sends = [at_ns for at_ns, _size in request.sent][1:]  # the first is the role chunk
    deltas = [event for event in rest if isinstance(event, Delta)]
    for send_ns, delta in zip(sends, deltas, strict=False):
        # 20 us: what two processors' clocks may differ by in the kernel's stamp
        assert send_ns - 20_000 <= delta.at_ns <= now_ns
        assert delta.uncertainty_ns >= 0
    assert [d.at_ns for d in deltas] == sorted(d.at_ns for d in deltas)


@pytest.mark.parametrize("dialect", ["openai", "cerebras", "groq", "llama.cpp", "moonshot", "openrouter", "vllm"])
async def test_every_dialect(dialect):
    events = await events_of(answer("Hi you", reasoning=["hm ", "so "], dialect=dialect), dialect=dialect)
    assert text(events, "reasoning") == "hm so "
    assert text(events) == "Hi you "
    assert Usage(12, 4) in events
    timing = next((e.source for e in events if isinstance(e, ServerTiming)), None)
    assert timing == (dialect if dialect in ("cerebras", "groq", "llama.cpp") else None)


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


async def test_provenance_is_for_an_auditor():
    reply = answer("a", headers={"Date": "Tue, 24 Nov 2026 10:00:00 GMT", "X-RateLimit-Remaining-Tokens": "9"})
    finished = (await events_of(reply))[-1]
    assert finished.provenance == {
        "request_id": "req-test-1",
        "date": "Tue, 24 Nov 2026 10:00:00 GMT",
        "x-ratelimit-remaining-tokens": "9",
        "response_id": "chatcmpl-1",
        "model": "test-model",
        "system_fingerprint": "fp_test",
    }


# --- endings


async def test_length_is_said():
    assert (await events_of(answer("a", finish="length")))[-1].reason == "length"


async def test_eof_without_finish_reason_or_done_is_truncated_never_done():
    events = await events_of(Reply([chunk(role="assistant"), chunk("Hel"), chunk("lo")]))
    assert text(events) == "Hello"
    assert events[-1].reason == "truncated"


async def test_eof_after_a_finish_reason_is_done():
    assert (await events_of(answer("a", done=False)))[-1].reason == "stop"


async def test_body_that_breaks_off_is_truncated():
    events = await events_of(Reply([chunk("Hel"), Close]))
    assert text(events) == "Hel"
    assert [e.kind for e in events if isinstance(e, Notice)] == ["warning"]
    assert events[-1].reason == "truncated"


async def test_reset_in_the_middle_is_truncated():
    events = await events_of(Reply([chunk("Hel"), Sleep(0.02), Reset]))
    assert text(events) == "Hel"
    assert events[-1].reason == "truncated"


async def test_break_off_after_a_finish_reason_is_done():
    events = await events_of(Reply([chunk("Hi", finish="stop"), Close]))
    assert events[-1].reason == "stop"


async def test_break_off_before_any_text_fails_and_may_be_retried():
    events = await events_of(Reply([chunk(role="assistant"), Close]))
    assert (events[-1].code, events[-1].retryable) == ("truncated", True)


async def test_stream_that_ends_before_any_text_fails():
    events = await events_of(Reply([chunk(role="assistant")]))
    assert (events[-1].code, events[-1].retryable) == ("truncated", True)


async def test_done_ends_it_though_the_connection_is_held_open():
    async with asking(Reply([chunk("Hi"), DONE, Hold])) as (server, backend):
        events = await collect(backend)
        assert events[-1].reason == "stop"
        await eventually(lambda: server.requests[0].left_ns)


async def test_finish_reason_without_any_end_is_done_after_a_while(monkeypatch):
    monkeypatch.setattr("chatapp.backends.answer_stream.AFTER_FINISH_S", 0.05)
    events = await events_of(Reply([chunk("Hi", finish="stop"), Hold]))
    assert events[-1].reason == "stop"


async def test_text_after_done_is_ignored():
    assert text(await events_of(Reply([chunk("Hi"), DONE, chunk("ignored"), DONE]))) == "Hi"


async def test_a_flood_after_done_is_cut_off():
    events = await events_of(Reply([chunk("Hi"), DONE] + [b": x" * 10_000] * 50 + [Hold]))
    assert events[-1].reason == "stop"


# --- who says so


async def test_a_secure_answer_names_its_certificate(server_tls, client_tls, authority):
    async with ChatServer(answer("Hi"), tls=server_tls) as server:
        transport = TimedTransport(ssl_context=client_tls)
        backend = ChatBackend(INFO, Where(server.base_url), patience=CALM, transport=transport)
        events = await collect(backend)
        await backend.aclose()
    assert {"tcp", "tls"} <= set(events[0].connect_ns)
    assert len(bytes.fromhex(events[-1].provenance["tls_certificate_sha256"])) == 32


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps received TCP data")
async def test_arrivals_of_two_clocks_are_said(monkeypatch):
    real, calls = arrival_clock._stamp_of, itertools.count()
    async with asking(Reply([Sleep(0.05), *answer("a b").steps])) as (_server, backend):
        await backend.warm()
        # The head has its stamp, and what follows has none.
        monkeypatch.setattr(arrival_clock, "_stamp_of", lambda found: None if next(calls) else real(found))
        events = await collect(backend)
    assert events[0].source == "kernel"
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "some arrival times of this answer come from the process, not the kernel"
    ]


async def test_another_transport_is_read_by_the_process_clock():
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=chunk("Hi") + DONE)
    transport = httpx2.MockTransport(lambda _request: reply)
    backend = ChatBackend(INFO, Where("http://provider.test/v1"), patience=CALM, transport=transport)
    events = await collect(backend)
    await backend.aclose()
    assert (events[0].source, text(events)) == ("process", "Hi")


# --- faults inside the stream


async def test_error_inside_the_stream_is_no_text_and_no_retry():
    error = sse({"error": {"message": "overloaded", "type": "overloaded_error"}})
    async with asking(Reply([chunk("Hel"), error, chunk("never")])) as (server, backend):
        events = await collect(backend)
    assert text(events) == "Hel"
    assert (events[-1].code, events[-1].message) == ("server_error", "overloaded")
    assert len(server.requests) == 1


async def test_nothing_before_the_first_text_is_a_timeout():
    events = await events_of(Reply([chunk(role="assistant"), Hold]), patience=HASTE)
    assert (events[-1].code, "within 0.3 s" in events[-1].message) == ("timeout", True)


async def test_no_head_is_a_timeout():
    events = await events_of(Reply(before=5.0), patience=HASTE)
    assert (kinds(events), events[-1].code) == (["Failed"], "timeout")


async def test_comments_do_not_make_an_answer():
    events = await events_of(Reply([step for _ in range(60) for step in (b": ping\n\n", Sleep(0.01))]), patience=HASTE)
    assert events[-1].code == "timeout"


async def test_stall_between_tokens_keeps_what_came():
    events = await events_of(Reply([chunk("Hel"), usage_chunk(3, 1), Hold]), patience=HASTE)
    assert text(events) == "Hel"
    assert kinds(events)[-2:] == ["Usage", "Failed"]
    assert events[-1].code == "stalled"


async def test_bad_json_in_one_chunk_is_counted_and_skipped():
    events = await events_of(Reply([chunk("Hel"), b"data: {\n\n", chunk("lo"), DONE]))
    assert text(events) == "Hello"
    assert [e.message[:10] for e in events if isinstance(e, Notice)] == ["1 chunk(s)"]
    assert events[-1].reason == "stop"


async def test_a_megabyte_in_one_token():
    events = await events_of(Reply([chunk("x" * 1_000_000), DONE]))
    assert len(text(events)) == 1_000_000


async def test_an_endless_event_is_refused(monkeypatch):
    monkeypatch.setattr("chatapp.backends.answer_stream.SseDecoder", partial(SseDecoder, max_event_bytes=1000))
    events = await events_of(Reply([chunk("a"), b"data: " + b"x" * 5000]))
    assert events[-1].code == "bad_stream"


async def test_split_at_every_byte_gives_the_same_text():
    whole = b"".join([chunk("Hé"), chunk("😀"), DONE])
    events = await events_of(Reply([whole[i : i + 1] for i in range(len(whole))]))
    assert text(events) == "Hé😀"
    assert events[-1].reason == "stop"


@pytest.mark.parametrize("framing", ["close", "length"])
async def test_other_framings_are_stamped_too(framing):
    steps = [chunk("a"), Sleep(0.01), chunk("b"), DONE]
    events = await events_of(Reply(steps, framing=framing))
    first, second = (e for e in events if isinstance(e, Delta))
    assert second.at_ns - first.at_ns > 9_000_000
    assert events[-1].reason == "stop"


async def test_gzip_is_decoded():
    body = gzip.compress(chunk("Hi") + DONE)
    events = await events_of(Reply([body[:9], body[9:]], headers={"Content-Encoding": "gzip"}))
    assert text(events) == "Hi"


async def test_broken_gzip_fails_clearly():
    events = await events_of(Reply([b"\x1f\x8bnonsense" * 20], headers={"Content-Encoding": "gzip"}))
    assert events[-1].code == "bad_stream"


async def test_unknown_compression_fails_clearly():
    events = await events_of(Reply([b"?"], headers={"Content-Encoding": "br"}))
    assert (events[-1].code, "'br'" in events[-1].message) == ("bad_stream", True)


# --- what is no stream


async def test_html_page_with_200():
    page = b"<html><body><h1>Please log in</h1></body></html>"
    events = await events_of(Reply([page], content_type="text/html", framing="length"))
    assert (events[-1].code, "Please log in" in events[-1].message) == ("bad_stream", True)


async def test_html_page_that_calls_itself_a_stream():
    events = await events_of(Reply([b"<p>Please log in</p>"]))
    assert (events[-1].code, "Please log in" in events[-1].message) == ("bad_stream", True)


async def test_empty_body_with_200():
    assert "it is empty" in (await events_of(Reply([])))[-1].message


async def test_error_object_with_200():
    events = await events_of(refusal(200, "no credit", kind="authentication_error"))
    assert (events[-1].code, events[-1].message) == ("auth", "no credit")


async def test_error_object_that_calls_itself_a_stream():
    events = await events_of(Reply([b'{"error":{"message":"no credit"}}']))
    assert events[-1].message.endswith("no credit")


async def test_a_server_that_does_not_stream_still_answers():
    whole = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
    events = await events_of(Reply([whole], content_type="application/json", framing="length"))
    assert kinds(events) == ["Sent", "Delta", "Notice", "Usage", "Finished"]


async def test_document_that_breaks_off():
    events = await events_of(Reply([b'{"choices":', Close], content_type="application/json"))
    assert events[-1].code == "truncated"


async def test_json_that_is_no_answer():
    events = await events_of(Reply([b'{"hello":1}'], content_type="application/json", framing="length"))
    assert events[-1].code == "bad_stream"


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
