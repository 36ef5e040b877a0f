import json

from chatapp.stream.events import ServerTiming
from chatapp.stream.figures import Figures

CONTRACT = {
    "ttft_ms",
    "ttfa_ms",
    "output_speed_tps",
    "tpot_ms",
    "icl_ms",
    "e2e_ms",
    "input_tokens",
    "output_tokens",
    "characters_per_s",
    "common_tps",
    "token_count_source",
    "arrival_source",
    "simulated",
    "server_timing",
    "error",
}


def test_json_has_the_fields_that_reports_promise():
    assert Figures().to_json().keys() >= CONTRACT


def test_json_is_plain():
    figures = Figures(server_timing=ServerTiming(source="groq", queue_s=0.5), warnings=("a: b",))
    decoded = json.loads(json.dumps(figures.to_json(), allow_nan=False))
    assert decoded["server_timing"]["queue_s"] == 0.5
    assert decoded["ttft_ms"] is None
