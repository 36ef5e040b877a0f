import datetime

import msgspec
import pytest

from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim
from chatapp.compare.differences import differences, same_model
from chatapp.compare.sample import Sample
from chatapp.stream.events import BackendInfo
from chatapp.stream.metrics import Figures
from tests.compare.test_verdict import SPEED

WORKLOAD = Workload(name="w", title="Shape", source="own", prompts=("p",), input_tokens=1000, output_tokens=500)
DAY = datetime.date(2026, 5, 6)
GOOD = Figures(
    outcome="done", input_tokens=1000, output_tokens=500, token_count_source="usage", arrival_source="kernel"
)


def sample(*figures, kind="live", model="m", label="B"):
    info = BackendInfo(f"{label}/m", label, kind, label, model)
    return Sample(name=info.name, info=info, figures=figures or (GOOD,))


def said(*samples, claim=SPEED, today=DAY):
    return "\n".join(differences(claim, samples, WORKLOAD, today))


@pytest.mark.parametrize(
    ("claimed", "served"),
    [
        ("kimi-k2.6", "kimi-k2.6"),
        ("kimi-k2.6", "moonshotai/Kimi-K2.6"),
        ("kimi-k2.6", "accounts/fireworks/models/kimi-k2p6"),
        ("kimi-k2.6", "kimi_k2_6"),
        ("kimi-k2", "moonshotai/kimi-k2-instruct-0905"),
        ("gpt-oss-120b", "openai/gpt-oss-120b"),
        ("m", "m"),
    ],
)
def test_the_same_model_under_other_names(claimed, served):
    assert same_model(claimed, served)


@pytest.mark.parametrize(
    ("claimed", "served"),
    [("kimi-k2", "kimi-k2.6"), ("kimi-k2.6", "kimi-k2.5"), ("gpt-oss-120b", "gpt-oss-20b"), ("m", ""), ("kimi-k2", "")],
)
def test_other_models_are_others(claimed, served):
    assert not same_model(claimed, served)


def test_another_model_is_said_first():
    assert said(sample(model="llama")).startswith("ANOTHER MODEL: the claim is of m")
    assert "ANOTHER MODEL" not in said(sample())


def test_an_answer_that_names_another_model_is_said():
    honest, other = (msgspec.structs.replace(sample(), served=(name,)) for name in ("vendor/m", "m-mini"))
    assert "its answers say" not in said(honest)
    assert "B was asked for 'm', its answers say m-mini" in said(other)


def test_what_no_answer_can_show_is_said():
    assert "taken on trust" in said(sample())
    assert "measured from here, now" in said(sample())
    only = said(sample(kind="simulated"))
    assert "simulated, not measured: B" in only
    assert "measured from here" not in only
    assert "on this machine" in said(sample(kind="local"))


def test_other_lengths_than_the_workloads_are_said():
    assert "tokens, the workload's" not in said(sample())
    off = msgspec.structs.replace(GOOD, input_tokens=1200, output_tokens=90, reasoning_tokens=40, hidden_tokens=3)
    text = said(sample(off))
    assert "prompts of 1,200 tokens" in text
    assert "answers of 90 tokens, the workload's limit is 500" in text
    assert "40 tokens of reasoning" in text
    assert "not streamed" in text


def test_how_tokens_and_arrivals_were_taken_is_said():
    rough = msgspec.structs.replace(GOOD, token_count_source="estimate", arrival_source="process")
    text = said(sample(rough))
    assert "tokens counted here by cl100k" in text
    assert "stamped by the process" in text


def test_an_old_claim_is_said_to_be_old():
    assert "days ago" not in said(sample())
    assert "1 days ago" in said(sample(), today=DAY + datetime.timedelta(1))
    assert "200 days ago; systems" in said(sample(), today=DAY + datetime.timedelta(200))


def test_a_ratio_names_its_baseline():
    fields = {**msgspec.structs.asdict(SPEED), "kind": "ratio", "unit": "x", "baseline": "the fastest GPU cloud"}
    text = said(sample(), sample(label="C", model="other"), claim=Claim(**fields))
    assert "compares with the fastest GPU cloud; this run with C" in text
    assert "ANOTHER MODEL" in text


def test_failed_answers_have_no_lengths():
    assert "tokens" not in said(sample(Figures(error="x: y"))).replace("no cache", "")
