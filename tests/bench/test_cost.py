import pytest

from chatapp.bench.cost import FREE, Budget, Estimate, Meter, Price, check, estimate, expected_requests
from chatapp.bench.schedule import Load
from chatapp.bench.workloads import single_prompt
from chatapp.errors import UsageError
from chatapp.stream.figures import Figures

PRICE = Price(1.0, 4.0)


def test_an_unknown_price_is_unknown_and_not_nothing():
    assert PRICE.of(1e6, 1e6) == 5
    assert Price(1.0, None).of(1e6, 1) is None
    assert Price(None, 4.0).of(0, 1e6) == 4
    assert FREE.of(1e9, 1e9) == 0


def test_the_estimate_counts_warmup_and_every_level():
    loads = (Load(requests=10, warmup=2), Load(requests=10, warmup=0))
    got = estimate(single_prompt("x", output_tokens=100), loads, PRICE, input_tokens=1_000)
    assert got == Estimate(22, 22_000, 2_200, pytest.approx(0.0308))
    assert got.tokens == 24_200
    assert "22 requests, about 22,000 input and 2,200 output tokens, about $0.03" in str(got)


def test_what_the_estimate_does_not_know_it_says():
    unlimited = estimate(single_prompt("x"), [Load(requests=1)], Price(), input_tokens=10)
    assert "length assumed" in str(unlimited)
    assert "unknown cost" in str(unlimited)
    endless = estimate(single_prompt("x"), [Load(duration_s=5)], PRICE, input_tokens=10)
    assert (endless.requests, endless.tokens, endless.usd) == (None, None, None)
    assert "unknown number" in str(endless)
    assert estimate(single_prompt("x"), [Load(duration_s=5)], FREE, input_tokens=10).usd == 0


def test_random_arrivals_are_estimated_with_their_spread():
    assert expected_requests(Load(duration_s=100, rate=1, warmup=0)) == 130
    assert expected_requests(Load(duration_s=100, rate=1, arrivals="constant", warmup=0)) == 101
    assert expected_requests(Load(duration_s=100)) is None


def test_a_run_beyond_its_limits_is_refused_before_it_begins():
    run = Estimate(10, 1_000, 1_000, 2.0)
    check(run, Budget(), PRICE)
    check(run, Budget(usd=2.0, tokens=2_000), PRICE)
    with pytest.raises(UsageError, match="--max-tokens"):
        check(run, Budget(tokens=1_999), PRICE)
    with pytest.raises(UsageError, match=r"--max-cost \$1.5"):
        check(run, Budget(usd=1.5), PRICE)
    with pytest.raises(UsageError, match="cost is unknown"):
        check(Estimate(10, 1, 1, None), Budget(usd=5), Price())
    check(Estimate(None, None, None, None), Budget(usd=5, tokens=5), PRICE)


def test_the_meter_says_when_a_budget_is_spent():
    meter = Meter(Budget(usd=0.01, tokens=5_000), PRICE)
    assert meter.limited
    meter.add(Figures(input_tokens=1_000, output_tokens=1_000))
    assert meter.spent is None
    meter.add(Figures(output_tokens=2_000))
    assert meter.usd == pytest.approx(0.013)
    assert meter.spent == "--max-cost $0.01 reached"
    meter.add(Figures(output_tokens=2_000))
    assert meter.spent == "--max-tokens 5,000 reached"
    unlimited = Meter(Budget(), Price())
    unlimited.add(Figures(output_tokens=9))
    assert (unlimited.limited, unlimited.spent, unlimited.usd) == (False, None, None)
    assert Meter(Budget(usd=1), Price()).spent is None
