import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.stream.timeline import ANSWER, REASONING, Timeline
from chatapp.stream.tokens import (
    LONGEST_SPAN,
    TokenAttribution,
    TokenCounter,
    count_tokens,
    load_encoding,
)

TEXTS = [
    "The quick brown fox doesn't jump over 12345 lazy dogs.\n\n```python\nfor i in range(10):\n    print(i)\n```\n",
    "日本語のテキスト、そして漢字。中文也一样，我们测试。",
    "emoji 👩‍👩‍👧‍👦 and é decomposed, tabs\t\tand   runs of spaces   \n  \n end ",
    "x²+y² = z_2; snake_case_name; 'S'S don'T we'LL\r\n\r\nDONE",
]
pieces = st.lists(st.text(max_size=12) | st.sampled_from(["'s", " ", "\n", "word", " 12", "_", "é"]), max_size=30)


def whole(text):
    return len(load_encoding().encode_ordinary(text))


def streamed(parts):
    counter = TokenCounter()
    for part in parts:
        counter.feed(part)
        counter.advance()
    counter.cut()
    counter.advance()
    return counter.count


@pytest.mark.parametrize("text", TEXTS)
def test_counting_in_pieces_is_counting_the_whole(text):
    assert streamed(list(text)) == whole(text) == count_tokens(text)


@given(pieces)
@settings(max_examples=150)
def test_any_split_counts_the_same_as_the_whole(parts):
    text = "".join(parts)
    assert streamed(parts) == whole(text)


def test_text_without_a_boundary_is_cut_so_that_its_cost_stays_linear():
    text = "a" * (LONGEST_SPAN * 3) + " end"
    expected = 3 * whole("a" * LONGEST_SPAN) + whole(" end")
    assert streamed([text]) == streamed(list(text)) == count_tokens(text) == expected


def test_the_tail_is_held_back_until_no_token_can_grow():
    counter = TokenCounter()
    counter.feed("hello wor")
    assert counter.advance() == [5]
    assert counter.tail() == [9]
    assert not counter.settled
    counter.feed("ld ")
    assert counter.advance() == [11]
    assert counter.count == 2
    counter.cut()
    assert counter.advance() == [12]
    assert counter.settled
    assert counter.tail() == []


def test_tokens_that_are_parts_of_a_character_end_with_it():
    counter = TokenCounter()
    counter.feed("\N{SYMBOL FOR NULL}\U0001f9ff")
    counter.cut()
    ends = counter.advance()
    assert len(ends) > 2
    assert ends == sorted(ends)
    assert ends[-1] == 2


def attribute(rows, *, provisional_each=False):
    """Feed (text, channel) rows and return the timeline's common column."""
    timeline = Timeline()
    attributions = [TokenAttribution(timeline, code) for code in (ANSWER, REASONING)]
    for i, (text, channel) in enumerate(rows):
        timeline.append(i, len(text), channel=channel)
        attributions[channel].feed(text)
        if provisional_each:
            for attribution in attributions:
                attribution.advance()
    for attribution in attributions:
        attribution.cut()
        assert attribution.advance() == len(timeline)
    assert sum(timeline.common) == sum(attribution.count for attribution in attributions)
    return list(timeline.common)


def test_a_token_belongs_to_the_arrival_that_completed_it():
    rows = [("hel", 0), ("lo", 0), (" wor", 0), ("ld and more", 0)]
    assert attribute(rows) == [0, 1, 0, 3]
    assert attribute(rows, provisional_each=True) == [0, 1, 0, 3]


def test_channels_are_attributed_apart():
    rows = [("think", 1), ("ing hard", 1), ("an", 0), (" more", 1), ("swer", 0)]
    expected = [0, 2, 0, 1, 1]
    assert attribute(rows) == attribute(rows, provisional_each=True) == expected


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.sampled_from([0, 1])), max_size=20))
@settings(max_examples=100)
def test_attribution_is_the_same_whenever_it_is_brought_up_to_date(rows):
    assert attribute(rows) == attribute(rows, provisional_each=True)


def test_the_tail_counts_provisionally_for_a_live_figure():
    timeline = Timeline()
    attribution = TokenAttribution(timeline, ANSWER)
    timeline.append(0, 5)
    attribution.feed("hello")
    assert attribution.advance() == 0
    assert list(timeline.common) == [1]
    timeline.append(1, 3)
    attribution.feed("ish")
    attribution.advance()
    assert sum(timeline.common) == attribution.count == whole("helloish")


def test_text_without_rows_of_its_own_goes_to_the_last_one():
    timeline = Timeline(capacity=1)
    attribution = TokenAttribution(timeline, ANSWER)
    for text in ("one", " two", " three"):
        timeline.append(0, len(text))
        attribution.feed(text)
    attribution.feed(" and text that no row accounts for")
    attribution.cut()
    attribution.advance()
    assert list(timeline.common) == [whole("one two three and text that no row accounts for")]
