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
    assert run(["recording", "verify", str(path)]) == 1
    assert f"{path}:6: " in capsys.readouterr().err
    assert run(["recording", "verify", str(path.with_name("none"))]) == 2
    assert "none: cannot be read: No such file" in capsys.readouterr().err


HEADER = '{"format":"tokcast","version":1}'
CHUNK = '[0.1,"t",{"s":"a","x":"word"}]'
BROKEN = {
    "garbled": ("\n".join([HEADER, CHUNK, "@@@", CHUNK, ""]), ":3: not a line of a recording"),
    "no recording": ("\0binary\n", ":1: not a recording"),
    "empty": ("", ":1: empty: not a recording"),
    "version 0": ('{"format":"tokcast","version":0}\n', ":1: recording of version 0; this chatapp reads version 1"),
    "version 99": ('{"format":"tokcast","version":99}\n', ":1: recording of version 99; this chatapp reads version 1"),
    "a long line": (f"{HEADER}\n{'x' * 10_000_000}\n", ":2: longer than 1048576 bytes"),
    "nested": (f'{HEADER}\n[0.1,"t",{"[" * 5000}{"]" * 5000}]\n', ":2: nested too deeply"),
    "NaN": (f'{HEADER}\n[NaN,"m","x"]\n', ":2: not a line of a recording"),
    "negative": (f'{HEADER}\n[-1.5,"m","x"]\n', ":2: interval -1.5 is not between"),
    "wrong type": (f'{HEADER}\n{CHUNK}\n[0.1,"t",{{"s":5}}]\n', ":3: 't' line: Expected `str`, got `int`"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_every_command_says_what_is_broken_where_in_one_line(what, tmp_path, capsys, monkeypatch):
    for folder in ("STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"CHATAPP_{folder}_DIR", str(tmp_path / folder))
    text, complaint = BROKEN[what]
    path = tmp_path / "broken.tokcast"
    path.write_text(text)
    backend = ["--backend", f"recording:{path}"]
    for command, code in (
        (["recording", "verify", str(path)], 1),
        (["recording", "info", str(path)], 2),
        (["recording", "export", str(path), "--to", "json"], 2),
        (["replay", "--headless", str(path)], 2),
        (["chat", "--plain", "--prompt", "hi", *backend], 2),
        (["compare", "--headless", "--prompt", "hi", *backend, *backend], 2),
        (["bench", "--prompt", "hi", *backend], 2),
    ):
        assert run(command) == code, command
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if not line.startswith("  ")]
        assert len(lines) == 1, (command, err)
        assert f"{path}{complaint}" in lines[0], command
        assert out == "", command


def test_the_chat_takes_a_stream_of_a_recording(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path / "state"))
    command = ["chat", "--plain", "--no-save", "--prompt", "hi", "--backend"]
    assert run([*command, f"recording:{path}#nobody"]) == 2
    assert "unknown stream of" in capsys.readouterr().err


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
