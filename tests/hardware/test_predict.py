import pytest

from chatapp.errors import UnknownNameError, UsageError
from chatapp.hardware.names import SystemName
from chatapp.hardware.pacing import claimed_pace, pace_of
from chatapp.hardware.predict import predict, what_if


def test_without_a_count_the_smallest_number_that_holds_it_is_taken():
    found = predict("cs3", "kimi-k2.6")
    assert found.setup.chips == 15
    assert not found.counted
    assert predict(SystemName("cs3", 20), "kimi-k2.6").counted


def test_the_wafer_is_fast_because_of_latency_not_bandwidth():
    wafer, gpus = predict("cs3", "kimi-k2.6"), predict("h100x16", "kimi-k2.6")
    assert wafer.speed.value > 4 * gpus.speed.value
    assert wafer.limit_tps > 1000 * wafer.speed.value
    assert wafer.dominating[0] in ("layers", "chip to chip")


def test_an_interval_surrounds_every_figure():
    found = predict("b200x8", "kimi-k2.6", batch=8)
    for estimate in (found.speed, found.ttft, found.throughput):
        assert estimate.low < estimate.value < estimate.high
    assert found.e2e_s > found.ttft.value


def test_the_parts_of_a_token_sum_to_it():
    found = predict("h200x8", "kimi-k2.6", batch=32, input_tokens=8192, output_tokens=1024)
    assert sum(found.per_token.values()) == pytest.approx(found.timing.tpot_s)
    assert found.dominating[1] == pytest.approx(max(found.per_token.values()) / found.timing.tpot_s)


def test_claims_are_beside_the_prediction_and_not_in_it():
    found = predict("cs3", "kimi-k2.6")
    assert [row.value for row in found.claims] == [981]
    assert found.speed.value != pytest.approx(981, rel=0.01)
    assert not predict("h100x16", "kimi-k2.6").claims


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"system": "h100x8"}, "does not fit 8 × H100"),
        ({"system": "cs2x1"}, "does not fit 1 × CS-2"),
        ({"system": "h100x0"}, "between 1 and"),
        ({"input_tokens": 300_000}, "beyond the window of Kimi K2.6 (262,144)"),
        ({"input_tokens": 0}, "input tokens must lie between"),
        ({"output_tokens": -1}, "output tokens must lie between"),
        ({"batch": 0}, "batch must lie between"),
        ({"tokens_per_step": 0.5}, "tokens per step must lie between"),
        ({"precision": "fp5"}, "unknown precision"),
        ({"model": "kimi-k2.7"}, "unknown model"),
        ({"system": "h400"}, "unknown system"),
    ],
)
def test_bad_input_is_a_clear_error(call, message):
    with pytest.raises(UsageError) as caught:
        predict(**({"system": "h100x16", "model": "kimi-k2.6"} | call))
    assert message in caught.value.message


def test_what_does_not_fit_names_what_would():
    with pytest.raises(UsageError) as caught:
        predict("h100x8", "kimi-k2.6")
    assert caught.value.hint == "try h100x16/kimi-k2.6"


def test_a_model_that_fits_nothing_says_so(tmp_path):
    from chatapp.hardware.facts import load_facts

    fact = '{ value = 1, unit = "%s", source = "me", date = "2026", confidence = "low" }'
    units = {"memory_bytes": "bytes", "memory_bandwidth": "bytes/s", "peak_16bit": "FLOP/s"}
    path = tmp_path / "a.toml"
    path.write_text(
        "[systems.crumb]\nfamily = 'lpu'\n" + "".join(f"{key} = {fact % unit}\n" for key, unit in units.items())
    )
    with pytest.raises(UsageError, match="no number of crumb"):
        predict("crumb", "kimi-k2.6", facts=load_facts([path]))


def test_what_would_double_the_speed_is_asked_of_the_model():
    factors = {change.change: change.factor for change in what_if(predict("h100x16", "kimi-k2.6", batch=16))}
    assert factors["no neighbours"] > 1
    assert factors["twice the memory bandwidth"] > 1
    assert list(factors.values()) == sorted(factors.values(), reverse=True)
    wafer = {change.change: change.factor for change in what_if(predict("cs3", "kimi-k2.6"))}
    assert wafer["half the latency of every step in a layer"] == pytest.approx(2, rel=0.05)
    assert wafer["twice the memory bandwidth"] == pytest.approx(1, abs=0.01)
    assert not any("speculative" in change for change in wafer)


def test_an_unknown_alias_offers_near_names():
    with pytest.raises(UnknownNameError) as caught:
        predict("h100", "llama-3.1-80b")
    assert "llama-3.1-8b" in caught.value.message


def test_the_pace_is_the_prediction():
    found = predict("h200x8", "kimi-k2.6", input_tokens=1000, output_tokens=200, batch=8)
    pace = pace_of(found)
    assert pace.ttft_s == pytest.approx(found.ttft.value)
    assert pace.output_speed_tps == pytest.approx(found.speed.value, rel=0.02)
    assert pace.step_s_per_token > 0
    assert pace.queue_s > 0
    assert pace.jitter > 0


def test_a_wafers_pace_comes_in_bursts():
    pace = pace_of(predict("cs3", "kimi-k2.6"))
    assert pace.tokens_per_step > 1
    assert pace.draft_tokens >= pace.tokens_per_step - 1


def test_a_claim_can_be_played_back_and_only_where_there_is_one():
    assert claimed_pace(predict("cs3", "kimi-k2.6")).output_speed_tps == pytest.approx(981)
    with_ttft = claimed_pace(predict("cs3", "llama-3.1-405b"))
    assert with_ttft.ttft_s == pytest.approx(0.24)
    with pytest.raises(UsageError, match="no claim is shipped"):
        claimed_pace(predict("h100x16", "kimi-k2.6"))
