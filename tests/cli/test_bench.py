import io
import json

import pytest

from chatapp.bench import plan as plan_module
from chatapp.bench.cost import Price
from chatapp.cli import bench as bench_module
from chatapp.cli import run
from chatapp.stream.events import Failed
from chatapp.timer import PreciseClock
from tests.bench.conftest import ScriptedBackend


@pytest.fixture
def backend(monkeypatch):
    """Put a scripted backend behind every name."""
    scripted = ScriptedBackend(None, ttft_ms=2, gap_ms=1, tokens=5)
    real = scripted.stream

    def stream(request):
        scripted.clock = PreciseClock()  # one for each event loop
        return real(request)

    scripted.stream = stream
    monkeypatch.setattr("chatapp.backends.registry.resolve", lambda *_args, **_options: scripted)
    monkeypatch.setattr(plan_module, "price_of", lambda *_args, **_options: plan_module.FREE)
    return scripted


def bench(*args):
    return run(["bench", "--backend", "scripted/m", "--cooldown", "0", *args])


def test_a_table_on_stdout_and_progress_on_stderr(backend, capsys):
    assert bench("--requests", "2", "--max-ttft", "1000") == 0
    out, err = capsys.readouterr()
    assert "output speed" in out
    assert "goodput: 100.0%" in out
    assert "×1: 2 whole answers, 0 failed" in err


def test_json_on_stdout_leaves_nothing_else_there(backend, capsys):
    assert bench("--requests", "2", "--concurrency", "1,2", "--json", "-") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert [level["label"] for level in report["levels"]] == ["×1", "×2"]
    assert "tok/s all" in err


def test_files_are_written(backend, tmp_path):
    json_file, csv_file, record = tmp_path / "a.json", tmp_path / "a.csv", tmp_path / "a.tokcast"
    assert bench("--requests", "2", "--json", str(json_file), "--csv", str(csv_file), "--record", str(record)) == 0
    assert json.loads(json_file.read_text())["schema"] == "chatapp.bench/1"
    assert len(csv_file.read_text().splitlines()) == 3
    assert record.stat().st_size


def test_the_seed_repeats_the_prompts(backend, capsys):
    bench("--requests", "2", "--seed", "s", "--prompt", "hi", "--warmup", "0")
    first = [request.prompt for request in backend.requests]
    backend.requests.clear()
    bench("--requests", "2", "--seed", "s", "--prompt", "hi", "--warmup", "0")
    assert [request.prompt for request in backend.requests] == first


def test_a_prompt_from_stdin(backend, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    assert bench("--requests", "1", "--warmup", "0", "--prompt", "-") == 0
    assert backend.requests[0].prompt.endswith("from a pipe")


def test_an_open_load_has_no_limit_of_its_own(backend, capsys):
    assert bench("--duration", "0.05", "--rate", "200", "--arrivals", "constant", "--json", "-") == 0
    load = json.loads(capsys.readouterr().out)["levels"][0]["load"]
    assert (load["concurrency"], load["rate"], load["requests"]) == (0, 200, None)


def test_when_everything_failed_the_exit_code_says_so(backend, capsys):
    backend.failures = [Failed(at_ns=0, code="server_error", message="boom")] * 2
    assert bench("--requests", "2", "--warmup", "0") == 1
    assert "server_error ×2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--workload", "code", "--prompt", "x"], "exclude each other"),
        (["--requests", "1", "--duration", "1"], "exclude each other"),
        (["--workload", "cod"], "nearest: code"),
        (["--concurrency", "x"], "--concurrency"),
        (["--requests", "0"], "requests must be above 0"),
        (["--json", "/no/such/folder/x.json"], "does not exist"),
        (["--max-tokens", "5"], "more than --max-tokens 5"),
        (["--max-tokens", "-5"], "--max-tokens must be a number of at least 0, not -5"),
        (["--max-cost", "-1"], "--max-cost must be a number of at least 0, not -1"),
        (["--max-ttft", "nan"], "--max-ttft must be a number of at least 0, not nan"),
        (["--cooldown", "-1"], "--cooldown must be a number of at least 0, not -1"),
        (["--json", "-", "--csv", "-"], "--json and --csv both go to standard output"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_asked(backend, capsys, args, message):
    assert bench(*args) == 2
    assert message in capsys.readouterr().err
    assert backend.requests == []


def test_nothing_to_measure(capsys):
    assert run(["bench"]) == 2
    assert "--backend NAME" in capsys.readouterr().err


class TestCost:
    @pytest.fixture(autouse=True)
    def paid(self, backend, monkeypatch):
        monkeypatch.setattr(plan_module, "price_of", lambda *_args, **_options: Price(1000.0, 1000.0))

    def test_nobody_there_to_agree(self, backend, monkeypatch, capsys):
        monkeypatch.setattr("sys.stdin", io.StringIO())
        assert bench("--requests", "5") == 2
        err = capsys.readouterr().err
        assert "about $" in err
        assert "--yes" in err
        assert backend.requests == []

    @pytest.mark.parametrize("consent", [["--yes"], ["--max-cost", "100"], ["--max-tokens", "100000"]])
    def test_consent_on_the_command_line(self, consent, capsys):
        assert bench("--requests", "2", *consent) == 0

    def test_a_limit_below_the_estimate(self, capsys):
        assert bench("--requests", "5", "--max-cost", "0.01") == 2
        assert "more than --max-cost" in capsys.readouterr().err

    def test_the_question_on_a_terminal(self, backend, monkeypatch, capsys):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("click.confirm", lambda *_args, **_options: True)
        assert bench("--requests", "1") == 0


def test_the_progress_line_is_rewritten_on_a_terminal_only(backend, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    display = bench_module.Display(None)
    display.progress(None)
    display.close()
    display.problem("disk full \x1b[31m")
    assert capsys.readouterr().err == "\r\x1b[2Kwarming up\r\x1b[2Kdisk full ␛[31m\n"


@pytest.mark.parametrize("address", ["local:0", "local:10000", "nonsense"])
def test_a_cluster_that_is_none_is_wrong_use(address, backend, capsys):
    assert bench("--cluster", address) == 2
    assert address.removeprefix("local:") in capsys.readouterr().err


def test_a_cluster_reports_as_one_machine_does(capsys, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra `cluster`")
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    arguments = ["--backend", "sim:cs3/kimi-k2.6", "--prompt", "hi", "--requests", "2", "--cluster", "local:1"]
    assert run(["bench", *arguments, "--json", "-"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert [response["worker"] for response in report["responses"]] == ["worker-1", "worker-1"]
    assert report["partial"] is None
    assert "×1: 2 whole answers, 0 failed" in err
