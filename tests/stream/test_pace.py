import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.stream.pace import Pace, histogram_quantile

MS = 1_000_000
S = 1_000 * MS


def paced(at_ns, counts, window_ns=S):
    pace = Pace(at_ns, window_ns)
    pace.extend(counts)
    pace.settle(len(at_ns))
    return pace


def test_live_speed_starts_with_the_third_chunk():
    at = [0, 10 * MS]
    pace = Pace(at)
    pace.extend([1, 1])
    assert pace.live(20 * MS) is None
    at.append(20 * MS)
    pace.extend([1])
    assert pace.live(20 * MS) == pytest.approx(100)


def test_live_speed_does_not_flicker_with_bunches():
    at = [i * 300 * MS for i in range(11)]
    pace = paced(at, [20] * 11)
    for now in (at[-1], at[-1] + 100 * MS, at[-1] + 299 * MS):
        assert pace.live(now) == pytest.approx(20 / 0.3)


def test_live_speed_falls_in_a_stall():
    pace = paced([i * 10 * MS for i in range(200)], [1] * 200)
    last = 199 * 10 * MS
    assert pace.live(last + 10 * MS) == pytest.approx(100)
    assert pace.live(last + 510 * MS) == pytest.approx(50)
    assert pace.live(last + 5 * S) == 0


def test_live_speed_of_chunks_at_one_instant_is_undefined():
    assert paced([5, 5, 5], [1, 1, 1]).live(5) is None


def test_live_speed_looks_at_the_last_second_only():
    at = [i * 10 * MS for i in range(100)] + [S + i * MS for i in range(2001)]
    assert paced(at, [1] * len(at)).live(at[-1]) == pytest.approx(1000)


def test_peak_is_the_highest_second_wherever_it_lies():
    slow = [i * 100 * MS for i in range(20)]
    fast = [slow[-1] + i * 2 * MS for i in range(1, 751)]
    after = [fast[-1] + i * 100 * MS for i in range(1, 20)]
    pace = paced(slow + fast + after, [1] * (20 + 750 + 19))
    assert pace.peak == pytest.approx(500)


def test_peak_may_begin_at_a_burst_and_end_between_arrivals():
    # 90 tokens in 0.5 s, then one chunk of 40 that took 2 s: the best second holds the burst and a quarter of it.
    assert paced([0, S // 2, S // 2 + 2 * S], [1, 90, 40]).peak == pytest.approx(100)


def test_peak_of_less_than_a_second_is_the_whole_answer():
    assert paced([0, 100 * MS, 200 * MS], [5, 10, 10]).peak == pytest.approx(100)
    assert paced([0], [5]).peak is None
    assert paced([7, 7], [5, 5]).peak is None
    assert paced([0, 10], [5, 0]).peak is None


@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 30)), min_size=1, max_size=40),
    st.integers(1, 39),
)
def test_peak_is_the_same_when_found_step_by_step(steps, cut):
    at, now = [], 0
    for gap, _count in steps:
        now += gap * MS
        at.append(now)
    counts = [count for _gap, count in steps]
    pace = Pace(at)
    first = min(cut, len(at))
    pace.extend(counts)
    pace.settle(first)
    pace.truncate(first)
    pace.extend(counts[first:])
    pace.settle(len(at))
    assert pace.peak == pytest.approx(paced(at, counts).peak)


@given(st.lists(st.tuples(st.integers(1, 700), st.integers(0, 30)), min_size=2, max_size=30))
def test_no_second_is_faster_than_the_peak(steps):
    at, now = [], 0
    for gap, _count in steps:
        now += gap * MS
        at.append(now)
    pace = paced(at, [count for _gap, count in steps])
    if at[-1] - at[0] >= S:
        grid = range(at[0], at[-1] - S + 1, 50 * MS)
        best = max(pace.total_at(begin + S) - pace.total_at(begin) for begin in grid)
        assert best <= (pace.peak or 0) * (1 + 1e-9)


def test_the_curve_is_linear_between_arrivals():
    pace = paced([100, 200], [5, 10])
    assert [pace.total_at(t) for t in (0, 100, 150, 200, 900)] == [0, 0, 5, 10, 10]


def test_series_ends_now_and_has_one_value_a_bin():
    at = [i * 10 * MS for i in range(101)]
    pace = paced(at, [1] * 101)
    assert pace.series(S, bins=4, bin_ns=250 * MS) == pytest.approx((100,) * 4)
    assert pace.series(S, bins=60, bin_ns=300 * MS) == pytest.approx((100,) * 4)
    assert pace.series(-5, bins=4, bin_ns=250 * MS) == ()
    assert paced([0], [1]).series(S, bins=4, bin_ns=MS) == ()


def test_gaps_are_counted_once_in_buckets_two_percent_wide():
    at = [0, 0, MS, 3 * MS]
    pace = Pace(at)
    assert pace.gap_histogram()[0] == (0.0, 1)
    at.append(5 * MS)
    histogram = pace.gap_histogram()
    assert sum(count for _edge, count in histogram) == 4
    assert histogram[-1][0] == pytest.approx(2 * MS, rel=0.021)
    assert histogram[-1][1] == 2


def test_quantiles_of_a_histogram():
    assert histogram_quantile([(1.0, 98), (5.0, 1), (9.0, 1)], 0.5) == 1.0
    assert histogram_quantile([(1.0, 98), (5.0, 1), (9.0, 1)], 0.99) == 5.0
    assert histogram_quantile([], 0.5) is None
