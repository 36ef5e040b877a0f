"""What `bench` writes loads in one line where people look at figures: csv and json, pandas, DuckDB.

    pandas.read_csv("bench.csv").groupby("level").output_speed_tps.describe()
    pandas.json_normalize(json.load(open("bench.json"))["responses"])
    duckdb.sql("select level, median(ttft_ms) from 'bench.csv' group by level")

The same of `compare` is tested in tests/compare/test_report.py.
"""

import csv
import json

import msgspec
import pytest

from chatapp.bench.report import to_csv, to_json
from chatapp.bench.runner import Runner
from chatapp.bench.schedule import Load
from chatapp.bench.workloads import Workload
from chatapp.clock import VirtualClock
from tests.bench.conftest import ScriptedBackend


@pytest.fixture
async def files(tmp_path):
    clock = VirtualClock(autojump=True)
    workload = Workload(name="w", title="W", source="own", prompts=("p",), output_tokens=11)
    runner = Runner(ScriptedBackend(clock), workload, clock, run="r")
    runs = [await runner.run(Load(requests=3, concurrency=n, warmup=0)) for n in (1, 3)]
    (tmp_path / "bench.csv").write_text(to_csv(runs))
    (tmp_path / "bench.json").write_bytes(msgspec.json.encode(to_json(runs, workload, run_id="r")))
    return tmp_path / "bench.csv", tmp_path / "bench.json"


async def test_with_the_standard_library(files):
    table, report = files
    rows = list(csv.DictReader(table.read_text().splitlines()))
    responses = json.loads(report.read_text())["responses"]
    assert [row["level"] for row in rows] == ["×1"] * 3 + ["×3"] * 3
    for row, response in zip(rows, responses, strict=True):
        for name in ("ttft_ms", "output_speed_tps", "e2e_ms", "input_tokens", "output_tokens", "token_count_source"):
            assert row[name] == str(response[name])


async def test_with_pandas(files):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table, report = files
    assert pandas.read_csv(table).groupby("level").output_speed_tps.median().to_dict() == {"×1": 100, "×3": 100}
    assert list(pandas.json_normalize(json.loads(report.read_text())["responses"]).ttft_ms) == [100] * 6


async def test_with_duckdb(files):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    table, report = files
    rows = duckdb.sql(f"select level, median(ttft_ms) from '{table}' group by level order by level").fetchall()
    assert rows == [("×1", 100), ("×3", 100)]
    responses = duckdb.sql(f"select unnest(responses, recursive := true) from read_json('{report}')")
    assert [row[0] for row in responses.select("ttft_ms").fetchall()] == [100] * 6
