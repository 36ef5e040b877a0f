import csv
import io
import json
import re

import msgspec
import pytest

from chatapp.bench.cost import FREE, Price
from chatapp.bench.workloads import Workload
from chatapp.clock import VirtualClock
from chatapp.compare import report
from chatapp.compare.contest import Contest, Contestant
from chatapp.stream.events import Failed
from tests.bench.conftest import ScriptedBackend

PRICE = Price(1.0, 100.0)


def failure(message="boom"):
    return Failed(0, "server_error", message)


async def held(*backends, runs=3, prices=(), prompt="one", max_usd=None, clock=None):
    clock = clock or backends[0].clock
    prices = prices or [FREE] * len(backends)
    contestants = [Contestant(b.info.name, b.info.label, b, price) for b, price in zip(backends, prices, strict=True)]
    workload = Workload(name="prompt", title="one prompt", source="own", prompts=(prompt,))
    contest = Contest(contestants, workload, clock, run_id="r", max_usd=max_usd)
    await contest.run(runs, warmup=0)
    return contest


@pytest.fixture
def clock():
    return VirtualClock(autojump=True)


@pytest.fixture
def pair(clock):
    return (
        ScriptedBackend(clock, gap_ms=20, name="slow/m", label="Slow"),
        ScriptedBackend(clock, gap_ms=5, name="sim:fast/m", label="Fast", kind="simulated"),
    )


async def test_json_holds_every_arrival_and_the_definitions_of_the_contract(pair):
    contest = await held(*pair, prices=(PRICE, FREE))
    made = json.loads(msgspec.json.encode(report.to_json(contest, "one")))
    assert made["schema"] == "chatapp.compare/1"
    assert made["environment"]["clock"]
    assert (made["runs"], made["partial"], made["departure_spread_ms"]) == (3, None, None)
    slow, fast = made["backends"]
    for figure in ("ttft_ms", "ttfa_ms", "output_speed_tps", "tpot_ms", "icl_ms", "e2e_ms"):
        assert set(slow["summary"][figure]) == {"median", "mean", "p90", "p99", "min", "max", "ci95", "n"}
    assert slow["summary"]["output_speed_tps"]["median"] == 50
    assert slow["usd_per_answer"] == pytest.approx((7 * 1 + 11 * 100) / 1e6)
    assert slow["usd_spent"] == pytest.approx(3 * (7 * 1 + 11 * 100) / 1e6)
    assert slow["common_tps_per_usd"] == pytest.approx(50 / slow["usd_per_answer"])
    assert (fast["simulated"], fast["usd_per_answer"], fast["output_usd_per_million"]) == (True, None, None)
    response = made["responses"][0]
    assert len(response["arrivals"]) == 11
    for name in ("input_tokens", "output_tokens", "token_count_source", "arrival_source", "simulated", "error"):
        assert name in response
    assert (response["backend"], response["kind"], response["run"]) == ("slow/m", "live", 1)
    first, second = made["standings"]
    assert (first["backend"], first["place"], first["speedup"], first["kind"]) == ("sim:fast/m", 1, 4.0, "simulated")
    assert (second["place"], second["speedup"]) == (2, 1.0)
    ratio = next(row for row in made["ratios"] if row["figure"] == "common_tps")
    assert (ratio["ratio"], ratio["ci95"], ratio["distinguishable"]) == (0.25, [0.25, 0.25], True)


async def test_all_at_once_says_how_far_apart_the_requests_left(pair):
    contest = await held(*pair, runs=1)
    assert report.to_json(contest, "one")["departure_spread_ms"] == 0
    assert "requests left within 0.00 ms of each other" in report.remarks(contest)
    said = "\n".join(report.remarks(contest))
    assert "one run: no interval" in said


async def test_simulated_and_live_are_never_shown_alike(pair):
    contest = await held(*pair)
    table = report.to_text(contest)
    assert re.search(r"Fast \[simulated\] ", table)
    assert "[simulated]" not in next(line for line in table.splitlines() if "Slow" in line)
    assert "only the measured ones are evidence" in table
    rows = list(csv.DictReader(io.StringIO(report.to_csv(contest))))
    assert {(row["backend"], row["kind"], row["simulated"]) for row in rows} == {
        ("slow/m", "live", "False"),
        ("sim:fast/m", "simulated", "True"),
    }
    assert "Fast \\[simulated\\]" in report.to_markdown(contest, "one")


async def test_failures_are_counted_and_in_no_figure(clock):
    broken = ScriptedBackend(clock, failures=[failure(), failure()], name="a/m", label="A")
    contest = await held(broken, ScriptedBackend(clock, name="b/m", label="B"))
    backend = report.to_json(contest, "one")["backends"][0]
    assert (backend["requests"], backend["succeeded"], backend["errors"]) == (3, 1, {"server_error": 2})
    assert backend["summary"]["ttft_ms"]["n"] == 1
    assert "2 answers failed and are in no figure; the first: server_error: boom" in report.remarks(contest)


async def test_one_without_any_whole_answer_has_no_place_and_no_number(clock):
    broken = ScriptedBackend(clock, failures=[failure()] * 3, name="a/m", label="A")
    contest = await held(broken, ScriptedBackend(clock, name="b/m", label="B"), prices=(PRICE, FREE))
    made = report.to_json(contest, "one")
    assert [row["place"] for row in made["standings"]] == [1, None]
    assert [row["speedup"] for row in made["standings"]] == [None, None]  # nothing to compare with
    assert made["ratios"] == []
    assert made["backends"][0]["usd_per_answer"] is None
    assert report.table_rows(contest)[2][:3] == ("–", "A", "–")


async def test_a_backend_that_took_no_further_part_says_why(clock):
    refused = ScriptedBackend(clock, failures=[Failed(0, "auth", "no key")], name="a/m", label="A")
    contest = await held(refused, ScriptedBackend(clock, name="b/m", label="B"))
    assert "A took no further part: auth: no key" in report.remarks(contest)


async def test_equal_backends_cannot_be_told_apart(clock):
    contest = await held(ScriptedBackend(clock, name="a/m"), ScriptedBackend(clock, name="b/m"))
    assert any(line.endswith("cannot be told from 1") for line in report.remarks(contest))


async def test_an_unknown_price_stays_unknown_and_without_prices_there_are_no_columns_for_them(clock):
    unknown = await held(ScriptedBackend(clock, name="a/m"), prices=(Price(),))
    made = report.to_json(unknown, "one")
    assert made["backends"][0]["usd_per_answer"] is None
    assert made["responses"][0]["usd"] is None
    assert "$/answer" not in report.to_text(unknown)
    paid = await held(ScriptedBackend(clock, name="a/m"), prices=(PRICE,))
    header, row = report.table_rows(paid)
    assert header[-3:] == ("$/answer", "$/M out", "tok/s per $")
    assert row[-3:] == ("0.0011", "100.00", "90,334")


async def test_an_early_end_is_said(clock):
    contest = await held(ScriptedBackend(clock, name="a/m"), runs=9, prices=(PRICE,), max_usd=0.002)
    assert contest.partial in report.to_text(contest)
    assert report.to_json(contest, "one")["partial"] == "--max-cost $0.002 reached"


async def test_nothing_foreign_can_change_what_the_markdown_is(clock):
    hostile = "<script>alert(1)</script> | `x` [a](javascript:b) \x1b[2J\nsecond line"
    backends = (
        ScriptedBackend(clock, name="a/m", label="A | <b>", failures=[failure(hostile)]),
        ScriptedBackend(clock, name="b/m"),
    )
    contest = await held(*backends, prompt=hostile)
    text = report.to_markdown(contest, hostile + "\n" * 30 + "end")
    assert "    <script>" in text  # indented: a block of code
    assert not re.search(r"(?m)^ {0,3}\S.*(?<!\\)<", text)
    assert "\x1b" not in text
    assert "… and 12 lines more" in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


class TestLoading:
    """The files load in one line, as the module's head says."""

    async def test_with_the_standard_library(self, pair):
        contest = await held(*pair, prices=(PRICE, FREE))
        rows = list(csv.DictReader(io.StringIO(report.to_csv(contest))))
        made = json.loads(msgspec.json.encode(report.to_json(contest, "one")))
        assert len(rows) == len(made["responses"]) == 6
        for row, response in zip(rows, made["responses"], strict=True):
            for name, cell in row.items():
                value = response[name]
                assert cell == ("" if value is None else str(value)), name

    async def test_with_pandas(self, pair, tmp_path):
        pandas = pytest.importorskip("pandas", reason="pandas is not installed")
        contest = await held(*pair, prices=(PRICE, FREE))
        (tmp_path / "c.csv").write_text(report.to_csv(contest))
        frame = pandas.read_csv(tmp_path / "c.csv")
        assert frame.groupby("backend").output_speed_tps.median().to_dict() == {"sim:fast/m": 200, "slow/m": 50}
        assert frame.usd.isna().sum() == 3
        made = json.loads(msgspec.json.encode(report.to_json(contest, "one")))
        assert list(pandas.json_normalize(made["responses"]).ttft_ms) == [100] * 6

    async def test_with_duckdb(self, pair, tmp_path):
        duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
        contest = await held(*pair, prices=(PRICE, FREE))
        (tmp_path / "c.csv").write_text(report.to_csv(contest))
        (tmp_path / "c.json").write_bytes(msgspec.json.encode(report.to_json(contest, "one")))
        query = "select backend, median(output_speed_tps), sum(usd) from '{}' group by backend order by backend"
        fast, slow = duckdb.sql(query.format(tmp_path / "c.csv")).fetchall()
        assert fast == ("sim:fast/m", 200, None)
        assert slow == ("slow/m", 50, pytest.approx(3 * 1107 / 1e6))
        read = f"read_json('{tmp_path / 'c.json'}', maximum_object_size=1000000000)"
        table = duckdb.sql(f"select unnest(responses, recursive := true) from {read}")
        assert [row[0] for row in table.select("ttft_ms").fetchall()] == [100] * 6
