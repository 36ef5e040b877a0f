from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.responses import WireError
from chatapp.protocol.responses_client import ResponseCreate, ResponseDecoder, cancel_frame, decode_frame
from chatapp.protocol.responses_requests import Cancel, Create, History, parse_client_event
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Delta,
    Event,
    Failed,
    Finished,
    Message,
    Notice,
    Retell,
    Sent,
    ServerTiming,
    Usage,
)

INFO = BackendInfo("m", "M", "live", "P", "m", note="n", detail={"a": 1.5})


def plain(event_type: str, **fields) -> bytes:
    """An event as a server without our extensions sends it."""
    return json.dumps({"type": event_type, **fields}).encode()


def feed(decoder: ResponseDecoder, *frames: bytes, now_ns: int = 0) -> list[Event]:
    events: list[Event] = []
    for data in frames:
        frame = decode_frame(data)
        assert frame is not None
        events += decoder.feed(frame, now_ns)
    return events


def test_a_request_reads_back_as_it_was_meant():
    request = ResponseCreate(
        model="m",
        input=(Message("user", "hi"), Message("assistant", "hello"), Message("user", "more")),
        instructions="brief",
        max_output_tokens=5,
        temperature=0.0,
        seed=7,
        retell=Retell("text", "local", "why"),
        metadata={"a": "b"},
    )

    event = parse_client_event(request.to_frame("s1"))

    assert isinstance(event, Create)
    assert event.stream_id == "s1"
    asked = History().request(event)
    assert asked.messages == request.input
    assert (asked.instructions, asked.max_output_tokens, asked.temperature, asked.seed) == ("brief", 5, 0.0, 7)
    assert (asked.retell, asked.metadata) == (request.retell, {"a": "b"})


def test_a_minimal_request_says_no_more_than_needed():
    frame = json.loads(ResponseCreate(model="m", input=(Message("user", "hi"),)).to_frame(None))

    assert set(frame) == {"type", "model", "input", "store"}


def test_a_compact_answer_is_asked_for_only_where_it_is_understood():
    request = ResponseCreate(model="m", input=(Message("user", "hi"),))

    assert parse_client_event(request.to_frame("s", compact=True)).compact
    assert b"compact" not in request.to_frame("s")


def test_a_cancel_reads_back():
    assert parse_client_event(cancel_frame("s1")) == Cancel(stream_id="s1")


# Through both sides: what a backend yields is what a client gets.

TEXT = st.text(min_size=1, max_size=8)
PIECES = st.lists(
    st.tuples(st.sampled_from(["answer", "reasoning"]), TEXT, st.integers(0, 50_000), st.integers(0, 9)), max_size=8
)


@given(PIECES, st.integers(0, 10**9), st.integers(0, 300))
def test_what_a_backend_yields_is_what_a_client_gets(pieces, t_req_us, uncertainty_us):
    encoder = ResponseEncoder("resp_1", Create(model="m", stream_id="s"), INFO, created_at=0)
    t_req = t_req_us * 1000
    frames = [encoder.created(), *encoder.sent(Sent(t_req, "kernel", {"tcp": 5000}, True, "r"))]
    expected: list[Delta] = []
    at = t_req
    for channel, text, gap_us, tokens in pieces:
        at += gap_us * 1000
        frames += encoder.delta(channel, text, [Arrival(at, len(text), tokens, uncertainty_us * 1000)])
        expected.append(Delta(text, at, channel, tokens, uncertainty_us * 1000))
    timing = ServerTiming("groq", total_s=1.5)
    frames += encoder.finished(Finished(at, "stop", {"date": "d"}), Usage(1, 2, 0, 1), timing, {})
    decoder = ResponseDecoder(t_req)

    events = feed(decoder, *frames, now_ns=at)

    assert events == [
        Sent(t_req, "kernel", {"tcp": 5000}, True, "r"),
        *expected,
        Usage(1, 2, 0, 1),
        timing,
        Finished(at, "stop", {"date": "d", "response_id": "resp_1"}),
    ]
    assert (decoder.ended, decoder.response_id, decoder.info) == (True, "resp_1", INFO)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 3_000), min_size=1, max_size=8), st.booleans())
def test_stamps_between_microseconds_keep_their_order_and_the_end_its_place(t_req, gaps_ns, broken):
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)
    frames, at = [*encoder.sent(Sent(t_req, "kernel"))], t_req
    true = []
    for gap_ns in gaps_ns:
        at += gap_ns
        true.append(at)
        frames += encoder.delta("answer", "x", [Arrival(at, 1)])
    # What comes in the last read with the text bears its stamp.
    frames += encoder.failed(Failed(at, "stalled", "")) if broken else encoder.finished(Finished(at), None, None, {})

    sent, *deltas, end = feed(ResponseDecoder(t_req), *frames, now_ns=at + 10_000)

    told = [event.at_ns for event in deltas]
    assert end.at_ns == told[-1]
    assert told == sorted(told)
    assert all(abs((each - sent.at_ns) - (one - t_req)) < 1000 for each, one in zip(told, true, strict=True))


def test_a_joined_delta_keeps_every_arrival():
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)
    list(encoder.sent(Sent(0)))
    arrivals = (Arrival(1000, 1, 1), Arrival(3000, 2, 4, 2000))

    (delta,) = feed(ResponseDecoder(0), *encoder.sent(Sent(0)), *encoder.delta("answer", "abc", arrivals))[1:]

    assert delta == Delta("abc", 3000, "answer", 5, 2000, arrivals)


def test_stamps_of_another_machine_s_clock_are_moved_to_ours():
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)
    decoder = ResponseDecoder(5_000_000)
    feed(decoder, *encoder.sent(Sent(9_000_000_000_000)), now_ns=6_000_000)

    (delta,) = feed(decoder, *encoder.delta("answer", "x", [Arrival(9_000_000_250_000, 1)]), now_ns=7_000_000)

    assert delta.at_ns == 6_000_000 + 250_000


def test_a_second_attempt_moves_the_zero():
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)
    decoder = ResponseDecoder(0)
    frames = [*encoder.sent(Sent(1000)), *encoder.sent(Sent(50_000))]

    events = feed(decoder, *frames, *encoder.delta("answer", "x", [Arrival(60_000, 1)]), now_ns=100_000)

    assert [event.at_ns for event in events] == [1000, 50_000, 60_000]


def test_who_answers_instead_is_known_from_the_notice_on():
    encoder, decoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0), ResponseDecoder(0)
    feed(decoder, encoder.created())
    assert decoder.info == INFO
    other = BackendInfo("o", "O", "simulated", "P", "o")
    notice = Notice("fallback", "m did not answer: o instead")
    assert feed(decoder, encoder.replaced(other, notice)) == [notice]
    assert decoder.info == other


def test_a_hint_that_other_clients_find_in_the_message_is_not_said_twice():
    error = WireError("missing_key", "no key is set", hint="export KEY=...", status=401)
    (failed,) = feed(ResponseDecoder(0), error.to_frame())
    assert json.loads(error.to_frame())["error"]["message"] == "no key is set (export KEY=...)"
    assert (failed.message, failed.hint) == ("no key is set", "export KEY=...")


def test_notices_pass():
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)

    assert feed(ResponseDecoder(0), encoder.notice(Notice("progress", "loading", 0.5))) == [
        Notice("progress", "loading", 0.5)
    ]
    assert feed(ResponseDecoder(0), plain("response.notice", kind="new_kind", message="x")) == []


def test_a_failure_passes_with_what_to_do():
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)
    failure = Failed(7000, "rate_limited", "too many", "wait", 429, True, 2.0)
    frames = [*encoder.sent(Sent(0)), *encoder.failed(failure)]

    assert feed(ResponseDecoder(0), *frames, now_ns=9000)[-1] == failure


@pytest.mark.parametrize(
    ("reason", "read_as"),
    [
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("cancelled", "cancelled"),
        ("truncated", "truncated"),
    ],
)
def test_partial_answers_pass_as_such(reason, read_as):
    encoder = ResponseEncoder("resp_1", Create(model="m"), INFO, created_at=0)

    (*_, last) = feed(ResponseDecoder(0), *encoder.finished(Finished(1, reason), None, None, {}))

    assert last.reason == read_as


# A server without the extensions.


def test_a_plain_server_s_answer_is_stamped_as_it_comes():
    decoder = ResponseDecoder(1000)
    events = feed(decoder, plain("response.created", response={"id": "resp_9", "status": "in_progress"}))
    events += feed(decoder, plain("response.in_progress", response={"id": "resp_9"}))
    events += feed(decoder, plain("response.reasoning_summary_text.delta", delta="hm"), now_ns=2000)
    events += feed(decoder, plain("response.output_text.delta", delta="Hi", logprobs=[]), now_ns=3000)
    events += feed(decoder, plain("response.output_text.delta", delta=""), now_ns=3500)
    events += feed(decoder, plain("response.output_text.done", text="Hi"), now_ns=3600)
    usage = {"input_tokens": 3, "output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0}}
    events += feed(decoder, plain("response.completed", response={"id": "resp_9", "usage": usage}), now_ns=4000)

    assert events == [
        Sent(1000),
        Delta("hm", 2000, "reasoning"),
        Delta("Hi", 3000),
        Usage(3, 1, 0, None),
        Finished(4000, "stop", {"response_id": "resp_9"}),
    ]
    assert decoder.info is None


def test_text_before_in_progress_begins_at_the_sending():
    assert feed(ResponseDecoder(1000), plain("response.output_text.delta", delta="x"), now_ns=5000) == [
        Sent(1000),
        Delta("x", 5000),
    ]


def test_an_end_without_details_is_an_end():
    decoder = ResponseDecoder(0)

    assert feed(decoder, plain("response.incomplete"), now_ns=5) == [Finished(5, "truncated")]
    assert decoder.ended


@pytest.mark.parametrize("kind", ["response.output_item.added", "response.something_new", ""])
def test_events_that_are_no_news_are_passed_over(kind):
    assert feed(ResponseDecoder(0), plain(kind)) == []


def test_a_created_event_without_a_response_is_no_error():
    decoder = ResponseDecoder(0)

    assert feed(decoder, plain("response.created")) == []
    assert decoder.response_id == ""


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"error": {"code": "previous_response_not_found", "message": "gone"}}, "previous_response_not_found", "gone"),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, "rate_limit_exceeded", "slow down"),
        ({}, "server_error", "the server failed without saying why"),
    ],
)
def test_an_error_event_ends_its_stream(fields, code, message):
    decoder = ResponseDecoder(0)

    (failure,) = feed(decoder, plain("error", **fields), now_ns=9)

    assert (failure.code, failure.message, failure.at_ns) == (code, message, 9)
    assert decoder.ended


def test_a_cancel_before_there_was_an_answer_ends_it_as_cancelled():
    decoder = ResponseDecoder(0)

    error = {"code": "cancelled", "message": "cancelled before the answer began"}
    assert feed(decoder, plain("error", error=error), now_ns=9) == [Finished(9, "cancelled")]
    assert decoder.ended


def test_an_end_counts_even_where_its_details_are_of_the_wrong_types():
    frame = decode_frame(plain("error", stream_id="s1", error={"code": 400, "message": ["x"]}))

    assert frame is not None
    assert (frame.type, frame.stream_id) == ("error", "s1")
    assert decode_frame(plain("response.output_text.delta", delta=3)) is None


@given(st.binary(max_size=100))
def test_no_bytes_break_the_decoder(data):
    decode_frame(data)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 20_000, b'{"type":1}'])
def test_what_is_no_event_is_passed_over(data):
    assert decode_frame(data) is None


def test_broken_metadata_is_ignored():
    decoder = ResponseDecoder(0)
    metadata = {"chatapp.server_timing": "{broken", "chatapp.provenance": "[1]"}

    assert feed(decoder, plain("response.completed", response={"metadata": metadata})) == [Finished(0)]
