import datetime
import json

import msgspec
import pytest

from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim, load_claim
from chatapp.compare.verification import judge, model_says, to_json, to_lines
from chatapp.stream.metrics import Figures
from tests.compare.test_differences import sample
from tests.compare.test_verdict import FIELDS, SPEED, TIME

WORKLOAD = Workload(name="w", title="Shape", source="own", prompts=("p",), input_tokens=1000, output_tokens=500)
RATIO = Claim(**FIELDS, kind="ratio", metric="output_speed_tps", value=5, unit="x", baseline="the other")
TODAY = datetime.date(2026, 5, 7)


def runs(*speeds, **options):
    figures = [
        Figures(outcome="done", output_speed_tps=speed, e2e_ms=1e6 / speed, token_count_source="usage")
        for speed in speeds
    ]
    return sample(*figures, **options)


def judged(*samples, claim=SPEED, **options):
    return judge(claim, samples, WORKLOAD, today=TODAY, **options)


@pytest.mark.parametrize(
    ("speeds", "outcome"),
    [
        ((990, 995, 1000, 1005, 1010, 1000), "confirmed"),
        ((1400,) * 6, "faster"),
        ((500,) * 6, "slower"),
        ((900, 950, 1000, 1050, 1100, 950), "inconclusive"),
        ((1000,), "inconclusive"),
        ((), "inconclusive"),
    ],
)
def test_the_runs_decide(speeds, outcome):
    failed = Figures(error="server_error: boom")
    found = judged(runs(*speeds) if speeds else sample(failed))
    assert found.verdict.outcome == outcome
    assert found.verdict.n == len(speeds)


def test_a_time_is_confirmed_by_times():
    assert judged(runs(*[1000] * 6), claim=TIME).verdict.outcome == "confirmed"
    assert judged(runs(*[3000] * 6), claim=TIME).verdict.outcome == "faster"


def test_a_ratio_says_how_many_times_as_fast_whatever_its_metric():
    pair = runs(*[1000] * 6, label="A"), runs(*[200] * 6)
    assert judged(*pair, claim=RATIO).verdict.median == 5
    in_time = msgspec.structs.replace(RATIO, metric="e2e_ms")
    found = judged(*pair, claim=in_time)
    assert (found.verdict.median, found.verdict.outcome) == (5, "confirmed")
    assert judged(*reversed(pair), claim=RATIO).verdict.outcome == "slower"
    assert judged(pair[0], sample(Figures(error="x: y")), claim=RATIO).verdict.outcome == "inconclusive"


def test_anything_simulated_makes_it_model_only():
    found = judged(runs(*[1000] * 6), runs(*[200] * 6, kind="simulated"), claim=RATIO)
    assert found.verdict.outcome == "model only"
    assert not found.verdict.confirmed
    lines = to_lines(found)
    assert any(line.startswith("simulated ") for line in lines)
    assert not any(line.startswith("measured  ") for line in lines)


def test_few_runs_are_said_to_be_few():
    assert any("only 3 values" in line and "75%" in line for line in judged(runs(990, 1000, 1010)).remarks)
    assert judged(runs(*[1000] * 6)).remarks == ()


def test_failures_doubt_and_an_early_end_are_said():
    doubtful = Figures(outcome="done", output_speed_tps=1000, doubtful=True)
    found = judged(sample(doubtful, Figures(error="server_error: boom")), partial="interrupted")
    text = "\n".join(found.remarks)
    assert "1 of 2 answers failed" in text
    assert "server_error: boom" in text
    assert "1 of 1 answers have stamps" in text
    assert "partial: interrupted" in text


def test_for_a_reader():
    text = "\n".join(to_lines(judged(runs(900, 950, 1000, 1050, 1100, 950))))
    assert "claimed   1,000 tok/s (x, 2026-05-06)" in text
    assert "inconclusive: the interval crosses" in text
    assert "more runs would decide" in text
    assert "its method: m" in text
    assert "https://example.org" in text
    assert "no interval" in "\n".join(to_lines(judged(runs(1000))))
    assert "nothing: no whole answer" in "\n".join(to_lines(judged(sample(Figures(error="x: y")))))


def test_as_json():
    made = json.loads(msgspec.json.encode(to_json(judged(runs(990, 1000, 1010)))))
    assert made["schema"] == "chatapp.verify/1"
    assert made["verdict"]["outcome"] == "confirmed"
    assert made["verdict"]["confirmed"] is True
    assert made["backends"][0]["summary"]["output_speed_tps"]["median"] == 1000
    assert [response["run"] for response in made["responses"]] == [1, 2, 3]
    assert made["workload"]["sha256"] == WORKLOAD.digest


def test_the_kimi_claim_stands_beside_a_model_that_has_not_seen_it():
    says = model_says(load_claim("cerebras-kimi-k2.6-speed"), WORKLOAD)
    assert says.startswith("claim 981; model, not having seen it, ")
    assert says.endswith(" tok/s")
    assert "the model" not in says


@pytest.mark.parametrize("name", ["cerebras-kimi-k2.6-ratio", "cerebras-kimi-k2.6-10k-500"])
def test_the_model_says_nothing_of_ratios_and_whole_times(name):
    assert model_says(load_claim(name), WORKLOAD) == ""


def test_a_system_in_numbers_is_understood_and_an_unknown_one_is_not_guessed():
    eight = msgspec.structs.replace(SPEED, system="DGX B200, 8 x B200", model="kimi-k2.6")
    assert model_says(eight, WORKLOAD).startswith("claim 1,000; model ")
    assert model_says(SPEED, WORKLOAD) == ""
    first = msgspec.structs.replace(SPEED, system="CS-3", model="kimi-k2.6", metric="ttft_ms", unit="ms", value=100)
    assert model_says(first, WORKLOAD).endswith(" ms")
