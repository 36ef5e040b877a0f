from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.responses import WireError
from chatapp.protocol.responses_requests import (
    Cancel,
    Create,
    History,
    input_messages,
    parse_client_event,
    stream_id_of,
)
from chatapp.stream.events import Message, Retell


def create(**fields) -> str:
    return json.dumps({"type": "response.create", "model": "m", "input": "hi", **fields})


def refusal(data: str | bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        parse_client_event(data)
    return caught.value


def test_a_create_is_read_with_all_that_is_supported():
    event = parse_client_event(
        create(
            instructions="be brief",
            previous_response_id="resp_1",
            stream_id="s1",
            max_output_tokens=10,
            temperature=0.5,
            seed=3,
            reasoning={"effort": "low"},
            metadata={"who": "me"},
            retell={"text": "t", "source": "local"},
            store=True,
            tools=[],
            tool_choice="auto",
            text={"format": {"type": "text"}},
            something_new={"ignored": 1},
        )
    )

    assert isinstance(event, Create)
    assert (event.model, event.input, event.stream_id, event.max_output_tokens) == ("m", "hi", "s1", 10)
    assert event.retell is not None
    assert event.retell.source == "local"


def test_a_cancel_is_read():
    assert parse_client_event(b'{"type":"response.cancel","stream_id":"s1"}') == Cancel(stream_id="s1")


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"tools": [{"type": "function"}]}, "tools", "tool calls"),
        ({"background": True}, "background", "background"),
        ({"prompt": {"id": "p"}}, "prompt", "stored prompts"),
        ({"generate": False}, "generate", "generate"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format", "structured outputs"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(fields, param, says):
    error = refusal(create(**fields))

    assert (error.code, error.param) == ("unsupported", param)
    assert says in error.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"model": "recording:" + "m" * 4_097}, "model"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"stream_id": "a b"}, "stream_id"),
        ({"metadata": {"n": 1}}, "metadata[...]"),
        ({"retell": {}}, "retell"),
    ],
)
def test_a_wrong_field_is_named(fields, param):
    error = refusal(create(**fields))

    assert (error.code, error.param) == ("invalid_value", param)


def test_a_name_may_be_long_and_a_recording_as_deep_as_files_lie():
    for name in ("m" * 256, "recording:/" + "folder/" * 500):
        assert parse_client_event(create(model=name)).model == name
    refused = refusal(create(model="m" * 100_000))
    assert "256 characters" in refused.message
    assert len(refused.message) < 200


def test_text_of_an_odd_shape_is_no_reason_to_refuse():
    assert isinstance(parse_client_event(create(text="x")), Create)
    assert isinstance(parse_client_event(create(text={"format": "x"})), Create)


def test_a_missing_model_is_named():
    error = refusal('{"type":"response.create","input":"hi"}')

    assert error.code == "invalid_value"
    assert "model" in error.message


def test_steering_and_unknown_events_are_refused_by_name():
    assert "response.steer" in refusal('{"type":"response.steer"}').message
    unknown = refusal('{"type":"session.update"}')
    assert (unknown.code, unknown.param) == ("unknown_type", "type")
    assert "session.update" in unknown.message


@pytest.mark.parametrize(
    "data",
    [
        "",
        "hello",
        '{"type":',
        "{'type': 1}",
        '{"type":"response.create","temperature":NaN}',
        pytest.param('{"type":"response.create","x":' + "[" * 10_000, id="deep"),
        b"\xff\xfe",
        '{"type":"response.create","model":"\\ud800"}',
    ],
)
def test_what_is_not_json_is_said_with_its_place(data):
    assert refusal(data).code == "invalid_json"


def test_the_place_of_broken_json_is_told():
    assert "(byte 26)" in refusal('{"type":"response.create",x}').message


@pytest.mark.parametrize("name", ["max_output_tokens", "seed"])
def test_a_huge_integer_is_refused_by_name(name):
    assert refusal('{"type":"response.create","model":"m","' + name + '":' + "9" * 400 + "}").param == name


def test_a_list_is_no_event():
    assert refusal("[[[[]]]]").code == "invalid_value"


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_frame_is_either_read_or_refused(data):
    try:
        parse_client_event(data)
    except WireError as error:
        error.to_frame(stream_id_of(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["model", "input", "metadata", "tools", "text", "reasoning", "retell", "seed", "stream_id"])


@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_create_is_read_or_refused_and_then_makes_a_request_or_is_refused(fields):
    try:
        event = parse_client_event(json.dumps({"type": "response.create", **fields}))
        assert isinstance(event, Create)
        request = History().request(event)
    except WireError:
        return
    assert request.messages


def test_the_stream_of_a_broken_request_is_still_found():
    assert stream_id_of('{"stream_id":"s1","type":1}') == "s1"
    assert stream_id_of('{"stream_id":1}') is None
    assert stream_id_of("[]") is None
    assert stream_id_of("nonsense") is None


def items(*items_) -> Create:
    return Create(model="m", input=list(items_))


def test_input_items_become_messages():
    create = items(
        {"type": "message", "role": "user", "content": "one"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]},
        {"role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
    )

    assert input_messages(create) == (
        Message("user", "one"),
        Message("assistant", "ab"),
        Message("developer", "rules"),
    )
    assert input_messages(Create(model="m", input="")) == ()


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({"type": "function_call_output", "output": "x"}, "unsupported", "input[0]"),
        ({"role": "robot", "content": "x"}, "invalid_value", "input[0].role"),
        ({"role": "user", "content": 3}, "invalid_value", "input[0].content"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "unsupported", "input[0].content[0]"),
        ({"role": "user", "content": ["x"]}, "unsupported", "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "invalid_value", "input[0].content[0].text"),
    ],
)
def test_an_item_that_is_no_text_is_refused_with_its_path(item, code, param):
    with pytest.raises(WireError) as caught:
        input_messages(items(item))

    assert (caught.value.code, caught.value.param) == (code, param)


def test_images_are_called_images():
    with pytest.raises(WireError, match="images are not supported"):
        input_messages(items({"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}))


def test_a_response_is_continued_with_all_that_went_before():
    history = History()
    first = history.request(Create(model="m", input="one", instructions="brief"))
    history.remember("resp_1", first, "two")

    second = history.request(
        Create(
            model="m",
            input="three",
            previous_response_id="resp_1",
            reasoning={"effort": "low"},
            retell=parse_client_event(create(retell={"text": "t", "source": "s", "reasoning": "r"})).retell,
        )
    )

    assert [m.content for m in second.messages] == ["one", "two", "three"]
    assert second.instructions is None  # as the API has it: instructions are of one response
    assert second.reasoning_effort == "low"
    assert second.retell == Retell("t", "s", "r")


def test_a_conversation_can_fork():
    history = History()
    history.remember("resp_1", history.request(Create(model="m", input="one")), "two")

    forks = [history.request(Create(model="m", input=text, previous_response_id="resp_1")) for text in ("a", "b")]

    assert [fork.messages[-1].content for fork in forks] == ["a", "b"]


def test_a_conversation_is_named_after_its_first_response():
    history = History(responses=2)
    asked = Create(model="m", input="x")
    for previous, response in ((None, "r1"), ("r1", "r2"), ("r2", "r3")):
        create = Create(model="m", input="x", previous_response_id=previous)
        name = history.conversation(create, response)
        history.remember(response, history.request(create), "y", conversation=name)
        assert name == "r1"

    assert history.conversation(asked, "r4") == "r4"


def test_an_unknown_response_cannot_be_continued():
    with pytest.raises(WireError) as caught:
        History().request(Create(model="m", input="x", previous_response_id="resp_9"))

    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("empty", ["", [], [{"role": "user", "content": ""}]])
def test_nothing_to_answer_is_refused(empty):
    with pytest.raises(WireError, match="input: is empty"):
        History().request(Create(model="m", input=empty))


def test_the_oldest_responses_are_forgotten():
    history = History(responses=2, characters=100)
    for number in range(3):
        history.remember(f"r{number}", history.request(Create(model="m", input="x")), "y")

    with pytest.raises(WireError):
        history.request(Create(model="m", input="x", previous_response_id="r0"))
    assert history.request(Create(model="m", input="x", previous_response_id="r1"))


def test_long_conversations_push_others_out_but_never_themselves():
    history = History(responses=10, characters=100)
    history.remember("r0", history.request(Create(model="m", input="x" * 60)), "")
    history.remember("r1", history.request(Create(model="m", input="x" * 200)), "")

    with pytest.raises(WireError):
        history.request(Create(model="m", input="x", previous_response_id="r0"))
    assert history.request(Create(model="m", input="x", previous_response_id="r1"))
