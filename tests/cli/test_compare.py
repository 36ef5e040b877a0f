"""`chatapp compare` without a screen: what it prints, writes, refuses and survives."""

import asyncio
import copy
import csv
import io
import json
import os
import signal
from pathlib import Path

import pytest

from chatapp.bench.cost import FREE, Price
from chatapp.cli import run
from chatapp.stream.events import Failed
from chatapp.timer import PreciseClock
from tests.bench.conftest import ScriptedBackend

CANARY = "sk-canary-0123456789abcdef0123"


class OnAnyLoop(ScriptedBackend):
    """The scripted backend on real time: a clock for each event loop."""

    async def stream(self, request):
        self.clock = PreciseClock()
        try:
            async for event in super().stream(request):
                yield event
        finally:
            self.clock.close()


class Silent(OnAnyLoop):
    async def stream(self, request):
        async for event in super().stream(request):
            yield event
            await asyncio.Event().wait()


class Endless(OnAnyLoop):
    def __init__(self, *args, **options):
        super().__init__(*args, tokens=10**9, gap_ms=1, ttft_ms=1, **options)


@pytest.fixture
def backends(monkeypatch):
    """Put scripted backends behind names; returns the table, to be changed by a test."""
    table = {
        "fast": OnAnyLoop(None, ttft_ms=2, gap_ms=1, tokens=6, name="fast", label="Fast"),
        "slow": OnAnyLoop(None, ttft_ms=4, gap_ms=2, tokens=6, name="slow", label="Slow"),
        "sim:x/m": OnAnyLoop(None, ttft_ms=1, gap_ms=1, tokens=6, name="sim:x/m", label="X", kind="simulated"),
    }
    used = set()

    def resolve(name, *_args, **_options):
        if name not in used:
            used.add(name)
            return table[name]
        return copy.copy(table[name])

    monkeypatch.setattr("chatapp.backends.registry.resolve", resolve)
    monkeypatch.setattr("chatapp.cli.contest.price_of", lambda *_args, **_options: FREE)
    return table


def compare(*args, prompt="why?", names=("fast", "slow")):
    asked = ["--prompt", prompt] if prompt is not None else []
    backends = [part for name in names for part in ("--backend", name)]
    return run(["compare", *backends, *asked, "--cooldown", "0", "--warmup", "0", *args])


def test_a_table_on_stdout_and_progress_on_stderr(backends, capsys):
    assert compare("--headless") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split()[:2] == ["backend", "tok/s"]
    assert out.index("Fast") < out.index("Slow")
    assert "run 1: Fast:" in err


def test_without_a_terminal_it_is_headless_by_itself(backends, capsys):
    assert compare() == 0
    assert "Fast" in capsys.readouterr().out


def test_every_file_is_written(backends, tmp_path):
    files = {kind: tmp_path / f"r.{kind}" for kind in ("json", "csv", "markdown", "html", "record")}
    assert compare("--runs", "2", *(part for kind, path in files.items() for part in (f"--{kind}", str(path)))) == 0
    made = json.loads(files["json"].read_text())
    assert made["schema"] == "chatapp.compare/1"
    assert [row["backend"] for row in made["standings"]] == ["fast", "slow"]
    assert len(list(csv.reader(files["csv"].read_text().splitlines()))) == 5
    assert files["markdown"].read_text().startswith("# Comparison")
    assert files["html"].read_text().startswith("<!doctype html>")
    assert files["record"].read_text().count('"q"') == 4


def test_json_on_stdout_leaves_nothing_else_there(backends, capsys):
    assert compare("--json", "-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["order"] == "all at once"
    assert "Fast" in err


def test_the_same_backend_twice_is_named_apart(backends, capsys):
    assert compare("--csv", "-", names=("fast", "fast")) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["backend"] for row in rows] == ["fast (1)", "fast (2)"]


def test_simulated_and_live_may_be_mixed_and_are_marked(backends, capsys):
    assert compare("--headless", names=("fast", "sim:x/m")) == 0
    out = capsys.readouterr().out
    assert "X [simulated]" in out
    assert "only the measured ones are evidence" in out


def test_a_system_prompt_reaches_every_backend(backends):
    assert compare("--headless", "--system", "teacher") == 0
    instructions = {table.requests[0].instructions for table in (backends["fast"], backends["slow"])}
    assert len(instructions) == 1
    assert len(instructions.pop()) > 100


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ([], {"names": ["fast"]}, "two to four backends, not 1"),
        ([], {"names": ["fast"] * 5}, "two to four backends, not 5"),
        ([], {"prompt": None}, "nothing to ask"),
        ([], {"prompt": "  "}, "the prompt is empty"),
        (["--prompt-file", "x"], {}, "exclude each other"),
        (["--json", "/no/such/folder/x.json"], {}, "does not exist"),
        (["--csv", "/proc/version"], {}, "may not be written"),
        (["--html", "/"], {}, "is a folder"),
        (["--json", "-", "--csv", "-"], {}, "--json and --csv both go to standard output"),
        (["--timeout", "0"], {}, "--timeout must be a number of at least 0.001"),
        (["--timeout", "nan"], {}, "--timeout"),
        (["--cooldown", "-1"], {}, "--cooldown"),
        (["--max-cost", "-1"], {}, "--max-cost"),
        (["--gateway", "ws://127.0.0.1:1/v1/responses"], {}, "--gateway is for the screen"),
        (["--system", "teachr"], {}, "nearest: teacher"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_asked(backends, capsys, args, options, message):
    if "/proc/version" in args and os.access("/proc/version", os.W_OK):
        args, message = ["--csv", "/proc"], "is a folder"  # root may write everywhere
    assert compare("--headless", *args, **options) == 2
    assert message in capsys.readouterr().err
    assert backends["fast"].requests == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00", "not UTF-8 text (byte 0)"),
        (b"text\0text", "a binary file"),
        (b"x" * 5_000_001, "larger than 5,000,000 bytes"),
    ],
)
def test_a_prompt_file_that_is_none(backends, tmp_path, capsys, data, message):
    path = tmp_path / "prompt.txt"
    path.write_bytes(data)
    assert compare("--headless", "--prompt-file", str(path), prompt=None) == 2
    assert message in capsys.readouterr().err
    assert compare("--headless", "--prompt-file", str(tmp_path / "none"), prompt=None) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert backends["fast"].requests == []


def test_a_prompt_of_just_under_5_mb_is_asked(backends, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("word " * 900_000)
    assert compare("--headless", "--prompt-file", str(path), prompt=None) == 0
    assert len(backends["slow"].requests[0].prompt) > 4_000_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_with_a_full_disk_the_figures_are_still_printed_and_the_other_files_written(backends, tmp_path, capsys):
    assert compare("--json", "/dev/full", "--csv", str(tmp_path / "r.csv")) == 1
    out, err = capsys.readouterr()
    assert "Fast" in out
    assert "/dev/full: cannot be written: No space left on device" in err
    assert (tmp_path / "r.csv").read_text().count("\n") == 3


@pytest.mark.parametrize("kind", [Silent, Endless])
def test_one_without_an_end_is_given_up_and_the_other_one_counts(backends, capsys, kind):
    backends["slow"] = kind(None, name="slow", label="Slow")
    assert compare("--timeout", "0.3", "--headless") == 1
    out, err = capsys.readouterr()
    assert "Slow: timeout: no end within 0.3 s" in err
    assert "1 answers failed and are in no figure" in out
    assert out.splitlines()[1].split()[1] == "Fast"
    assert backends["slow"].closed_early == 1


def test_ctrl_c_keeps_what_there_is_and_marks_it(backends, tmp_path, capsys):
    class Interrupting(OnAnyLoop):
        async def stream(self, request):
            async for event in super().stream(request):
                yield event
                if len(self.requests) == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.Event().wait()

    backends["slow"] = Interrupting(None, ttft_ms=1, gap_ms=1, tokens=3, name="slow", label="Slow")
    path = tmp_path / "r.json"
    assert compare("--runs", "5", "--json", str(path)) == 130
    made = json.loads(path.read_text())
    assert made["partial"] == "interrupted"
    slow = [response for response in made["responses"] if response["backend"] == "slow"]
    assert [response["outcome"] for response in slow] == ["done", "cancelled"]
    assert "partial: interrupted" in capsys.readouterr().out


def test_no_secret_reaches_any_output(backends, tmp_path, capsys):
    backends["slow"].failures = [Failed(0, "server_error", f"bad key {CANARY}")]
    files = {kind: tmp_path / f"r.{kind}" for kind in ("json", "csv", "markdown", "html", "record")}
    args = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    assert compare(*args, prompt=f"my key is {CANARY}") == 1
    out, err = capsys.readouterr()
    for text in (out, err, *(path.read_text() for path in files.values())):
        assert CANARY not in text
    assert "[REDACTED:key]" in files["html"].read_text()


def test_control_characters_of_a_server_never_reach_the_terminal(backends, capsys):
    backends["slow"].failures = [Failed(0, "server_error", "\x1b]0;pwned\x07\x1b[2J")]
    assert compare("--headless") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x07" not in out + err


class TestCost:
    @pytest.fixture(autouse=True)
    def paid(self, backends, monkeypatch):
        self.price = Price(1_000.0, 1_000.0)
        monkeypatch.setattr("chatapp.cli.contest.price_of", lambda *_args, **_options: self.price)
        monkeypatch.setattr("sys.stdin", io.StringIO())

    def test_nobody_there_to_agree(self, backends, capsys):
        assert compare("--headless") == 2
        err = capsys.readouterr().err
        assert "2 paid backends, 1 requests each: about $" in err
        assert "output tokens each are assumed" in err
        assert "--yes" in err
        assert backends["fast"].requests == []

    @pytest.mark.parametrize("consent", [["--yes"], ["--max-cost", "100"], ["--max-tokens", "5"]])
    def test_consent_or_a_small_cost(self, consent):
        assert compare("--headless", *consent) == 0

    def test_a_limit_below_the_estimate(self, capsys):
        assert compare("--headless", "--max-cost", "0.5") == 2
        assert "cannot be kept" in capsys.readouterr().err

    @pytest.mark.parametrize("price", [Price(), Price(None, 1.0)])
    def test_an_unknown_price_is_not_taken_for_nothing(self, capsys, price):
        self.price = price
        assert compare("--headless", "--max-cost", "100") == 2
        assert "an unknown cost" in capsys.readouterr().err
        assert compare("--headless", "--yes") == 0

    def test_the_question_on_a_terminal(self, monkeypatch, capsys):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("click.confirm", lambda *_args, **_options: True)
        assert compare("--headless") == 0

    def test_a_budget_that_is_reached_ends_the_run(self, backends, tmp_path, capsys):
        backends["fast"].tokens = 150
        backends["fast"].gap_ms = 1
        args = ("--runs", "5", "--max-tokens", "10", "--max-cost", "0.35", "--json", str(tmp_path / "r.json"))
        assert compare(*args) == 1
        assert json.loads((tmp_path / "r.json").read_text())["partial"] == "--max-cost $0.35 reached"
