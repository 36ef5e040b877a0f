"""Chunks as the providers send them; each odd one here was seen in the wild."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.dialects import ChatDecoder, is_failure, read_usage
from chatapp.stream.events import Delta, Failed, Notice, ServerTiming, Usage


def body(delta=None, *, finish=None, index=0, **top):
    return json.dumps({"choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **top}).encode()


def decode(*chunks, provider=""):
    decoder = ChatDecoder(provider)
    events = [event for at, chunk in enumerate(chunks) for event in decoder.decode(chunk, at)]
    return decoder, events


def texts(events):
    return [(e.channel, e.text) for e in events if isinstance(e, Delta)]


def test_role_only_first_chunk_is_no_text():
    _, events = decode(body({"role": "assistant", "content": ""}), body({"content": "Hi"}))
    assert events == [Delta("Hi", 1)]


def test_stamps_go_through():
    (event,) = ChatDecoder().decode(body({"content": "a"}), 77, 5)
    assert (event.at_ns, event.uncertainty_ns) == (77, 5)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_of_both_dialects(field):
    _, events = decode(body({field: "hm", "content": None}), body({"content": "Hi"}))
    assert texts(events) == [("reasoning", "hm"), ("answer", "Hi")]


def test_reasoning_and_answer_in_one_chunk_come_in_that_order():
    _, events = decode(body({"reasoning_content": "hm", "content": "Hi"}))
    assert texts(events) == [("reasoning", "hm"), ("answer", "Hi")]


def test_usage_only_last_chunk():
    decoder, events = decode(
        body({"content": "Hi"}, finish="stop"),
        b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}',
        b"[DONE]",
    )
    assert texts(events) == [("answer", "Hi")]
    assert (decoder.done, decoder.finish_reason) == (True, "stop")
    assert decoder.close() == [Usage(3, 1)]


def test_done_with_white_space():
    decoder, events = decode(b" [DONE] ")
    assert (decoder.done, events) == (True, [])


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("tool_calls", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
    ],
)
def test_finish_reasons(said, meant):
    decoder, _ = decode(body(finish=said))
    assert decoder.finish_reason == meant


def test_only_the_first_of_several_choices_is_shown():
    _, events = decode(body({"content": "a"}), body({"content": "b"}, index=1), body({"content": "c"}, index=1))
    assert texts(events) == [("answer", "a")]
    assert [e.kind for e in events if isinstance(e, Notice)] == ["warning"]


def test_tool_calls_are_said_once():
    call = {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}
    _, events = decode(body({"tool_calls": []}), body({"tool_calls": None}), body(call), body(call))
    assert [type(e) for e in events] == [Notice]


def test_completions_text_field():
    _, events = decode(b'{"choices":[{"text":"Hi","index":0}]}', b'{"choices":[{"text":"","index":0}]}')
    assert texts(events) == [("answer", "Hi")]


def test_cerebras_time_info():
    info = {"queue_time": 0.001, "prompt_time": 0.004, "completion_time": 0.5, "total_time": 0.505, "created": 1}
    decoder, _ = decode(body(finish="stop", time_info=info, usage={"prompt_tokens": 8, "completion_tokens": 500}))
    usage, timing = decoder.close()
    assert usage == Usage(8, 500)
    assert timing == ServerTiming("cerebras", 0.001, 0.004, 0.5, 0.505, 2000.0, 1000.0)


@pytest.mark.parametrize("usage", [{}, {"completion_tokens": -3}, {"total_tokens": "many"}, 7])
def test_a_usage_without_counts_is_said(usage):
    decoder, _ = decode(body(finish="stop", usage=usage))
    (notice,) = decoder.close()
    assert isinstance(notice, Notice)
    assert notice.kind == "warning"
    assert "usage holds no counts" in notice.message


def test_no_usage_is_nothing_to_warn_of():
    decoder, _ = decode(body({"content": "a"}, usage=None), body(finish="stop"))
    assert decoder.close() == []


def test_groq_x_groq_usage():
    inner = {"prompt_tokens": 8, "completion_tokens": 10, "queue_time": 0.1, "completion_time": 0.02}
    decoder, _ = decode(body(finish="stop", x_groq={"id": "r", "usage": inner}))
    assert decoder.close() == [Usage(8, 10), ServerTiming("groq", 0.1, None, 0.02, None, None, 500.0)]


def test_groq_times_in_usage_itself():
    inner = {"prompt_tokens": 8, "completion_tokens": 10, "completion_time": 0.02}
    decoder, _ = decode(body(finish="stop", usage=inner), provider="groq")
    assert decoder.close()[1] == ServerTiming("groq", decode_s=0.02, decode_tps=500.0)


def test_x_groq_without_usage_is_nothing():
    decoder, _ = decode(body({"content": "a"}, x_groq={"id": "r"}))
    assert decoder.close() == []


def test_llama_cpp_timings():
    timings = {"prompt_ms": 30.0, "prompt_per_second": 400.0, "predicted_ms": 500.0, "predicted_per_second": 60.0}
    decoder, _ = decode(json.dumps({"choices": [], "usage": {"prompt_tokens": 12}, "timings": timings}).encode())
    assert decoder.close() == [Usage(12), ServerTiming("llama.cpp", None, 0.03, 0.5, 0.53, 400.0, 60.0)]


def test_llama_cpp_timings_in_part():
    decoder, _ = decode(b'{"choices":[],"timings":{"predicted_per_second":60}}')
    assert decoder.close() == [ServerTiming("llama.cpp", decode_tps=60.0)]


def test_moonshot_usage_in_the_choice_and_cached_tokens():
    last = {
        "choices": [
            {"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 9, "cached_tokens": 4}}
        ]
    }
    decoder, _ = decode(json.dumps(last).encode())
    assert decoder.close() == [Usage(9, cached_tokens=4)]


def test_vllm_continuous_usage_counts_the_tokens_of_each_chunk():
    _, events = decode(
        body({"role": "assistant", "content": ""}, usage={"completion_tokens": 0}),
        body({"content": "ab"}, usage={"completion_tokens": 3}),
        body({"reasoning_content": "c"}, usage={"completion_tokens": 4}),
        body({"content": "d", "reasoning_content": "e"}, usage={"completion_tokens": 9}),
        body({"content": "f"}, usage={"completion_tokens": 2}),
    )
    assert [e.tokens for e in events] == [3, 1, 0, 0, 0]


@pytest.mark.parametrize("literal", ["NaN", "-1", "Infinity", '"0.5"', "true"])
def test_impossible_timing_is_dropped_with_a_warning(literal):
    chunk = f'{{"choices":[],"timings":{{"predicted_ms":{literal},"predicted_per_second":50}}}}'
    decoder, events = decode(chunk.encode())
    assert events == []
    warning, timing = decoder.close()
    assert "predicted_ms" in warning.message
    assert timing == ServerTiming("llama.cpp", decode_tps=50.0)


def test_timing_of_nothing_but_impossible_values_is_none():
    decoder, _ = decode(b'{"choices":[],"time_info":{"queue_time":-1,"total_time":null}}')
    assert [type(e) for e in decoder.close()] == [Notice]
    decoder, _ = decode(b'{"choices":[],"timings":{"prompt_ms":-1}}')
    assert [type(e) for e in decoder.close()] == [Notice]


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({}, None),
        ({"prompt_tokens": None}, None),
        ({"prompt_tokens": -1, "completion_tokens": 1.5}, None),
        ({"prompt_tokens": 3.0}, Usage(3)),
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4)),
        (
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 5}},
            Usage(None, 9, reasoning_tokens=5),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}}, Usage(9, cached_tokens=5)),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 6}, Usage(9, cached_tokens=6)),  # DeepSeek
        ({"prompt_tokens": 9, "prompt_tokens_details": 7}, Usage(9)),
    ],
)
def test_usage_in_every_spelling(raw, usage):
    assert read_usage(raw) == usage


def test_error_inside_a_stream_is_a_failure_not_text():
    _, events = decode(b'{"error":{"message":"overloaded","type":"overloaded_error"}}')
    failure = is_failure(events)
    assert isinstance(failure, Failed)
    assert (failure.code, failure.message, failure.at_ns) == ("server_error", "overloaded", 0)


@pytest.mark.parametrize("data", [b'{"error":"broken","choices":7}', b'{"error":"broken"}'])
def test_error_as_a_string(data):
    _, events = decode(data)
    assert is_failure(events).message == "broken"


@pytest.mark.parametrize("data", [b'{"message":"gone","code":"x"}', b"gone"])
def test_event_type_error(data):
    events = ChatDecoder().decode(data, 1, event_type="error")
    assert "gone" in is_failure(events).message


def test_error_null_is_none():
    _, events = decode(body({"content": "a"}, error=None))
    assert is_failure(events) is None
    assert texts(events) == [("answer", "a")]


def test_no_events_are_no_failure():
    assert is_failure([]) is None


@pytest.mark.parametrize("data", [b"{", b"[1]", b"7", b"\xff", b"", b"[" * 100_000])
def test_bad_chunks_are_counted_and_skipped(data):
    decoder, events = decode(data, body({"content": "a"}))
    assert texts(events) == [("answer", "a")]
    assert decoder.bad_chunks == 1
    assert "1 chunk(s)" in decoder.close()[0].message


def test_content_as_parts():
    parts = [{"type": "text", "text": "a"}, {"type": "thinking"}, "x", {"text": 7}, {"text": "b"}]
    _, events = decode(body({"content": parts}))
    assert texts(events) == [("answer", "ab")]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": None},
        {"choices": [7]},
        {"choices": [{"delta": 7, "index": "0"}]},
        {"choices": [{"delta": None, "index": "x", "finish_reason": 5}]},
        {"choices": {}, "usage": 7, "id": 5},
        {"choices": [{"index": "0", "delta": {"content": 5, "tool_calls": []}}]},
    ],
)
def test_wrong_types_are_no_text_and_no_crash(chunk):
    decoder, events = decode(json.dumps(chunk).encode())
    assert texts(events) == []
    assert decoder.bad_chunks == 0


def test_a_whole_answer_in_one_message():
    whole = {"choices": [{"index": "0", "message": {"content": "Hi", "tool_calls": [1]}, "finish_reason": "stop"}]}
    decoder, events = decode(json.dumps(whole).encode())
    assert texts(events) == [("answer", "Hi")]
    assert decoder.finish_reason == "stop"


def test_provenance_is_of_the_first_chunk_that_has_any():
    decoder, _ = decode(body({}), body({}, id="r1", model="m", system_fingerprint="fp"), body({}, id="r2"))
    assert decoder.provenance == {"response_id": "r1", "model": "m", "system_fingerprint": "fp"}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "usage",
                    "completion_tokens",
                    "timings",
                    "prompt_ms",
                    "time_info",
                    "error",
                    "x_groq",
                    "index",
                    "finish_reason",
                    "reasoning",
                    "tool_calls",
                    "text",
                    "message",
                    "id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_breaks_it(value):
    decoder, _ = decode(json.dumps({"choices": [value], "usage": value, "timings": value}).encode())
    decoder.decode(json.dumps(value).encode(), 0)
    for event in decoder.close():
        assert isinstance(event, (Usage, ServerTiming, Notice))


@given(st.binary(max_size=60))
def test_no_bytes_break_it(data):
    decoder, _ = decode(data)
    decoder.close()
