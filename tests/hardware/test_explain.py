import pytest

from chatapp.errors import UsageError
from chatapp.hardware.explain import WORDINGS, detail_of, explain, limit_sentence, text_lines
from chatapp.hardware.predict import predict


@pytest.mark.parametrize("name", ["sim:cs3/kimi-k2.6", "sim:h100x16/kimi-k2.6", "sim:h100x8/gpt-3-175b"])
def test_every_term_has_seconds_a_share_a_formula_and_a_source(name):
    found = explain(name, batch=8)
    for terms in (found.token, found.first):
        assert sum(term.share for term in terms) == pytest.approx(1)
        assert [term.seconds for term in terms] == sorted((term.seconds for term in terms), reverse=True)
        assert all(term.meaning and term.formula and term.source for term in terms)
    assert sum(term.seconds for term in found.token) == pytest.approx(found.prediction.timing.tpot_s)
    assert sum(term.seconds for term in found.first) == pytest.approx(found.prediction.ttft.value, rel=0.2)


def test_all_terms_the_model_can_name_are_worded():
    for system, batch in (("cs3", 500), ("b200x8", 64), ("groq-lpu", 1)):
        found = predict(system, "kimi-k2.6", batch=batch, tokens_per_step=2.0)
        assert set(found.per_token) <= set(WORDINGS)
        assert set(found.timing.prefill) <= set(WORDINGS)


def test_the_limit_is_told_with_its_distance_and_reason():
    assert "What stands between is latency" in explain("sim:cs3/kimi-k2.6").limit
    busy = limit_sentence(predict("h100x16", "kimi-k2.6", batch=64, input_tokens=4000))
    assert "times the prediction" in busy
    assert "latency" not in busy
    assert "is near it" in explain("sim:h100x8/gpt-3-175b").limit


def test_a_claim_stands_beside_the_model_that_has_not_seen_it():
    [line] = explain("sim:cs3/kimi-k2.6").claims
    assert line.startswith("claim 981 tok/s (cerebras-kimi-k2.6-speed")
    assert "model, not having seen it," in line
    speed, ttft = explain("sim:cs3/llama-3.1-405b").claims
    assert "969 tok/s" in speed
    assert "0.24 s" in ttft


def test_assumptions_are_listed_with_their_ranges():
    assumptions = explain("sim:cs3/kimi-k2.6").assumptions
    assert any(line.startswith("network round trip: 0.03 s (0.005 to 0.15)") for line in assumptions)
    assert any(line.startswith("tokens per step") for line in assumptions)
    assert not any(line.startswith("tokens per step") for line in explain("sim:h100x16/kimi-k2.6").assumptions)


def test_the_text_form_has_a_bar_for_each_term():
    found = explain("sim:h100x16/kimi-k2.6")
    text = str(found)
    assert text == "\n".join(text_lines(found))
    for term in (*found.token, *found.first):
        assert any(term.name in line and "█" in line for line in text.splitlines())


def test_the_panel_gets_limit_dominating_term_and_claim():
    detail = detail_of(predict("cs3", "kimi-k2.6"))
    assert detail["limit_tps"] > 1e6
    assert detail["dominant"].startswith("layers ")
    assert detail["claim"].startswith("981; model, not having seen it, ")
    assert detail["chips_note"]
    plain = detail_of(predict("h100x16", "kimi-k2.6"), claimed=True)
    assert "claim" not in plain
    assert "chips_note" not in plain
    assert "played back" in plain["pace"]


def test_an_impossible_backend_is_an_error():
    with pytest.raises(UsageError, match="does not fit"):
        explain("sim:h100x8/kimi-k2.6")
