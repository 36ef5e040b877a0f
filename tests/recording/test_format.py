import json
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.clock import VirtualClock
from chatapp.recording.codec import decode_event
from chatapp.recording.format import CODES, Quantizer, depth_exceeded, format_line, interval_ns
from chatapp.recording.writer import Recorder
from chatapp.stream.events import (
    BackendInfo,
    Delta,
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


@given(st.lists(st.integers(0, 10**13), min_size=1), st.integers(0, 10**15))
def test_intervals_are_whole_microseconds_that_lose_nothing(instants, start_ns):
    quantizer = Quantizer(start_ns)
    line_ns = 0
    for at_ns in instants:
        micros, rest = quantizer.step(start_ns + at_ns)
        written = json.loads(format_line(micros, "t", b"{}"))[0]
        line_ns += interval_ns(written)
        assert line_ns + rest == at_ns
        assert micros >= 0
        assert rest < 1_000


@pytest.mark.parametrize(
    ("line", "exceeded"),
    [
        (b'[0,"t",{}]', False),
        (b"[" * 32 + b"]" * 32, False),
        (b"[" * 33 + b"]" * 33, True),
        (b'{"a":' * 33, True),
        (b"[[]," * 40, True),
        (b'["' + b"[" * 100 + b'"]', False),
        (b'["\\"' + b"[" * 100 + b'"]', False),
        (b"[" + b"[]," * 100 + b"]", False),
    ],
)
def test_depth_counts_brackets_outside_strings(line, exceeded):
    assert depth_exceeded(line) is exceeded


@pytest.mark.parametrize("interval", [-0.1, float("nan"), float("inf"), 86_401])
def test_impossible_intervals_are_refused(interval):
    with pytest.raises(ValueError, match="interval"):
        interval_ns(interval)


def test_a_line_that_says_nothing_of_an_answer_is_no_event():
    assert decode_event(None, 0) is None


def test_the_shipped_schema_is_true_of_what_is_written(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, title="All", streams={"a": {"seed": 7}}, clock=VirtualClock()) as recorder:
        request = Request((Message("user", "Hi"),), "Brief.", 5, 0.1, 3, "low", Retell("text", "local"), {"a": "b"})
        recorder.begin("a", request, BackendInfo("n", "l", "live", "p", "m", "note", {"x": 1.5}), response_id="r1")
        for event in (
            Notice("progress", "loading", 0.5),
            Sent(10, "kernel", {"tcp": 1}, True, "id"),
            Delta("x", 20, "answer", 1, 5),
            Delta("y", 30, "reasoning"),
            Usage(1, 2, 3, 4),
            ServerTiming("groq", 1, 2, 3, 4, 5, 6),
            Finished(40, "stop", {"date": "d"}),
            Finished(40, "cancelled"),
            Failed(50, "stalled", "m", "h", 500, True, 1.5),
        ):
            recorder.record("a", event)
        recorder.mark("chapter")
        recorder.key("escape")
        recorder.typed("hello")
    schema = json.loads(files("chatapp.recording").joinpath("tokcast.schema.json").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        validator.validate(line)
    assert {line[1] for line in lines[1:]} == set(CODES) - {"g", "x"}
    for wrong in (
        {"format": "cast", "version": 1},
        [0, "t", {"x": "no stream"}],
        [-1, "m", "a"],
        [0, "z", {"extra": 1}],
    ):
        assert not validator.is_valid(wrong), wrong
