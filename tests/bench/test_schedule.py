from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.bench.schedule import Load, arrival_offsets_ns, fair_orders, parse_concurrency, sweep
from chatapp.errors import UsageError

S = 1_000_000_000


def test_constant_arrivals_do_not_drift():
    load = Load(requests=3_001, rate=3, arrivals="constant")
    offsets = list(arrival_offsets_ns(load, seed="x"))
    assert offsets[:2] == [0, round(S / 3)]
    assert offsets[-1] == 1_000 * S


def test_poisson_arrivals_have_the_stated_rate_and_are_seeded():
    load = Load(duration_s=2_000, rate=5)
    offsets = list(arrival_offsets_ns(load, seed="x"))
    assert len(offsets) == pytest.approx(10_000, rel=0.05)
    assert offsets == list(arrival_offsets_ns(load, seed="x"))
    assert offsets != list(arrival_offsets_ns(load, seed="y"))
    assert max(offsets) < 2_000 * S
    gaps = [b - a for a, b in pairwise(offsets)]
    assert sum(gap > S / 5 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.03)  # exponential: 1/e


def test_a_number_of_requests_bounds_an_open_load():
    assert len(list(arrival_offsets_ns(Load(requests=7, rate=1), seed="x"))) == 7
    assert len(list(islice(arrival_offsets_ns(Load(requests=9, duration_s=1, rate=1), seed="x"), 99))) <= 9


@given(st.integers(1, 7))
def test_every_backend_stands_everywhere_and_after_every_other_equally_often(backends):
    rounds = backends if backends % 2 == 0 or backends == 1 else 2 * backends
    orders = fair_orders(backends, rounds)
    assert all(sorted(order) == list(range(backends)) for order in orders)
    places = Counter((place, who) for order in orders for place, who in enumerate(order))
    assert len(set(places.values())) == 1
    follows = Counter(pair for order in orders for pair in pairwise(order))
    if backends > 1:
        assert len(follows) == backends * (backends - 1)
        assert len(set(follows.values())) == 1


def test_rounds_beyond_the_square_begin_again():
    orders = fair_orders(2, 5)
    assert orders == [(0, 1), (1, 0), (0, 1), (1, 0), (0, 1)]
    with pytest.raises(UsageError):
        fair_orders(0, 1)


def test_a_sweep_changes_concurrency_only():
    levels = sweep(Load(requests=5), (1, 4))
    assert [level.concurrency for level in levels] == [1, 4]
    assert [level.label for level in levels] == ["×1", "×4"]
    assert Load(requests=5, rate=2.5, concurrency=0).label == "2.5/s"
    assert [level.label for level in sweep(Load(requests=5, rate=2.5), (1, 4))] == ["2.5/s ×1", "2.5/s ×4"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"requests": 0},
        {"duration_s": -1},
        {"requests": 1, "rate": 0},
        {"requests": 1, "concurrency": 0},
        {"requests": 1, "rate": 1, "concurrency": -1},
        {"requests": 1, "warmup": -1},
    ],
)
def test_a_load_that_means_nothing_is_refused(wrong):
    with pytest.raises(UsageError):
        Load(**wrong)


def test_concurrency_is_one_number_or_several():
    assert parse_concurrency("8") == (8,)
    assert parse_concurrency("1,4,16") == (1, 4, 16)
    for wrong in ("", "0", "1,x", "-1"):
        with pytest.raises(UsageError, match="--concurrency"):
            parse_concurrency(wrong)
