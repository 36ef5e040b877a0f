import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.stream.answer import Answer
from chatapp.stream.events import (
    Arrival,
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
from tests.stream.conftest import INFO

MS = 1_000_000
S = 1_000 * MS


def codes(answer):
    return [warning.partition(":")[0] for warning in answer.final().warnings]


def test_events_accumulate(answer):
    assert answer.phase == "waiting"
    answer.feed(Notice(kind="progress", message="loading"))
    answer.feed(Sent(at_ns=1 * MS, source="kernel"))
    assert answer.phase == "sent"
    answer.feed(Delta(text="hm ", at_ns=2 * MS, channel="reasoning"))
    answer.feed(Delta(text="Hello ", at_ns=3 * MS))
    answer.feed(Delta(text="world", at_ns=4 * MS))
    assert answer.phase == "streaming"
    assert (answer.text, answer.reasoning) == ("Hello world", "hm ")
    assert answer.text == "Hello world"
    answer.feed(Usage(input_tokens=7, output_tokens=4))
    answer.feed(Finished(at_ns=5 * MS))
    assert answer.outcome == answer.phase == "done"
    assert answer.arrival_source == "kernel"
    assert [notice.message for notice in answer.notices] == ["loading"]
    figures = answer.final()
    assert (figures.ttft_ms, figures.ttfa_ms) == (1, 2)
    assert (figures.input_tokens, figures.input_estimated) == (7, False)
    assert figures.warnings == ()


@pytest.mark.parametrize(
    ("reason", "outcome", "error"),
    [
        ("stop", "done", None),
        ("length", "length", None),
        ("cancelled", "cancelled", "cancelled: the answer is partial"),
        ("truncated", "truncated", "truncated: the answer is partial"),
        ("content_filter", "truncated", "truncated: the answer is partial"),
    ],
)
def test_how_an_answer_ended(answer, reason, outcome, error):
    answer.feed(Sent(at_ns=0))
    answer.feed(Delta(text="x", at_ns=1))
    answer.feed(Finished(at_ns=2, reason=reason))
    assert answer.outcome == outcome
    assert answer.final().error == error
    assert ("content_filter" in codes(answer)) == (reason == "content_filter")


def test_a_failure_keeps_what_came_and_is_an_error(answer):
    answer.feed(Sent(at_ns=0))
    answer.feed(Delta(text="partial", at_ns=MS))
    answer.feed(Failed(at_ns=2 * MS, code="stalled", message="no data for 30 s"))
    assert answer.outcome == "failed"
    assert answer.failure.code == "stalled"
    assert answer.final().error == "stalled: no data for 30 s"
    assert answer.final().ttft_ms == 1


def test_an_answer_that_has_not_ended_says_so(answer):
    assert answer.final().error == "unfinished: the answer has not ended"


def test_after_a_retry_the_last_request_counts(answer):
    answer.feed(Sent(at_ns=0))
    answer.feed(Sent(at_ns=5 * S))
    answer.feed(Delta(text="x", at_ns=5 * S + MS))
    assert answer.final().ttft_ms == 1


def test_continuous_usage_keeps_the_newest_of_each_count(answer):
    answer.feed(Usage(input_tokens=9, output_tokens=1))
    answer.feed(Usage(output_tokens=2))
    assert answer.usage == Usage(input_tokens=9, output_tokens=2)


def test_input_tokens_are_estimated_from_the_request_until_the_server_counts_them():
    request = Request(messages=(Message(role="user", content="one two three"),), instructions="be brief")
    answer = Answer(INFO, request)
    figures = answer.final()
    assert figures.input_tokens == 3 + 2 + 2 * 4
    assert figures.input_estimated
    assert Answer(INFO).final().input_tokens is None
    assert Answer(INFO, Request(messages=())).final().input_tokens == 0


def test_parts_of_a_character_are_counted_with_the_text_they_become(answer):
    answer.feed(Sent(at_ns=0))
    answer.feed(Delta(text="", at_ns=1 * MS, tokens=2))
    answer.feed(Delta(text="🧿", at_ns=2 * MS, tokens=1))
    answer.feed(Delta(text="!", at_ns=3 * MS, tokens=1))
    assert list(answer.timeline.tokens) == [3, 1]
    assert answer.final().output_tokens == 4
    assert answer.final().token_count_source == "usage"


def test_gap_histogram_is_in_milliseconds(stream):
    answer = stream([(1, "a"), (3, "b"), (5, "c")])
    ((edge, count),) = answer.gap_histogram()
    assert edge == pytest.approx(2, rel=0.02)
    assert count == 2


# Bad input: a dash or a marked figure and a warning, never a wrong number or a crash


def test_a_stream_with_no_text(stream):
    figures = stream([], Usage(input_tokens=3, output_tokens=0)).final()
    assert figures.ttft_ms is figures.output_speed_tps is figures.e2e_ms is figures.icl_ms is None
    assert (figures.output_tokens, figures.chunks) == (0, 0)
    assert [warning.partition(":")[0] for warning in figures.warnings] == ["no_text"]


def test_an_answer_that_failed_needs_no_text(stream):
    answer = stream([], Failed(at_ns=MS, code="server_error", message="boom"), end=False)
    assert codes(answer) == []


def test_what_the_decoder_warned_of_is_in_the_file(stream):
    notices = Notice("warning", "impossible values dropped"), Notice("retry", "again"), Notice("warning", "bad chunk")
    answer = stream([(1, "a")], *notices, notices[0])
    assert answer.final().warnings == ("notice: impossible values dropped", "notice: bad chunk")


def test_another_backends_answer_says_so_beside_its_figures():
    answer = Answer(INFO)
    answer.feed(Notice("fallback", "a did not answer: b instead"))
    assert answer.final().warnings == ("fallback: a did not answer: b instead",)


def test_one_chunk(stream):
    figures = stream([(5, "all of it at once")], Usage(output_tokens=5)).final()
    assert (figures.ttft_ms, figures.e2e_ms) == (5, 5)
    assert figures.output_speed_tps is figures.tpot_ms is figures.peak_tps is figures.icl_ms is None


def test_empty_usage(stream):
    figures = stream([(5, "one"), (6, " two")], Usage()).final()
    assert figures.output_tokens == 2
    assert figures.token_count_source == "estimate"


def test_usage_smaller_than_what_was_seen(stream):
    answer = stream([(i, " word") for i in range(100)], Usage(output_tokens=3))
    assert codes(answer) == ["usage_too_small"]
    assert answer.final().output_speed_tps == pytest.approx(1000)
    assert answer.final().token_count_source == "estimate"


def test_out_of_order_stamps(stream):
    answer = stream([(10, " a"), (30, " b"), (20, " c"), (40, " d")])
    figures = answer.final()
    assert "clock_step" in codes(answer)
    assert figures.doubtful
    assert figures.e2e_ms == 40
    assert figures.icl_ms >= 0


def test_negative_stamps(answer):
    answer.feed(Sent(at_ns=-5 * MS))
    answer.feed(Delta(text="a", at_ns=-2 * MS))
    answer.feed(Delta(text="b", at_ns=-1 * MS, uncertainty_ns=-7, tokens=-3))
    assert answer.final().ttft_ms == 3


def test_a_clock_step_before_the_first_text_makes_a_dash_not_a_negative_latency(answer):
    answer.feed(Sent(at_ns=10 * S))
    answer.feed(Delta(text="a", at_ns=1 * S))
    answer.feed(Finished(at_ns=MS))
    figures = answer.final()
    assert figures.ttft_ms is figures.e2e_ms is figures.perceived_tps is None
    assert codes(answer) == ["clock_step", "clock_step"]
    assert figures.doubtful


def test_a_stamp_in_the_future_is_marked(answer):
    answer.feed(Sent(at_ns=0))
    answer.feed(Delta(text="a", at_ns=60 * S))
    assert answer.snapshot(1 * S).warnings[0].startswith("clock_step")


def test_nan_in_provider_timing(stream):
    timing = ServerTiming(
        source="groq", queue_s=math.nan, prefill_s=-1, decode_s=math.inf, total_s=0.5, decode_tps="fast"
    )
    answer = stream([(5, "x")], timing)
    assert answer.server_timing == ServerTiming(source="groq", total_s=0.5)
    assert codes(answer) == ["server_timing_invalid"]
    good = ServerTiming(source="groq", queue_s=0.1)
    assert stream([(5, "x")], good).server_timing is good


def test_no_request_stamp(stream):
    answer = stream([(5, " a"), (6, " b")], sent=False)
    assert codes(answer) == ["no_request_stamp"]
    assert answer.final().ttft_ms is None
    assert answer.final().output_speed_tps is not None


def test_text_and_ends_after_the_end_are_left_out(stream):
    answer = stream([(5, "a")], Finished(at_ns=6 * MS), Delta(text="b", at_ns=7 * MS))
    assert answer.text == "a"
    assert codes(answer) == ["late_text", "second_end"]


def test_a_request_stamped_within_its_answer_is_ignored(stream):
    answer = stream([(5, "a")], Sent(at_ns=6 * MS))
    assert codes(answer) == ["late_request"]
    assert answer.final().ttft_ms == 5


@pytest.mark.parametrize("characters", [(1, 1), (5, -2)])
def test_arrivals_that_do_not_sum_to_their_text_are_one_uncertain_chunk(answer, characters):
    arrivals = tuple(Arrival(at_ns=(i + 1) * MS, characters=n) for i, n in enumerate(characters))
    answer.feed(Sent(at_ns=0))
    answer.feed(Delta(text="abc", at_ns=2 * MS, arrivals=arrivals))
    assert codes(answer) == ["arrivals_mismatch"]
    assert list(answer.timeline.characters) == [3]
    assert list(answer.timeline.uncertainty_ns) == [MS]


def test_a_full_timeline_is_said(stream):
    answer = Answer(INFO)
    answer.timeline.capacity = 3
    answer.feed(Sent(at_ns=0))
    for i in range(6):
        answer.feed(Delta(text=" word", at_ns=(i + 1) * 100 * MS))
        answer.snapshot((i + 1) * 100 * MS)
    answer.feed(Finished(at_ns=700 * MS))
    assert "folded" in codes(answer)
    assert answer.final().output_speed_tps == pytest.approx(10)


anything = st.integers(-(2**70), 2**70)
events = st.one_of(
    st.builds(Sent, at_ns=anything),
    st.builds(
        Delta,
        text=st.text(max_size=5),
        at_ns=anything,
        channel=st.sampled_from(["answer", "reasoning"]),
        tokens=st.integers(-5, 5),
        uncertainty_ns=anything,
        arrivals=st.lists(
            st.builds(Arrival, at_ns=anything, characters=st.integers(-2, 5), tokens=st.integers(-2, 5)), max_size=3
        ).map(tuple),
    ),
    st.builds(Usage, output_tokens=st.integers(-5, 50) | st.floats() | st.none(), reasoning_tokens=st.integers(-5, 50)),
    st.builds(ServerTiming, source=st.just("x"), queue_s=st.floats() | st.none(), decode_s=st.floats()),
    st.builds(Failed, at_ns=anything, code=st.just("x"), message=st.just("y")),
    st.builds(Finished, at_ns=anything),
)


@given(st.lists(events, max_size=15), anything)
def test_no_order_of_events_crashes_or_makes_a_number_that_is_none(sequence, now_ns):
    answer = Answer(INFO)
    for event in sequence:
        answer.feed(event)
        answer.snapshot(now_ns)
    for value in answer.final().to_json().values():
        if isinstance(value, float):
            assert math.isfinite(value)
            assert value >= 0 or value > -1.0001  # the estimate's error is a share; nothing else may be negative
