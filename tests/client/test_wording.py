import pytest

from chatapp.client import wording
from chatapp.stream.figures import Figures


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0.1234, "0.12 ms"),
        (0.996, "1.0 ms"),
        (9.94, "9.9 ms"),
        (9.996, "10 ms"),
        (420.4, "420 ms"),
        (999.6, "1.00 s"),
        (1210, "1.21 s"),
        (12_340, "12.3 s"),
        (99_960, "1:40 min"),
        (163_700, "2:44 min"),
    ],
)
def test_seconds(ms, text):
    assert wording.seconds(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0.8, "0.8ms"),
        (42, "42ms"),
        (99.6, "100ms"),
        (420, "420ms"),
        (999.6, "1.00s"),
        (12_340, "12.3s"),
        (163_700, "164s"),
    ],
)
def test_short_seconds_fit_five_columns(ms, text):
    assert wording.short_seconds(ms) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("tps", "text"), [(None, "–"), (5, "5.00"), (54.3, "54.3"), (99.96, "100"), (981.4, "981"), (19_999.6, "20,000")]
)
def test_speed(tps, text):
    assert wording.speed(tps) == text


def test_counts_factors_costs_and_sizes():
    assert wording.count(None) == "–"
    assert wording.count(1234, estimated=True) == "~1,234"
    assert [wording.factor(ratio) for ratio in (None, 6.66, 99.96, 1234)] == ["–", "6.7×", "100×", "1,234×"]
    assert [wording.cost(usd) for usd in (None, 0, 0.00001, 0.0012, 0.25, 3)] == [
        "–",
        "$0",
        "<$0.0001",
        "$0.0012",
        "$0.25",
        "$3.00",
    ]
    assert [wording.size(n) for n in (999, 12_345, 999_960)] == ["999 B", "12.3 kB", "1.0 MB"]


@pytest.mark.parametrize(
    ("ms", "tag"),
    [(None, ""), (99.9, "under 0.1 s"), (100, "under 1 s"), (9_999, "under 10 s"), (10_000, "over 10 s")],
)
def test_limit_tag(ms, tag):
    assert wording.limit_tag(ms) == tag
    assert wording.limit_tag(ms, felt=True).startswith(tag)


def test_footer_says_what_is_known_and_how():
    figures = Figures(output_speed_tps=981.2, ttft_ms=420, e2e_ms=928, output_tokens=499)
    assert wording.footer(figures) == "981 tok/s · TTFT 420 ms · 928 ms · ~499 tokens"
    assert wording.footer(Figures(), simulated_note="simulated", usd=0.25) == "$0.25 · simulated"


@pytest.mark.parametrize(
    ("tokens_per_s", "text"),
    [(None, "–"), (9.87, "9.87"), (9_999.4, "9,999"), (9_999.6, "10.0k"), (99_949, "99.9k"), (123_456, "123k")],
)
def test_short_speeds_fit_five_columns(tokens_per_s, text):
    assert wording.short_speed(tokens_per_s) == text


def test_a_limit_in_the_millions_is_an_order_of_magnitude():
    assert wording.rounded_speed(21_000) == "21,000"
    assert wording.rounded_speed(9_534_734) == "9.5M"
