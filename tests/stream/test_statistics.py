import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.stream.statistics import bootstrap_median, compare_medians, median, percentile, summarize


def test_summary_of_known_values():
    summary = summarize([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (summary.median, summary.mean, summary.min, summary.max, summary.n) == (3, 3, 1, 5, 5)
    assert summary.p90 == pytest.approx(4.6)
    assert summary.p99 == pytest.approx(4.96)


def test_undefined_figures_are_left_out_and_n_says_so():
    assert summarize([None, 2.0, math.nan, math.inf]).n == 1
    assert summarize([None]) is None
    assert median([]) is None
    assert percentile([1.0, 2.0, 3.0], 50) == 2


def test_one_run_has_no_interval():
    assert summarize([3.0]).ci95 == (None, None)


def test_intervals_are_seeded():
    source = random.Random(1)
    values = [source.random() for _ in range(50)]
    assert summarize(values) == summarize(list(reversed(values)))
    assert len({bootstrap_median(sorted(values), seed=seed) for seed in range(10)}) > 1


@pytest.mark.parametrize("n", [7, 8])
def test_the_fast_bootstrap_agrees_with_drawing_every_value(n):
    source = random.Random(5)
    values = sorted(source.gauss(100, 10) for _ in range(n))
    medians = sorted(median(source.choices(values, k=n)) for _ in range(20_000))
    low, high = percentile(medians, 2.5), percentile(medians, 97.5)
    spread = values[-1] - values[0]
    assert bootstrap_median(values) == pytest.approx((low, high), abs=0.1 * spread)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    source = random.Random(9)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_median(sorted(source.gauss(0, 1) for _ in range(25)))
        hits += low <= 0 <= high
    assert 180 <= hits <= 200


@given(st.lists(st.floats(0.001, 1e6), min_size=2, max_size=40))
def test_summaries_stay_within_the_values(values):
    summary = summarize(values)
    low, high = summary.ci95
    assert summary.min <= low <= high <= summary.max
    assert summary.min <= summary.median <= summary.p90 <= summary.p99 <= summary.max
    assert summary.min <= summary.mean <= summary.max


def test_two_backends_that_differ_are_told_apart():
    source = random.Random(3)
    fast = [source.gauss(1000, 10) for _ in range(10)]
    slow = [source.gauss(100, 5) for _ in range(10)]
    ratio = compare_medians(fast, slow)
    assert ratio.ratio == pytest.approx(10, rel=0.1)
    assert ratio.distinguishable
    assert ratio.ci95[0] < ratio.ratio < ratio.ci95[1]


def test_two_backends_that_do_not_differ_are_not():
    source = random.Random(3)
    a = [source.gauss(100, 20) for _ in range(6)]
    b = [source.gauss(100, 20) for _ in range(6)]
    assert not compare_medians(a, b).distinguishable


def test_ratios_of_too_little():
    assert compare_medians([], [1.0]) is None
    assert compare_medians([1.0], []) is None
    assert compare_medians([1.0], [0.0]) is None
    single = compare_medians([4.0], [2.0, 2.0])
    assert (single.ratio, single.ci95, single.distinguishable) == (2, (None, None), False)
