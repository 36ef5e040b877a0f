import math
import tomllib
from dataclasses import replace

import pytest

from chatapp.hardware import fit
from chatapp.hardware.facts import load_facts
from chatapp.hardware.holdout import RULE, countable, held_out
from chatapp.hardware.measurements import load_measurements
from chatapp.hardware.parameters import KINDS, Parameters, load_parameters
from chatapp.hardware.priors import PRIORS, SHARED, STACKED
from chatapp.hardware.quantities import predicted

FACTS = load_facts(())
NETWORK_S = FACTS.section("assumptions").number("network_round_trip")


@pytest.fixture(scope="module")
def fitted_rows():
    rows, _ = load_measurements(FACTS)
    held = held_out(rows)
    return [row for row in countable(rows) if row.id not in held]


@pytest.fixture(scope="module")
def refitted(fitted_rows):
    return fit.fit(fitted_rows, NETWORK_S)


def test_the_stored_parameters_are_what_a_fit_gives(refitted):
    stored = load_parameters()
    for family, values in refitted.items():
        for name, value in values.items():
            assert stored.families[family][name] == pytest.approx(value, rel=1e-3), f"{family}.{name}"


def test_the_stored_rule_is_the_rule(fitted_rows):
    stored = load_parameters()
    assert stored.rule == RULE
    counts = {}
    for row in fitted_rows:
        counts[row.setup.system.family] = counts.get(row.setup.system.family, 0) + 1
    assert {family: p.fitted_on for family, p in stored.families.items()} == counts


def test_no_claim_and_no_held_out_row_is_fitted(fitted_rows):
    assert not any(row.claim or row.faulty for row in fitted_rows)


def test_shared_parameters_are_shared_and_shares_stay_below_one(refitted):
    for name in SHARED:
        assert len({refitted[family][name] for family in STACKED}) == 1
    for family, values in refitted.items():
        for name, value in values.items():
            assert value > 0
            if PRIORS[family][name].unit == "fraction":
                assert value < 1


def test_a_fit_recovers_what_made_the_rows(fitted_rows):
    truth = fit.prior_values()
    truth["ampere"] |= {"bandwidth_16bit": 0.6, "kernel_s": 8e-6}
    made = [
        replace(row, value=predicted(row, Parameters("ampere", truth["ampere"], {}, 0), NETWORK_S))
        for row in fitted_rows
        if row.setup.system.family == "ampere"
    ]
    found = fit.fit(made, NETWORK_S)["ampere"]
    assert found["bandwidth_16bit"] == pytest.approx(0.6, rel=0.05)
    assert found["kernel_s"] == pytest.approx(8e-6, rel=0.05)


def test_outliers_count_linearly(fitted_rows):
    row = next(row for row in fitted_rows if row.id == "m016")
    values = load_parameters().families["ampere"].values
    far = fit.misfit([replace(row, value=row.value * 100)], values, NETWORK_S)
    farther = fit.misfit([replace(row, value=row.value * 10_000)], values, NETWORK_S)
    assert fit.misfit([row], values, NETWORK_S) < 1
    assert farther / far < 2.5  # twice as far as a logarithm


def test_cross_validation_predicts_each_row_without_its_run(fitted_rows, refitted):
    ampere = [row for row in fitted_rows if row.setup.system.family == "ampere"]
    found = fit.cross_validated(ampere, NETWORK_S, refitted)
    assert {row.id for row, _off in found} == {row.id for row in ampere}
    seen = sum(abs(fit.residual(row, refitted["ampere"], NETWORK_S)) for row in ampere)
    assert sum(abs(off) for _row, off in found) > seen  # not having seen a row never helps


def test_a_whole_fit_is_written_and_reported(monkeypatch, refitted, fitted_rows):
    monkeypatch.setattr(fit, "fit", lambda rows, network_s: refitted)
    monkeypatch.setattr(fit, "cross_validated", lambda rows, network_s, start: [(row, 0.1) for row in rows])
    said = []
    data = tomllib.loads(fit.fit_shipped(said.append))
    assert data["rule"] == RULE
    assert f"fitting {len(fitted_rows)} rows" in said[0]
    assert sum(data[family]["fitted_on"] for family in PRIORS) == len(fitted_rows)


def test_half_widths_are_own_as_far_as_there_are_rows(fitted_rows):
    speeds = [row for row in fitted_rows if row.kind == "speed"]
    others = [row for row in fitted_rows if row.kind in ("ttft", "system")]
    residuals = [(row, 0.01 if row.setup.system.family == "ampere" else 0.5) for row in [*speeds, *others]]
    widths = fit.half_widths(residuals)
    assert 0.01 < widths["ampere"]["speed"] < widths["hopper"]["speed"]
    assert set(widths["lpu"]) == set(KINDS)


def test_quantiles_promise_no_more_than_few_values_tell():
    assert fit.quantile([1.0], 0.9) == 1
    assert fit.quantile([3.0, 1.0, 2.0], 0.9) == 3
    assert fit.quantile([float(i) for i in range(1, 100)], 0.9) == pytest.approx(90)


def test_the_written_file_can_be_read_back(refitted):
    widths = {family: dict.fromkeys(KINDS, 0.5) for family in refitted}
    data = tomllib.loads(fit.render(refitted, widths, {"wafer": 8}, "2026-11-24"))
    assert data["wafer"]["fitted_on"] == 8
    assert data["fitted"] == "2026-11-24"
    assert math.isclose(data["hopper"]["kernel_s"], refitted["hopper"]["kernel_s"], rel_tol=1e-4)
