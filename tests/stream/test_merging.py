from array import array

from hypothesis import given
from hypothesis import strategies as st

from chatapp.stream.merging import spread_arrivals


def test_certain_arrivals_are_left_as_they_are():
    at = array("q", [5, 5, 9])
    assert spread_arrivals(at, [0, 0, 0]) is at
    assert list(spread_arrivals(at, [0, 0, 3])) == [5, 5, 9]


def test_chunks_read_at_once_came_since_the_one_before():
    assert list(spread_arrivals([100, 400, 400, 400], [0, 300, 300, 300])) == [100, 200, 300, 400]


def test_the_first_chunks_came_at_the_pace_of_the_rest():
    assert list(spread_arrivals([100, 100, 100, 110, 120], [90, 90, 90, 0, 0])) == [80, 90, 100, 110, 120]


def test_nothing_is_moved_further_than_it_is_uncertain():
    assert list(spread_arrivals([100, 100, 100, 150, 200], [30, 30, 30, 0, 0])) == [70, 70, 100, 150, 200]


def test_an_answer_in_one_reading_has_no_pace():
    assert list(spread_arrivals([100, 100], [50, 50])) == [100, 100]


rows = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 200)), min_size=1, max_size=30)


@given(rows)
def test_order_bounds_and_the_last_of_each_reading_are_kept(rows):
    at, now = [], 0
    for gap, _uncertainty in rows:
        now += gap
        at.append(now)
    uncertainty = [u for _gap, u in rows]
    out = list(spread_arrivals(at, uncertainty))
    assert out == sorted(out)
    for index, (before, after) in enumerate(zip(at, out, strict=True)):
        assert after <= before
        last = index + 1 == len(at) or at[index + 1] != before
        assert not last or after == before
    assert all(before - after <= max(uncertainty) for before, after in zip(at, out, strict=True))
