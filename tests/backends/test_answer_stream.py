"""One response read to its end: true dialects, every ending, every fault inside a stream."""

from __future__ import annotations

import gzip
import itertools
import sys
import time
from functools import partial

import httpx2
import pytest

from chatapp.backends import arrival_clock
from chatapp.backends.openai_chat import ChatBackend
from chatapp.backends.openai_chat import ChatServer as Where
from chatapp.backends.transport import TimedTransport
from chatapp.protocol.sse import SseDecoder
from chatapp.stream.events import (
    Delta,
    Notice,
    ServerTiming,
    Usage,
)
from tests.backends.asking import CALM, HASTE, INFO, asking, collect, events_of, kinds, text
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
