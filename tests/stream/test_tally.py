import pytest

from chatapp.stream.events import Usage
from chatapp.stream.tally import Tally
from chatapp.stream.timeline import ANSWER, REASONING, Timeline

MS = 1_000_000


def tallied(rows):
    """Build a tally of (text, stated tokens, channel) rows 10 ms apart."""
    timeline = Timeline()
    tally = Tally(timeline)
    for i, (text, tokens, channel) in enumerate(rows):
        timeline.append(i * 10 * MS, len(text), tokens=tokens, channel=channel)
        if tokens:
            tally.feed_stated(tokens, channel)
        tally.feed_text(text, channel)
    return tally


def test_the_sources_own_counts_drive_the_figures_where_it_states_them():
    tally = tallied([(" word word", 3, ANSWER)] * 10)
    assert tally.stated
    assert tally.update(None).output == tally.total == 30
    assert tally.common == 20
    assert list(tally.column) == [3] * 10


def test_a_source_that_states_only_some_chunks_is_counted_here():
    tally = tallied([(" word", 1, ANSWER), (" word", 0, ANSWER), (" word", 0, ANSWER)])
    assert not tally.stated
    assert tally.update(None).output == 3


def test_the_pace_changes_over_when_the_source_begins_to_state():
    timeline = Timeline()
    tally = Tally(timeline)
    timeline.append(0, 5)
    tally.feed_text(" word", ANSWER)
    tally.update(None)
    for i in range(1, 20):
        timeline.append(i * 10 * MS, 5, tokens=4)
        tally.feed_stated(4, ANSWER)
        tally.feed_text(" word", ANSWER)
    tally.update(None)
    assert tally.stated
    assert tally.pace.peak == pytest.approx(400)


def test_a_token_does_not_span_a_change_of_channel():
    tally = tallied([("hel", 0, REASONING), ("hel", 0, ANSWER), ("lo", 0, REASONING)])
    tally.finish()
    tally.update(None)
    assert list(tally.column) == [1, 1, 1]


def test_an_ended_channel_does_not_hold_the_peak_back():
    tally = tallied([(" thinking", 0, REASONING)] * 5 + [(" word", 0, ANSWER)] * 200)
    tally.update(None)
    assert tally.pace.peak == pytest.approx(100)


def test_scaled_counts_sum_to_usage_channel_by_channel():
    tally = tallied([(" word", 0, REASONING)] * 10 + [(" word", 0, ANSWER)] * 10)
    tally.finish()
    counts = tally.update(Usage(output_tokens=35, reasoning_tokens=20))
    assert tally.scaled(counts) == pytest.approx([2.0] * 10 + [1.5] * 10)
    assert tally.scale(counts) == pytest.approx(1.75)


def test_unscaled_counts_are_the_column():
    tally = tallied([(" word", 0, ANSWER)] * 3)
    counts = tally.update(None)
    assert tally.scaled(counts) == [1, 1, 1]
    assert Tally(Timeline()).scale(counts) == 1
