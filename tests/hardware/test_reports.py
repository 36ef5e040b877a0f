import datetime
import json

import pytest

from chatapp.errors import UnknownNameError
from chatapp.hardware import reports
from chatapp.hardware.calibration import calibrate
from chatapp.hardware.explain import explain_prediction
from chatapp.hardware.facts import load_facts
from chatapp.hardware.predict import predict
from chatapp.hardware.small_or_fast import tradeoff

FACTS = load_facts(())
TODAY = datetime.date(2026, 11, 24)


def test_systems_come_with_a_chart_of_speeds():
    text = "\n".join(reports.systems_lines(FACTS, "kimi-k2.6", TODAY))
    assert "CS-3" in text
    assert "21 PB/s" in text
    assert "15 × CS-3" in text
    assert "█" in text
    assert "†" in text


def test_systems_json_gives_every_fact_with_its_source_and_age():
    data = json.loads(json.dumps(reports.systems_json(FACTS, "kimi-k2.6", TODAY)))
    cs3 = next(row for row in data["systems"] if row["name"] == "cs3")
    assert cs3["facts"]["memory_bytes"]["source"]
    assert cs3["facts"]["memory_bytes"]["stale"] is True
    assert cs3["facts"]["reserved_bytes"]["low"] == 0
    assert cs3["prediction"]["chips"] == 15


def test_a_chart_of_an_unknown_model_is_an_error_and_of_a_huge_one_says_so(tmp_path):
    with pytest.raises(UnknownNameError):
        reports.systems_lines(FACTS, "kimi-k9", TODAY)
    assert reports.speed_chart(FACTS, "llama-2-7b")[0].startswith("Llama 2 7B")


def test_models_show_what_follows_from_their_shapes():
    lines = reports.models_lines(FACTS, TODAY)
    kimi = next(line for line in lines if line.startswith("kimi-k2.6"))
    assert "1,026.4 B" in kimi
    assert "594 GB" in kimi
    data = reports.models_json(FACTS, TODAY)
    row = next(row for row in data["models"] if row["name"] == "gpt-3-175b")
    assert row["kv_bytes_per_token"] == 4_718_592


def test_a_prediction_is_a_breakdown_in_both_forms():
    explanation = explain_prediction(predict("b200x8", "kimi-k2.6", batch=16, input_tokens=4000))
    text = "\n".join(reports.prediction_lines(explanation))
    assert "16 users" in text
    assert "all users together" in text
    assert "What would change it" in text
    data = json.loads(json.dumps(reports.prediction_json(explanation)))
    assert data["schema"] == "chatapp.hardware/1"
    assert data["output_speed_tps"]["low"] < data["output_speed_tps"]["value"] < data["output_speed_tps"]["high"]
    assert sum(term["share"] for term in data["token_terms"]) == pytest.approx(1)
    claimed = reports.prediction_json(explain_prediction(predict("cs3", "kimi-k2.6")))
    assert claimed["claims"][0]["value"] == 981


def test_the_calibration_report_shows_both_residuals_and_the_rule():
    text = "\n".join(reports.calibration_lines(calibrate(facts=FACTS), given=False))
    for title in ("Fitted", "Held out", "Claims: never fitted", "their own source does not trust", "Rule: "):
        assert title in text
    assert "cerebras-kimi-k2.6-speed" in text
    assert "had all published rows in view" in text
    summary = text[text.index("median error") :]
    assert "ttft" in summary
    assert "held out" in summary
    assert "fitted" in summary


def test_a_given_file_is_reported_alone(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[measurement]]\nid = "b"\nmetric = "tpot_ms"\nvalue = 20\n')
    text = "\n".join(reports.calibration_lines(calibrate(path, FACTS), given=True))
    assert "b (line 1): system_id is not stated" in text
    assert "Fitted" not in text


def test_small_or_fast_in_both_forms():
    text = "\n".join(reports.tradeoff_lines(tradeoff(FACTS), TODAY))
    assert "the bar for size" in text
    assert "† older than 180 days" in text
    data = json.loads(json.dumps(reports.tradeoff_json(tradeoff(FACTS), TODAY)))
    assert data["small_or_fast"][-1]["bar"] is True
    assert data["small_or_fast"][-1]["price"] is None
