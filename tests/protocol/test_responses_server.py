from __future__ import annotations

import json

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from chatapp.protocol.responses_requests import Create
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import Arrival, BackendInfo, Failed, Finished, Notice, Sent, ServerTiming, Usage

INFO = BackendInfo("sim:cs3/m", "CS-3 · M", "simulated", "Cerebras", "m", note="simulated", detail={"limit": 2.5})
SENT = Sent(1_000_000_000, "kernel", {"tcp": 2_000_000}, reused=False, request_id="req_1")
OFFICIAL = TypeAdapter(ResponseStreamEvent)


def encoder(**fields) -> ResponseEncoder:
    return ResponseEncoder("resp_1", Create(model="sim:cs3/m", **fields), INFO, created_at=1.5)


def chunk(text: str, at_us: int, tokens: int = 1, uncertainty_ns: int = 0) -> tuple[str, list[Arrival]]:
    return text, [Arrival(1_000_000_000 + at_us * 1000, len(text), tokens, uncertainty_ns)]


def whole_answer(encoder: ResponseEncoder, *, reasoning: bool = True) -> list[dict]:
    frames = [encoder.created(), *encoder.sent(SENT)]
    if reasoning:
        frames += encoder.delta("reasoning", *chunk("hm", 100))
    frames += encoder.delta("answer", *chunk("Hello", 200))
    frames += encoder.delta("answer", *chunk(" there", 300, uncertainty_ns=1))
    usage = Usage(10, 3, 1, 4)
    frames += encoder.finished(Finished(1_000_400_000), usage, None, {"ttft_ms": "0.1"})
    return [json.loads(frame) for frame in frames]


def kinds(events: list[dict]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_the_events_of_an_answer_come_in_the_documented_order():
    events = whole_answer(encoder())

    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_the_official_client_s_types_accept_every_event():
    for event in whole_answer(encoder(stream_id="s1")):
        parsed = OFFICIAL.validate_python(event)
        assert parsed.type == event["type"]


def test_every_event_of_a_stream_bears_its_id():
    assert {event["stream_id"] for event in whole_answer(encoder(stream_id="s1"))} == {"s1"}
    assert not any("stream_id" in event for event in whole_answer(encoder()))


def test_items_hold_the_whole_text_and_places_agree():
    events = whole_answer(encoder())
    completed = events[-1]["response"]

    assert [item["type"] for item in completed["output"]] == ["reasoning", "message"]
    assert completed["output"][1]["content"][0]["text"] == "Hello there"
    assert completed["output"][0]["content"][0]["text"] == "hm"
    assert {event["item_id"] for event in events if event.get("output_index") == 1 and "item_id" in event} == {
        "msg_1_1"
    }
    assert completed["status"] == "completed"


def test_what_is_behind_is_said_first():
    created = whole_answer(encoder())[0]

    assert created["backend"] == {
        "name": "sim:cs3/m",
        "label": "CS-3 · M",
        "kind": "simulated",
        "provider": "Cerebras",
        "model": "m",
        "note": "simulated",
        "detail": {"limit": 2.5},
        "simulated": True,
    }
    assert created["response"]["status"] == "in_progress"


def test_when_and_how_the_request_left_is_said():
    assert whole_answer(encoder())[1]["sent"] == {
        "at_us": 1_000_000,
        "arrival_source": "kernel",
        "connect_us": {"tcp": 2000},
        "reused": False,
        "request_id": "req_1",
    }


def test_a_second_attempt_moves_the_zero_of_all_offsets_and_says_so():
    made = encoder()
    list(made.sent(SENT))

    again = [json.loads(frame) for frame in made.sent(Sent(2_000_000_000))]
    (*_, delta) = [json.loads(f) for f in made.delta("answer", "x", [Arrival(2_000_005_000, 1)])]

    assert kinds(again) == ["sent"]
    assert again[0]["sent"]["at_us"] == 2_000_000
    assert delta["arrivals"] == [[5, 1, 0]]


def test_a_joined_delta_carries_each_arrival():
    made = encoder()
    list(made.sent(SENT))
    arrivals = [Arrival(1_000_100_000, 2, 1, 1500), Arrival(1_000_250_000, 3, 2)]

    (*_, delta) = [json.loads(frame) for frame in made.delta("answer", "ab cd", arrivals)]

    assert delta["arrivals"] == [[100, 2, 1], [250, 3, 2]]
    assert delta["uncertainty_us"] == [2, 0]  # rounded up: a doubt never shrinks
    assert delta["logprobs"] == []


def test_certain_arrivals_carry_no_uncertainty():
    made = encoder()
    (*_, delta) = [json.loads(frame) for frame in made.delta("reasoning", *chunk("x", 1))]

    assert "uncertainty_us" not in delta
    assert "logprobs" not in delta


def test_text_without_a_request_stamp_is_still_in_order():
    events = [json.loads(frame) for frame in encoder().delta("answer", "x", [Arrival(5000, 1)])]

    assert kinds(events) == ["in_progress", "output_item.added", "content_part.added", "output_text.delta"]
    assert "sent" not in events[0]


def test_usage_and_figures_are_in_the_last_event():
    event = whole_answer(encoder(metadata={"mine": "yes"}))[-1]

    assert event["response"]["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 13,
    }
    assert event["response"]["metadata"] == {"mine": "yes", "ttft_ms": "0.1"}
    assert event["ended_us"] == 400


@pytest.mark.parametrize(
    ("usage", "expected"),
    [(None, None), (Usage(), None), (Usage(output_tokens=3), (None, 3, None)), (Usage(2, 3), (2, 3, 5))],
)
def test_half_a_usage_is_not_completed_by_guessing(usage, expected):
    (*_, last) = encoder().finished(Finished(1), usage, None, {})
    said = json.loads(last)["response"]["usage"]

    assert (said and (said["input_tokens"], said["output_tokens"], said["total_tokens"])) == expected


def test_server_timing_and_provenance_travel_as_metadata():
    timing = ServerTiming("groq", queue_s=0.1)
    (*_, last) = encoder().finished(Finished(1, provenance={"date": "today"}), None, timing, {})
    metadata = json.loads(last)["response"]["metadata"]

    assert json.loads(metadata["chatapp.server_timing"])["queue_s"] == 0.1
    assert json.loads(metadata["chatapp.provenance"]) == {"date": "today"}
    assert all(isinstance(value, str) for value in metadata.values())


@pytest.mark.parametrize(
    ("reason", "status", "said"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("truncated", "incomplete", "truncated"),
        ("cancelled", "cancelled", "cancelled"),
    ],
)
def test_a_partial_answer_is_incomplete_and_says_why(reason, status, said):
    made = encoder()
    list(made.delta("answer", *chunk("x", 1)))

    events = [json.loads(frame) for frame in made.finished(Finished(1, reason), None, None, {})]

    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["status"] == status
    assert events[-1]["response"]["incomplete_details"] == {"reason": said}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_an_answer_without_text_ends_in_order():
    events = [json.loads(frame) for frame in encoder().finished(Finished(1), None, None, {})]

    assert kinds(events) == ["in_progress", "completed"]
    assert events[-1]["response"]["output"] == []


def test_a_failure_says_what_to_do():
    made = encoder()
    list(made.sent(SENT))
    failure = Failed(1_000_000_000, "rate_limited", "too many", "wait", 429, retryable=True, retry_after_s=2.0)

    event = json.loads(list(made.failed(failure, Usage(1, 0)))[-1])

    assert event["type"] == "response.failed"
    assert event["response"]["status"] == "failed"
    assert event["response"]["error"] == {
        "code": "rate_limited",
        "message": "too many",
        "hint": "wait",
        "status": 429,
        "retryable": True,
        "retry_after_s": 2.0,
    }


def test_a_notice_is_an_event_of_its_own():
    event = json.loads(encoder().notice(Notice("progress", "loading", 0.5)))

    assert (event["type"], event["kind"], event["message"], event["progress"]) == (
        "response.notice",
        "progress",
        "loading",
        0.5,
    )


def test_a_compact_answer_repeats_nothing():
    events = whole_answer(encoder(compact=True))

    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "completed",
    ]
    assert set(events[-1]["response"]) == {"id", "status", "metadata", "usage"}
    assert events[-1]["response"]["usage"]["output_tokens"] == 3
    assert len(json.dumps(events[-1])) < 450


def test_a_compact_end_still_says_why():
    made = encoder(compact=True)
    (*_, failed) = [json.loads(frame) for frame in made.failed(Failed(1, "stalled", "no more", "again"))]
    (*_, partial) = [
        json.loads(frame) for frame in encoder(compact=True).finished(Finished(1, "length"), None, None, {})
    ]

    assert (failed["response"]["error"]["code"], failed["response"]["error"]["hint"]) == ("stalled", "again")
    assert partial["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_end_can_be_told_before_the_text_that_waits():
    event = json.loads(encoder(stream_id="s").ending("length"))

    assert (event["type"], event["outcome"], event["stream_id"]) == ("response.ending", "length", "s")
