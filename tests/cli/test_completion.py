import os
import subprocess
import sys

import pytest

from chatapp import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(capsys, shell):
    assert cli.run(["completion", shell]) == 0
    assert "_CHATAPP_COMPLETE" in capsys.readouterr().out


def test_the_shell_is_taken_from_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert cli.run(["completion"]) == 0
    assert "fish_complete" in capsys.readouterr().out


def test_an_unknown_shell_exits_2(capsys, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert cli.run(["completion"]) == 2
    assert "'tcsh'" in capsys.readouterr().err


def test_completion_knows_the_commands_without_importing_them():
    environment = {**os.environ, "_CHATAPP_COMPLETE": "bash_complete", "COMP_WORDS": "chatapp com", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from chatapp.cli import root; root.main(prog_name='chatapp')"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert {"plain,compare", "plain,completion"} <= set(done.stdout.split())
