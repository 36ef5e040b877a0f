import subprocess
import sys

import click
import pytest

from chatapp import cli
from chatapp.errors import BackendError


def run(capsys, *args):
    code = cli.run(list(args))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_help_lists_every_command_and_exits_0(capsys):
    code, out, _err = run(capsys, "--help")
    assert code == 0
    for name, (_target, line) in cli.COMMANDS.items():
        assert name in out
        assert line.split(":")[0].split("(")[0].strip()[:30] in out


def test_help_imports_nothing_heavy():
    heavy = ("textual", "openai", "asyncio", "rich", "websockets", "tiktoken")
    script = (
        "import sys; from chatapp.cli import run; run(['--help']);"
        f"print(sorted(m for m in {heavy!r} if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help(capsys, name):
    code, out, _err = run(capsys, name, "--help")
    assert code == 0
    assert out.startswith("Usage: chatapp " + name)


def test_an_unknown_command_names_the_nearest_and_exits_2(capsys):
    code, _out, err = run(capsys, "compar")
    assert code == 2
    assert "compare" in err


def test_no_command_means_chat(monkeypatch):
    seen = []

    @click.command()
    @click.option("--backend")
    def chat(backend):
        seen.append(backend)

    monkeypatch.setattr("chatapp.cli.LazyGroup.get_command", lambda self, ctx, name: chat if name == "chat" else None)
    assert cli.run([]) == 0
    assert cli.run(["--backend", "local"]) == 0
    assert seen == [None, "local"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BackendError("dns", "no host \x1b[2J evil sk-abcdefghijklmnop1234", hint="do this"), 1, "do this"),
        (click.UsageError("bad option"), 2, "bad option"),
        (click.exceptions.Abort(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "this is a bug"),
    ],
)
def test_every_failure_is_a_clear_line_and_an_exit_code(monkeypatch, capsys, tmp_path, error, code, words):
    monkeypatch.setenv("CHATAPP_STATE_DIR", str(tmp_path))

    @click.command()
    def chat():
        raise error

    monkeypatch.setattr("chatapp.cli.LazyGroup.get_command", lambda self, ctx, name: chat)
    got, _out, err = run(capsys, "chat")
    assert got == code
    assert words in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert "sk-abc" not in err


def test_a_closed_pipe_is_quiet():
    command = f"{sys.executable} -m chatapp --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
