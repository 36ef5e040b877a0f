import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.responses_client import ResponseCreate, ResponseDecoder, cancel_frame, decode_frame
from chatapp.protocol.responses_requests import History, parse_client_event
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Delta,
    Failed,
    Finished,
    Message,
    Notice,
    Retell,
    Sent,
    ServerTiming,
    Usage,
)

INFO = BackendInfo("m", "M", "live", "P", "m", "note", {"limit_tps": 5.0})


def decode(frames, decoder=None, now=99_000_000):
    decoder = decoder or ResponseDecoder(1_000)
    return [event for frame in frames for event in decoder.feed(decode_frame(frame), now)]


def encoder(**fields):
    create = parse_client_event(json.dumps({"type": "response.create", "model": "m", "input": "x", **fields}))
    return ResponseEncoder("resp_1", create, INFO, created_at=1.0)


def test_a_request_arrives_as_it_was_sent():
    asked = ResponseCreate(
        model="m",
        input=(Message("user", "a"), Message("assistant", "b"), Message("user", "c")),
        instructions="i",
        max_output_tokens=3,
        temperature=1.0,
        seed=2,
        retell=Retell("t", "s", "r"),
        metadata={"k": "v"},
    )
    create = parse_client_event(asked.to_frame("s1"))
    request = History().request(create)
    assert create.stream_id == "s1"
    assert request.messages == asked.input
    assert (request.instructions, request.max_output_tokens, request.seed) == ("i", 3, 2)
    assert request.retell == asked.retell
    assert request.metadata == {"k": "v"}
    bare = json.loads(ResponseCreate(model="m", input=()).to_frame(None))
    assert bare == {"type": "response.create", "model": "m", "input": [], "store": False}


def test_cancel_reaches_its_stream():
    assert parse_client_event(cancel_frame("s1")).stream_id == "s1"


def test_every_event_comes_out_as_it_went_in():
    enc = encoder()
    decoder = ResponseDecoder(1_000)
    frames = [enc.created(), enc.notice(Notice("text_source", "t", None))]
    frames += enc.sent(Sent(5_000_000, "kernel", {"tcp": 7_000}, reused=True))
    frames += enc.delta("reasoning", "hm", [Arrival(6_000_000, 2, 1, 3_000)])
    frames += enc.delta("answer", "Hello", [Arrival(7_000_000, 2, 1), Arrival(8_000_000, 3, 2)])
    frames += enc.finished(Finished(0, "stop", {"a": "b"}), Usage(4, 5, 1, 2), ServerTiming("cerebras", 0.5), {})
    events = decode(frames, decoder)
    assert events == [
        Notice("text_source", "t"),
        Sent(5_000_000, "kernel", {"tcp": 7_000}, reused=True),
        Delta("hm", 6_000_000, "reasoning", 1, 3_000),
        Delta("Hello", 8_000_000, "answer", 3, 0, (Arrival(7_000_000, 2, 1), Arrival(8_000_000, 3, 2))),
        Usage(4, 5, 1, 2),
        ServerTiming("cerebras", 0.5),
        Finished(99_000_000, "stop", {"a": "b", "response_id": "resp_1"}),
    ]
    assert decoder.ended
    assert decoder.info == INFO
    assert decoder.response_id == "resp_1"


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.integers(0, 10**6), st.integers(0, 9)), max_size=20))
def test_joining_for_the_wire_keeps_every_arrival(chunks):
    enc = encoder()
    at, arrivals = 0, []
    for text, gap_us, tokens in chunks:
        at += gap_us * 1000
        arrivals.append(Arrival(at, len(text), tokens))
    joined = "".join(text for text, _gap, _tokens in chunks)
    frames = [*enc.sent(Sent(0)), *(enc.delta("answer", joined, arrivals) if chunks else ())]
    deltas = [e for e in decode(frames) if isinstance(e, Delta)]
    assert "".join(d.text for d in deltas) == joined
    got = [a for d in deltas for a in (d.arrivals or (Arrival(d.at_ns, len(d.text), d.tokens, d.uncertainty_ns),))]
    assert got == arrivals


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("length", "length"),
        ("cancelled", "cancelled"),
        ("content_filter", "content_filter"),
        ("truncated", "truncated"),
    ],
)
def test_endings(reason, expected):
    (*_rest, finished) = decode(encoder().finished(Finished(0, reason), None, None, {}))
    assert finished.reason == expected


def test_a_failure_comes_with_its_hint():
    (failed,) = decode(encoder().failed(Failed(1, "stalled", "m", "h", 504, retryable=True, retry_after_s=3.0)))
    assert failed == Failed(99_000_000, "stalled", "m", "h", 504, retryable=True, retry_after_s=3.0)


def test_an_error_outside_a_response_is_a_failure():
    (failed,) = decode([b'{"type":"error","status":404,"error":{"code":"model_not_found","message":"no"}}'])
    assert (failed.code, failed.message, failed.status) == ("model_not_found", "no", 404)
    (failed,) = decode([b'{"type":"error"}'])
    assert failed.code == "server_error"


def test_a_server_without_the_extensions_is_stamped_here():
    frames = [
        b'{"type":"response.created","response":{"id":"r"}}',
        b'{"type":"response.output_text.delta","delta":"Hi"}',
        b'{"type":"response.output_text.delta","delta":""}',
        b'{"type":"response.some_new_event"}',
        b'{"type":"response.notice","kind":"strange","message":"m"}',
        b'{"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":2}}}',
    ]
    assert decode(frames, now=5_000) == [Sent(1_000), Delta("Hi", 5_000), Usage(1, 2), Finished(5_000)]
    (sent, _delta) = decode([b'{"type":"response.in_progress"}', frames[1]], now=5_000)
    assert sent == Sent(1_000)


def test_the_clock_of_another_machine_is_aligned_once():
    enc = encoder()
    decoder = ResponseDecoder(1_000_000, clock_offset_ns=None)
    (sent,) = decode(enc.sent(Sent(50_000_000)), decoder)
    assert sent.at_ns == 1_000_000
    assert decoder.clock_offset_ns == 1_000_000 - 50_000_000


def test_broken_metadata_is_passed_over():
    frame = {
        "type": "response.completed",
        "response": {"metadata": {"chatapp.server_timing": "{", "chatapp.provenance": "[1]"}},
    }
    assert decode([json.dumps(frame)]) == [Finished(99_000_000)]
    assert decode([b'{"type":"response.incomplete"}']) == [Finished(99_000_000, "truncated")]


@given(st.one_of(st.binary(), st.text()))
def test_no_frame_breaks_the_reader(data):
    frame = decode_frame(data)
    if frame is not None:
        list(ResponseDecoder(0).feed(frame, 1))
