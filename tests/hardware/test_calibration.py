import json

import pytest

from chatapp.hardware.calibration import as_json, calibrate, summarize
from chatapp.hardware.facts import load_facts

FACTS = load_facts(())


@pytest.fixture(scope="module")
def report():
    return calibrate(facts=FACTS)


def test_held_out_rows_meet_the_goal(report):
    held = summarize(report.of("held out"))
    assert held.n >= 40
    assert held.median_error <= 0.15
    assert 0.85 <= held.coverage <= 0.95


def test_every_row_is_predicted_anew_with_an_interval(report):
    for c in report.comparisons:
        assert c.low < c.predicted < c.high
        assert c.error == pytest.approx(c.predicted / c.row.value - 1)
        assert c.covered == (c.low <= c.row.value <= c.high)


def test_claims_and_faulty_rows_are_neither_fitted_nor_counted(report):
    claims = report.of("claim")
    assert {c.row.id for c in claims} >= {"m000", "m193", "m195"}
    assert all(c.row.claim for c in claims)
    assert all(c.row.faulty for c in report.of("faulty"))
    assert not any(c.row.claim for use in ("fitted", "held out") for c in report.of(use))


def test_the_json_has_what_the_contract_names(report):
    data = json.loads(json.dumps(as_json(report)))
    assert data["schema"] == "chatapp.hardware/1"
    row = next(row for row in data["measurements"] if row["id"] == "m000")
    assert {"id", "predicted", "measured", "unit", "held_out", "source"} <= set(row)
    assert row["claim"] == "cerebras-kimi-k2.6-speed"
    assert row["held_out"] is False
    assert data["summary"]["held_out"]["n"] == len(report.of("held out"))
    assert data["summary"]["unseen"] is None
    assert sum(data["kinds"][kind]["held_out"]["n"] for kind in data["kinds"]) == data["summary"]["held_out"]["n"]


def test_a_file_is_reported_as_unseen_with_what_could_not_be_mapped(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[measurement]]\nid = "a"\nmetric = "tpot_ms"\nvalue = 20\nunit = "ms"\nsystem_id = "h200"\n'
        'model_id = "kimi-k2.6"\nchips = 8\nprecision = "int4"\nbatch = 16\ninput_tokens = 8192\noutput_tokens = 1024\n'
        "tokens_per_step = 1\n"
        '[[measurement]]\nid = "b"\nmetric = "tpot_ms"\nvalue = 20\n'
    )
    report = calibrate(path, FACTS)
    assert [c.row.id for c in report.of("unseen")] == ["a"]
    assert [u.id for u in report.unmapped] == ["b"]
    assert summarize(report.of("fitted")) is None


def test_the_median_of_an_even_number_lies_between(report):
    rows = report.of("fitted")[:2]
    errors = sorted(abs(c.error) for c in rows)
    assert summarize(rows).median_error == pytest.approx(sum(errors) / 2)
