import csv
import io
import json

import pytest

from chatapp.cli import run
from chatapp.clock import VirtualClock
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import BackendInfo, Delta, Finished, Message, Request, Sent, Usage

INFO = BackendInfo("groq/llama", "Groq · Llama", "live", "groq", "llama")
S = 1_000_000_000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.tokcast"
    with Recorder.open(path, title="A talk\x1b[2J", clock=VirtualClock(), redactor=Redactor()) as recorder:
        recorder.mark("one")
        recorder.begin("a", Request((Message("user", "Hello"),)), INFO)
        recorder.record("a", Sent(123))
        for i in range(5):
            recorder.record("a", Delta("=word ", S + i * S // 10 + 123, tokens=2, uncertainty_ns=7))
        recorder.record("a", Usage(3, 10))
        recorder.record("a", Finished(2 * S))
    return path


def test_info_says_what_is_in_it_and_controls_no_terminal(path, capsys):
    assert run(["recording", "info", str(path)]) == 0
    out = capsys.readouterr().out
    assert "A talk␛[2J" in out
    assert "sealed and unchanged" in out
    assert "chapter at 0.0 s: one" in out
    assert "1. Groq · Llama: Hello" in out
    assert "TTFT 1000.0 ms  20.0 tok/s  E2E 1400 ms  10 tokens out  done" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("command", [["recording", "info"], ["replay", "--headless"]])
def test_figures_as_json(path, capsys, command):
    assert run([*command, str(path), "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "chatapp.replay/1"
    (response,) = document["responses"]
    assert response["ttft_ms"] == 1000.0
    assert response["output_speed_tps"] == 20.0
    assert response["token_count_source"] == "usage"
    assert response["arrival_source"] == "process"
    assert response["simulated"] is False
    assert response["error"] is None


def test_headless_prints_figures_and_writes_them(path, tmp_path, capsys):
    target = tmp_path / "figures.json"
    assert run(["replay", str(path), "--headless", "--json", str(target)]) == 0
    assert "20.0 tok/s" in capsys.readouterr().out
    assert json.loads(target.read_text())["responses"][0]["e2e_ms"] == 1400.0


def test_repacing_headless_has_both(path, capsys):
    assert run(["replay", str(path), "--as", "sim:cs3/kimi-k2.6", "--json", "-"]) == 0
    original, modelled = json.loads(capsys.readouterr().out)["responses"]
    assert (original["stream"], modelled["stream"]) == ("original", "modelled")
    assert original["ttft_ms"] == 1000.0
    assert modelled["simulated"] is True


def test_repacing_takes_only_simulated_systems(path, capsys):
    assert run(["replay", str(path), "--as", "local", "--headless"]) == 2
    assert "--as takes a simulated system" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "1001"])
def test_a_speed_that_is_none(path, capsys, speed):
    assert run(["replay", str(path), "--headless", f"--speed={speed}"]) == 2
    assert "--speed takes a factor" in capsys.readouterr().err


def test_verify_tells_whole_cut_and_changed_files(path, capsys):
    assert run(["recording", "verify", str(path)]) == 0
    assert "sealed and unchanged: 11 events, 10 of them of answers" in capsys.readouterr().out
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert run(["recording", "verify", str(path)]) == 1
    assert "not sealed" in capsys.readouterr().err
    path.write_bytes(data.replace(b"Hello", b"Hallo"))
    assert run(["recording", "verify", str(path)]) == 1
    assert "changed after it was sealed" in capsys.readouterr().err
    assert run(["recording", "info", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["recording", "info", str(path), "--force"]) == 0
    path.write_bytes(data.replace(b'"x":', b'"x":x'))
    assert run(["recording", "verify", str(path)]) == 2
    assert f"{path}:6: " in capsys.readouterr().err


def test_redact_takes_out_what_is_named(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "Groq · Llama")
    target = tmp_path / "clean.tokcast"
    command = ["recording", "redact", str(path), "--output", str(target), "--pattern", "Hel+o", "--secret", "MY_SECRET"]
    assert run(command) == 0
    assert "2 redactions" in capsys.readouterr().out
    text = target.read_text()
    assert "Hello" not in text
    assert "Groq" not in text
    assert run(["recording", "verify", str(target)]) == 0
    assert run(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert run([*command[:4], str(tmp_path / "x"), "--pattern", "("]) == 2
    assert run([*command[:4], str(tmp_path / "x"), "--secret", "NOT_SET"]) == 2


def test_arrivals_as_csv_keep_every_nanosecond_and_no_formula(path, tmp_path, capsys):
    assert run(["recording", "export", str(path), "--to", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 5
    assert rows[1]["at_s"] == "1.100000123"
    assert rows[1]["since_request_s"] == "1.100000000"
    assert rows[1]["gap_s"] == "0.100000000"
    assert rows[1]["text"] == "'=word "
    target = tmp_path / "a.csv"
    assert run(["recording", "export", str(path), "--to", "csv", "--output", str(target)]) == 0
    assert target.read_text().startswith("answer,stream,")


def test_arrivals_as_json(path, capsys):
    assert run(["recording", "export", str(path), "--to", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "chatapp.recording/1"
    assert len(document["arrivals"]) == 5
    assert document["recording"]["seal"] == "sealed"


def test_a_folder_that_is_not_there_is_said_before_anything_is_done(path, capsys):
    assert run(["recording", "export", str(path), "--to", "csv", "--output", "/none/such/a.csv"]) == 2
    assert "does not exist" in capsys.readouterr().err
