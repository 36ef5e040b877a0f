import datetime

from chatapp.hardware.small_or_fast import BAR, CASES, Price, tradeoff

TODAY = datetime.date(2026, 11, 24)


def test_small_distilled_and_quantized_models_stand_against_the_full_one():
    found = tradeoff()
    assert len(found.rows) == len(CASES) + 1
    assert {"small", "distilled", "quantized", "full"} <= {row.kind for row in found.rows}
    bar = found.rows[-1]
    assert bar.bar
    assert bar.prediction.setup.model.name == BAR[1]
    full = next(row for row in found.rows if row.prediction.setup.system.name == "cs3")
    assert full.billions > 1000
    assert full.prediction.speed.value > max(
        row.prediction.speed.value for row in found.rows if row.kind in ("small", "distilled", "quantized")
    )


def test_a_score_that_nobody_publishes_is_a_dash_and_any_other_has_its_date():
    rows = {row.prediction.setup.model.name: row for row in tradeoff().rows}
    gpqa, swe = rows["kimi-k2.6"].scores
    assert gpqa.shown(TODAY) == "–"
    assert swe.shown(TODAY) == "80.2 % (2026-04 †)"
    assert rows["llama-3.1-8b"].scores[0].shown(datetime.date(2026, 6, 1)) == "25.9 % (2026-05)"


def test_prices_carry_provider_and_date():
    rows = {row.prediction.setup.model.name: row for row in tradeoff().rows}
    assert rows["gpt-3-175b"].price is None
    price = rows["llama-3.1-8b"].price
    assert price.shown(TODAY) == f"${price.usd:g} ({price.provider}, {price.date})"
    assert "†" in Price(1.0, "X", "2025-01", "s").shown(TODAY)
    assert "†" in Price(1.0, "X", "not stated", "s").shown(TODAY)


def test_a_line_each_on_cuda_and_on_the_wafers_own_software():
    cuda, wafer = tradeoff().stacks
    assert str(cuda.value).startswith("CUDA")
    assert "graph compiler" in str(wafer.value)
    about = tradeoff().about_stacks(TODAY)
    assert [line.rpartition("(")[2] for line in about] == ["2026-08)", "2024-01 †)"]
