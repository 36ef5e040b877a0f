import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.responses import ModelListing, WireError
from chatapp.protocol.responses_requests import (
    Cancel,
    Create,
    History,
    input_messages,
    parse_client_event,
    stream_id_of,
)
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import (
    Arrival,
    BackendInfo,
    Failed,
    Finished,
    Message,
    Notice,
    Request,
    Retell,
    Sent,
    ServerTiming,
    Usage,
)

INFO = BackendInfo("sim:cs3/kimi-k2.6", "CS-3", "simulated", "Cerebras", "kimi-k2.6")


def parse(**fields):
    return parse_client_event(json.dumps({"type": "response.create", "model": "m", **fields}))


def refusal(data):
    with pytest.raises(WireError) as caught:
        parse_client_event(data)
    return caught.value


def test_a_full_request():
    create = parse(
        input="hi",
        instructions="be brief",
        stream_id="a",
        max_output_tokens=5,
        temperature=0.5,
        seed=3,
        reasoning={"effort": "low"},
        metadata={"k": "v"},
        retell={"text": "t", "source": "local"},
        store=False,
        tools=[],
        tool_choice="auto",
        unknown_field={"is": "ignored"},
    )
    request = History().request(create)
    assert request == Request(
        messages=(Message("user", "hi"),),
        instructions="be brief",
        max_output_tokens=5,
        temperature=0.5,
        seed=3,
        reasoning_effort="low",
        retell=Retell("t", "local"),
        metadata={"k": "v"},
    )
    assert create.stream_id == "a"


def test_bytes_are_read_as_text_is():
    assert isinstance(parse_client_event(b'{"type":"response.create","model":"m"}'), Create)


def test_items_with_text_parts_and_plain_content():
    create = parse(
        input=[
            {"type": "message", "role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
        ]
    )
    assert input_messages(create) == (Message("system", "s"), Message("user", "ab"), Message("assistant", "c"))


@pytest.mark.parametrize(
    ("fields", "code", "param", "words"),
    [
        ({"model": ""}, "invalid_value", "model", "GET /v1/models"),
        ({"model": 5}, "invalid_value", "model", "Expected `str`"),
        ({"input": 5}, "invalid_value", "input", "Expected"),
        ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens", "at least 1"),
        ({"temperature": 3}, "invalid_value", "temperature", "between 0 and 2"),
        ({"stream_id": "a b"}, "invalid_value", "stream_id", "printable"),
        ({"tools": [{"type": "function"}]}, "unsupported", "tools", "tool calls"),
        ({"background": True}, "unsupported", "background", "background"),
        ({"prompt": {"id": "p"}}, "unsupported", "prompt", "stored prompts"),
    ],
)
def test_a_wrong_field_is_named(fields, code, param, words):
    error = refusal(json.dumps({"type": "response.create", "model": "m", **fields}))
    assert (error.code, error.param) == (code, param)
    assert words in error.message


@pytest.mark.parametrize(
    ("items", "param", "words"),
    [
        ([{"type": "function_call_output"}], "input[0]", "function_call_output"),
        ([{"role": "robot", "content": "x"}], "input[0].role", "robot"),
        ([{"role": "user", "content": 5}], "input[0].content", "list of parts"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0]", "images"),
        ([{"role": "user", "content": ["x"]}], "input[0].content[0]", "parts"),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": 5}]}],
            "input[0].content[0].text",
            "must be text",
        ),
    ],
)
def test_a_wrong_item_is_named_by_its_path(items, param, words):
    with pytest.raises(WireError) as caught:
        input_messages(parse(input=items))
    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("not json", "invalid_json"),
        ("[1]", "invalid_value"),
        ('{"type":"response.create","model":"m"', "invalid_json"),
        pytest.param("[" * 100_000, "invalid_json", id="deep"),
        ('{"type":"response.create","model":NaN}', "invalid_json"),
        ('{"type":"hello"}', "unknown_type"),
        ("{}", "unknown_type"),
        ('{"type":"response.steer"}', "unsupported"),
        (b"\xff\xfe", "invalid_json"),
    ],
)
def test_what_is_no_request_is_refused(data, code):
    assert refusal(data).code == code


def test_cancel():
    assert parse_client_event('{"type":"response.cancel","stream_id":"a"}') == Cancel(stream_id="a")


@pytest.mark.parametrize(
    ("data", "found"),
    [('{"stream_id":"a"}', "a"), ('{"stream_id":5}', None), ("[]", None), ("{", None), pytest.param("[" * 100_000, None, id="deep")],
)
def test_the_stream_of_a_broken_frame(data, found):
    assert stream_id_of(data) == found


@given(st.binary())
def test_no_bytes_raise_anything_but_a_wire_error(data):
    stream_id_of(data)
    with contextlib.suppress(WireError):
        assert isinstance(parse_client_event(data), (Create, Cancel))


def test_error_frames():
    frame = json.loads(WireError("busy", "later", status=529, param="p").to_frame())
    assert frame == {
        "type": "error",
        "status": 529,
        "error": {"type": "server_error", "code": "busy", "message": "later", "param": "p"},
    }
    assert json.loads(WireError("x", "y").to_frame("s"))["stream_id"] == "s"


def test_a_response_is_continued_by_its_id():
    history = History()
    first = history.request(parse(input="one"))
    history.remember("r1", first, "answer one")
    second = history.request(parse(input="two", previous_response_id="r1"))
    assert [m.content for m in second.messages] == ["one", "answer one", "two"]
    with pytest.raises(WireError) as caught:
        history.request(parse(input="three", previous_response_id="r9"))
    assert caught.value.code == "previous_response_not_found"


@pytest.mark.parametrize("given_input", ["", [], [{"role": "user", "content": ""}]])
def test_nothing_to_answer_is_refused(given_input):
    with pytest.raises(WireError, match="empty"):
        History().request(parse(input=given_input))


def test_the_oldest_responses_are_forgotten():
    history = History(responses=2)
    request = history.request(parse(input="x"))
    for name in ("a", "b", "c"):
        history.remember(name, request, "y")
    with pytest.raises(WireError):
        history.request(parse(input="x", previous_response_id="a"))
    assert history.request(parse(input="x", previous_response_id="c"))
    small = History(characters=10)
    for name in ("a", "b"):
        small.remember(name, request, "long answer of one response")
    with pytest.raises(WireError):
        small.request(parse(input="x", previous_response_id="a"))
    assert small.request(parse(input="x", previous_response_id="b"))


def encoder(**fields):
    return ResponseEncoder("resp_1", parse(input="hi", **fields), INFO, created_at=1.0)


def decoded(frames):
    return [json.loads(frame) for frame in frames]


def test_the_events_of_an_answer_in_order():
    enc = encoder(stream_id="s", metadata={"k": "v"})
    frames = [enc.created(), enc.notice(Notice("progress", "loading", 0.5))]
    frames += enc.sent(Sent(5_000, "kernel", {"tcp": 2_000}, reused=True))
    frames += enc.sent(Sent(9_000))  # a retry: its stamp counts, no frame of its own
    frames += enc.delta("reasoning", "hm", [Arrival(10_000, 2, 1, 1_500)])
    frames += enc.delta("answer", "Hello", [Arrival(12_000, 2, 1), Arrival(14_000, 3, 1)])
    frames += enc.delta("answer", "!", [Arrival(15_000, 1, 1)])
    usage = Usage(4, 4, 1, 0)
    frames += enc.finished(Finished(20_000, "stop", {"id": "x"}), usage, ServerTiming("s", 0.1), {"ttft_ms": "1.000"})
    events = decoded(frames)
    assert [e["type"].removeprefix("response.") for e in events] == [
        "created",
        "notice",
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
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert {e["stream_id"] for e in events} == {"s"}
    assert events[0]["backend"]["simulated"] is True
    assert events[2]["sent"] == {"at_us": 5, "arrival_source": "kernel", "connect_us": {"tcp": 2}, "reused": True}
    assert events[5]["arrivals"] == [[1, 2, 1]]
    assert events[5]["uncertainty_us"] == [2]
    assert events[11]["arrivals"] == [[3, 2, 1], [5, 3, 1]]
    assert "uncertainty_us" not in events[11]
    response = events[-1]["response"]
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output"][1]["content"][0]["text"] == "Hello!" == enc.answer
    assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}
    assert response["metadata"]["k"] == "v"
    assert json.loads(response["metadata"]["chatapp.server_timing"])["queue_s"] == 0.1
    assert json.loads(response["metadata"]["chatapp.provenance"]) == {"id": "x"}


@pytest.mark.parametrize(
    ("reason", "status", "stated"),
    [
        ("length", "incomplete", "max_output_tokens"),
        ("cancelled", "cancelled", "cancelled"),
        ("truncated", "incomplete", "truncated"),
    ],
)
def test_an_answer_cut_short_says_why(reason, status, stated):
    enc = encoder()
    events = decoded(
        [*enc.delta("answer", "x", [Arrival(1_000, 1)]), *enc.finished(Finished(2, reason), None, None, {})]
    )
    assert events[0]["type"] == "response.in_progress"  # text without a request stamp
    assert "sent" not in events[0]
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["status"] == status
    assert events[-1]["response"]["incomplete_details"] == {"reason": stated}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_an_answer_without_text_is_complete_all_the_same():
    events = decoded(encoder().finished(Finished(2), Usage(1, None), None, {}))
    assert [e["type"] for e in events] == ["response.in_progress", "response.completed"]
    assert events[-1]["response"]["output"] == []
    assert events[-1]["response"]["usage"]["total_tokens"] is None


def test_a_failure_keeps_what_came():
    enc = encoder()
    frames = list(enc.delta("answer", "part", [Arrival(1, 4)]))
    frames += enc.failed(Failed(3, "stalled", "silence", "retry", 504, retryable=True, retry_after_s=2.0), Usage())
    last = decoded(frames)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {
        "code": "stalled",
        "message": "silence",
        "hint": "retry",
        "status": 504,
        "retryable": True,
        "retry_after_s": 2.0,
    }
    assert last["response"]["output"][0]["content"][0]["text"] == "part"
    assert last["response"]["usage"] is None


def test_a_listing_speaks_for_its_backend():
    listing = ModelListing("a/b", provider="P", kind="simulated", note="n")
    assert listing.name == "a/b"
    assert listing.simulated
    assert listing.info == BackendInfo("a/b", "a/b", "simulated", "P", "", "n")
    assert ModelListing("a", owned_by="O", label="L").info.provider == "O"
    assert msgspec.json.decode(msgspec.json.encode(listing), type=ModelListing) == listing
