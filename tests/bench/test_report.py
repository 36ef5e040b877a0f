import csv
import io
import json

import msgspec
import pytest

from chatapp.bench.health import Doubt
from chatapp.bench.report import SUMMARIZED, assess, count_errors, to_csv, to_json
from chatapp.bench.runner import Runner
from chatapp.bench.schedule import Load
from chatapp.stream.events import Failed
from chatapp.stream.figures import Goodput
from tests.bench.conftest import ScriptedBackend
from tests.stream.test_figures import CONTRACT

SUMMARY = {"median", "mean", "p90", "p99", "min", "max", "ci95", "n"}


@pytest.fixture
async def run(clock, workload):
    backend = ScriptedBackend(clock, failures=[Failed(at_ns=0, code="server_error", message="boom")])
    return await Runner(backend, workload, clock, run="r").run(Load(requests=6, warmup=0))


def test_the_report_has_what_the_contract_names(run, workload):
    report = to_json([run], workload, run_id="r")
    json.dumps(report, allow_nan=False)
    assert report["schema"] == "chatapp.bench/1"
    for name in ("ttft_ms", "ttfa_ms", "output_speed_tps", "tpot_ms", "icl_ms", "e2e_ms"):
        assert report["summary"][name].keys() == SUMMARY
        assert report["summary"][name]["n"] == 5
    assert report["summary"]["output_speed_tps"]["median"] == pytest.approx(100)
    assert len(report["responses"]) == 6
    for response in report["responses"]:
        assert response.keys() >= CONTRACT
    assert report["responses"][0]["error"] == "server_error: boom"
    assert report["responses"][1]["token_count_source"] == "usage"
    assert report["arrival_sources"] == {"kernel": 6}
    assert report["warmed_connections"] is True
    assert report["partial"] is None


def test_a_level_counts_errors_and_throughput(run):
    level = assess(run)
    assert level.errors == count_errors(run.responses) == {"server_error": 1}
    assert (level.requests, level.succeeded, level.goodput) == (6, 5, None)
    assert level.total_output_tps == pytest.approx(55 / 1.0)
    assert level.requests_per_s == pytest.approx(5)


def test_goodput_counts_failures_as_bad(run):
    assert assess(run, Goodput(ttft_ms=100)).goodput == pytest.approx(5 / 6)
    assert assess(run, Goodput(ttft_ms=99)).goodput == 0


def test_spoilt_figures_are_not_summarized_but_their_size_is_said(run, workload):
    doubt = Doubt(fitness="refused", latency_error_ms=80, speed_error=0.5, reasons=("80 ms too long",))
    spoilt = msgspec.structs.replace(run, doubt=doubt)
    report = to_json([spoilt], workload, run_id="r")
    assert report["summary"] == {}
    assert report["doubtful"] is True
    assert report["levels"][0]["doubt"]["latency_error_ms"] == 80
    assert to_json([spoilt, run], workload, run_id="r")["summary"].keys() == set(SUMMARIZED)


def test_a_run_without_responses_is_a_report_all_the_same(run, workload):
    empty = msgspec.structs.replace(run, responses=(), lasted_s=0.0, partial="interrupted")
    report = to_json([empty], workload, run_id="r", limits=Goodput(ttft_ms=1))
    assert report["partial"] == "interrupted"
    assert report["summary"]["ttft_ms"] is None
    assert report["levels"][0]["goodput"] is None
    assert report["levels"][0]["requests_per_s"] is None


def test_csv_has_a_row_for_each_response_and_plain_columns(run):
    rows = list(csv.DictReader(io.StringIO(to_csv([run]))))
    assert len(rows) == 6
    assert rows[1]["backend"] == "scripted/m"
    assert float(rows[1]["ttft_ms"]) == 100
    assert rows[0]["ttft_ms"] == ""
    assert rows[0]["error"] == "server_error: boom"
    assert "warnings" not in rows[0]
