import datetime

import pytest

from chatapp.compare.claims import load_claim
from chatapp.compare.fit import decide_fit, fit_lines
from tests.compare.test_verdict import FIELDS, Claim

TODAY = datetime.date(2026, 11, 24)


def claim(**changes):
    fields = {**FIELDS, "kind": "fit", "metric": "fit", "unit": "systems", "workload": "", "value": 1}
    return Claim(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"system": "CS-3", "model": "kimi-k2.6", "value": 1}, "contradicted"),
        ({"system": "CS-2", "model": "kimi-k2.6", "value": 1}, "contradicted"),
        ({"system": "CS-3", "model": "kimi-k2.6", "value": 15}, "supported"),
        ({"system": "CS-3", "model": "kimi-k2.6", "value": 14}, "unknown"),  # the bare weights fit, nothing else does
        ({"system": "H100", "model": "kimi-k2.6", "value": 16, "bound": "at least"}, "supported"),
        ({"system": "H100", "model": "kimi-k2.6", "value": 24, "bound": "at least"}, "contradicted"),
        ({"system": "abacus", "model": "kimi-k2.6"}, "unknown"),
        ({"system": "CS-3", "model": "nobody-1t"}, "unknown"),
    ],
)
def test_arithmetic_on_sourced_facts_decides(changes, outcome):
    verdict = decide_fit(claim(**changes), today=TODAY)
    assert verdict.outcome == outcome
    assert verdict.sentence.startswith(outcome)
    assert verdict.confirmed is (outcome == "supported")


def test_every_number_has_its_source():
    verdict = decide_fit(claim(system="CS-3", model="kimi-k2.6"), today=TODAY)
    assert verdict.weight_bytes == pytest.approx(594e9, rel=0.01)
    assert verdict.smallest == 15
    assert verdict.facts["cs3.memory_bytes"]["value"] == 44e9
    for fact in verdict.facts.values():
        assert fact["source"]
        assert fact["date"]
    text = "\n".join(fit_lines(verdict))
    assert "cs3.memory_bytes = 44 GB (high, 2024-03, older than 180 days)" in text
    assert "594.2 GB, computed" in text


def test_what_is_not_covered_has_no_numbers():
    assert fit_lines(decide_fit(claim(system="abacus", model="kimi-k2.6"))) == []


@pytest.mark.parametrize("name", ["seed-no-splitting", "seed-single-cs2", "seed-gpu-dozens"])
def test_the_announcements_claims_are_contradicted(name):
    assert decide_fit(load_claim(name)).outcome == "contradicted"
