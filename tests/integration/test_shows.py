"""Recordings and demos in a real terminal: record a chat, replay it, draft a script from it, play a demo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatapp.cli import run
from chatapp.recording.reader import Recording
from tests.integration.test_tmux import CS3, Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


def another(terminal: Terminal) -> Terminal:
    """Return a fresh terminal in place of one that is done with."""
    terminal.tmux("kill-server")
    folder = terminal.folder / "second"
    folder.mkdir()
    return Terminal(folder)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    for folder in (tmp_path, tmp_path / "second"):
        terminal.socket = str(folder / "tmux")
        terminal.tmux("kill-server")


def test_a_session_is_recorded_replayed_and_drafted(terminal: Terminal, tmp_path: Path, capsys) -> None:
    recording, script = tmp_path / "talk.tokcast", tmp_path / "talk.yaml"
    terminal.start("record", str(recording), "--backend", CS3, "--script", str(script), width=110, height=30)
    terminal.wait("Enter sends")
    terminal.ask("What is the KV cache?")
    terminal.keys("C-q")
    terminal.wait("EXIT=0")
    assert "recorded:" in terminal.screen()
    assert run(["recording", "verify", str(recording)]) == 0
    assert run(["demo", "check", str(script)]) == 0, capsys.readouterr().err

    capsys.readouterr()
    assert run(["replay", str(recording), "--json", "-"]) == 0
    (response,) = json.loads(capsys.readouterr().out)["responses"]
    assert response["prompt"] == "What is the KV cache?"
    assert response["simulated"] is True

    terminal = another(terminal)
    terminal.start("replay", str(recording), width=110, height=30)
    terminal.wait("REPLAY")
    terminal.wait("■", 30)  # it has ended, and stays
    shown = terminal.wait("replay")
    assert f"{response['output_speed_tps']:.0f} tok/s" in shown
    terminal.keys("r")
    terminal.wait("▶ 0:0")
    terminal.keys("q")
    terminal.wait("EXIT=0")
    assert terminal.processes() == {}


def test_a_recording_is_shown_beside_what_another_system_would_make_of_it(terminal: Terminal, tmp_path: Path) -> None:
    recording = tmp_path / "talk.tokcast"
    terminal.start("--backend", CS3, "--record", str(recording), width=110, height=30)
    terminal.wait("Enter sends")
    terminal.ask("What is the KV cache?")
    terminal.keys("C-q")
    terminal.wait("EXIT=0")
    with Recording.open(recording) as opened:
        assert opened.seal == "sealed"
    terminal = another(terminal)
    terminal.start("replay", str(recording), "--as", "sim:b200x8/kimi-k2.6", width=120, height=34)
    terminal.wait("B200")
    screen = terminal.wait(r"finished in|needs", 30)
    assert "REPLAY" in screen
    assert "modelled" in screen
    terminal.keys("q")
    terminal.wait("EXIT=0")


def test_a_demo_is_played_with_the_presenters_keys(terminal: Terminal) -> None:
    terminal.start("demo", "play", "feel-the-difference", width=100, height=30)
    terminal.wait(r"1/\d+ ")
    terminal.wait("next: ")
    terminal.keys("Right")
    terminal.wait(r"2/\d+ ")
    terminal.keys("t")
    terminal.wait("by hand")
    terminal.type("typed by hand")
    terminal.wait("typed by hand")
    terminal.keys("F12")
    terminal.wait("▶")
    terminal.keys("q")
    terminal.wait("EXIT=0")
    assert terminal.processes() == {}
    assert not list(terminal.folder.rglob("*.db"))
