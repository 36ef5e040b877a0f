import math

import pytest

from chatapp.stream.counts import clean_usage, reconcile
from chatapp.stream.events import Usage


def codes(counts):
    return [warning.partition(":")[0] for warning in counts.warnings]


def test_without_usage_the_count_is_an_estimate():
    counts = reconcile(100, 20, None)
    assert (counts.output, counts.reasoning, counts.source, counts.estimated) == (120, 20, "estimate", True)
    assert counts.estimate_error is None
    assert reconcile(0, 0, None).output is None
    assert reconcile(10, 0, Usage(input_tokens=5)).estimated


def test_a_source_that_states_its_chunks_needs_no_usage():
    assert reconcile(100, 0, None, stated=True).source == "usage"


def test_usage_scales_the_estimate_to_its_total_and_the_error_is_kept():
    counts = reconcile(80, 20, Usage(output_tokens=125))
    assert (counts.output, counts.source, counts.hidden) == (125, "usage", 0)
    assert counts.scale_answer == counts.scale_reasoning == pytest.approx(1.25)
    assert counts.reasoning == 25
    assert counts.estimate_error == pytest.approx(100 / 125 - 1)


def test_reasoning_and_answer_are_scaled_apart():
    counts = reconcile(100, 50, Usage(output_tokens=180, reasoning_tokens=60))
    assert (counts.scale_answer, counts.scale_reasoning) == pytest.approx((1.2, 1.2))
    assert (counts.reasoning, counts.hidden) == (60, 0)
    counts = reconcile(100, 50, Usage(output_tokens=200, reasoning_tokens=100))
    assert (counts.scale_answer, counts.scale_reasoning) == pytest.approx((1.0, 2.0))


def test_no_reasoning_is_counted_as_none():
    counts = reconcile(100, 0, Usage(output_tokens=100, reasoning_tokens=0))
    assert (counts.reasoning, counts.hidden, counts.warnings) == (0, 0, ())


def test_hidden_reasoning_is_kept_out_of_the_visible_count():
    counts = reconcile(100, 0, Usage(output_tokens=9100, reasoning_tokens=9000))
    assert (counts.output, counts.hidden, counts.scale_answer) == (9100, 9000, 1.0)
    assert codes(counts) == ["hidden_reasoning"]
    summary = reconcile(100, 50, Usage(output_tokens=9100, reasoning_tokens=9000))
    assert (summary.hidden, summary.scale_reasoning) == (8950, 1.0)


def test_a_few_hidden_reasoning_tokens_do_not_scale_the_answer():
    counts = reconcile(5, 0, Usage(output_tokens=11, reasoning_tokens=6))
    assert (counts.hidden, counts.scale_answer, counts.warnings) == (6, 1.0, ())


def test_a_total_far_beyond_the_text_is_hidden_not_fast():
    counts = reconcile(100, 0, Usage(output_tokens=5000))
    assert (counts.output, counts.hidden, counts.source, counts.scale_answer) == (5000, 4900, "estimate", 1.0)
    assert codes(counts) == ["hidden_tokens"]


@pytest.mark.parametrize(
    ("usage", "code"),
    [
        (Usage(output_tokens=0), "usage_empty"),
        (Usage(output_tokens=10), "usage_too_small"),
        (Usage(output_tokens=10, reasoning_tokens=900), "usage_inconsistent"),
        (Usage(output_tokens=30, reasoning_tokens=20), "usage_implausible"),
    ],
)
def test_usage_smaller_than_what_was_seen_is_marked_and_not_used(usage, code):
    counts = reconcile(100, 0, usage)
    assert codes(counts)[0] == code
    assert (counts.output, counts.source, counts.scale_answer) == (100, "estimate", 1.0)


def test_reasoning_counted_smaller_than_seen_keeps_its_own_count():
    counts = reconcile(100, 300, Usage(output_tokens=110, reasoning_tokens=10))
    assert codes(counts) == ["usage_too_small"]
    assert (counts.scale_answer, counts.scale_reasoning, counts.hidden) == (1.0, 1.0, 0)


def test_stop_tokens_do_not_scale_a_short_answer():
    counts = reconcile(1, 0, Usage(output_tokens=5))
    assert (counts.output, counts.source, counts.scale_answer) == (5, "usage", 1.0)


def test_usage_without_text_is_kept():
    counts = reconcile(0, 0, Usage(output_tokens=0))
    assert (counts.output, counts.source, counts.estimate_error) == (0, "usage", None)
    thought = reconcile(0, 0, Usage(output_tokens=500, reasoning_tokens=500))
    assert (thought.hidden, thought.estimate_error) == (500, None)


@pytest.mark.parametrize("bad", [-1, math.nan, 1.5, True, "7"])
def test_impossible_counts_are_dropped_with_a_warning(bad):
    usage, warnings = clean_usage(Usage(input_tokens=3, output_tokens=bad))
    assert usage == Usage(input_tokens=3)
    assert warnings[0].startswith("usage_invalid: the server's output_tokens")
