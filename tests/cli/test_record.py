import pytest

from chatapp.cli import run
from chatapp.clock import VirtualClock
from chatapp.recording.writer import Recorder
from chatapp.stream.events import BackendInfo, Delta, Finished, Message, Request, Sent

S = 1_000_000_000
CS3 = BackendInfo("sim:cs3/kimi-k2.6", "CS-3 · Kimi K2.6", "simulated", "cerebras", "kimi-k2.6")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))


def test_a_drafted_script_plays(tmp_path, capsys):
    path, script = tmp_path / "a.tokcast", tmp_path / "drafted.yaml"
    with Recorder.open(path, clock=VirtualClock()) as recorder:
        recorder.begin("chat", Request((Message("user", "What is the KV cache?"),)), CS3)
        recorder.record("chat", Sent(0))
        recorder.record("chat", Delta("x", S))
        recorder.record("chat", Finished(20 * S))
    assert run(["record", "--from", str(path), "--script", str(script)]) == 0
    assert "drafted:" in capsys.readouterr().out
    assert run(["demo", "check", str(script)]) == 0, capsys.readouterr().err


def test_wrong_use(tmp_path, capsys):
    assert run(["record", "--from", "x.tokcast"]) == 2
    assert run(["record"]) == 2
    assert "no terminal" in capsys.readouterr().err
    empty = tmp_path / "empty.tokcast"
    with Recorder.open(empty):
        pass
    assert run(["record", "--from", str(empty), "--script", "-"]) == 2
    assert "nothing was asked" in capsys.readouterr().err
