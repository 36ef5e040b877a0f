"""`chatapp chat`: what is refused before anything starts, and plain mode through a real child gateway."""

import os
import subprocess
import sys

import pytest

from chatapp.cli import run
from chatapp.cli.chat import check_backend
from chatapp.cli.opening import NEUTRAL_DEFAULT, default_backend, read_system, require_terminal
from chatapp.config import Settings
from chatapp.errors import MissingKeyError, UnknownNameError, UsageError


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    for name in list(os.environ):
        if name.endswith("_API_KEY"):
            monkeypatch.delenv(name)


def chatapp(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chatapp", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


class TestPlain:
    def test_text_to_stdout_figures_to_stderr(self):
        done = chatapp("--plain", "--backend", "sim:cs3/kimi-k2.6", "--prompt", "Why is the sky blue?")
        assert done.returncode == 0
        assert len(done.stdout.split()) > 100
        assert "tok/s" not in done.stdout
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("[sim:cs3/kimi-k2.6 · ")
        for words in ("tok/s", "TTFT", "tokens", "simulated", "under "):
            assert words in last

    def test_a_prompt_from_a_pipe(self):
        done = chatapp("--plain", "--backend", "sim:b200x8/kimi-k2.6", "--prompt", "-", stdin="Why is the sky blue?\n")
        assert done.returncode == 0
        assert done.stdout

    def test_what_cannot_be_saved_is_said_and_the_answer_comes(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CHATAPP_DATA_DIR", str(tmp_path / "file" / "data"))
        done = chatapp("--plain", "--backend", "sim:cs3/kimi-k2.6", "--prompt", "Hello")
        assert (done.returncode, bool(done.stdout)) == (0, True)
        assert done.stderr.splitlines()[-1].startswith("chatapp: warning: ")

    def test_a_reader_that_leaves_is_no_error_message(self):
        command = f"{sys.executable} -m chatapp --plain --backend sim:cs3/kimi-k2.6 --prompt 'Why is the sky blue?'"
        done = subprocess.run(
            ["sh", "-c", f"{command} | head -c 10"], capture_output=True, text=True, check=False, timeout=60
        )
        assert len(done.stdout) == 10
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plain", "--prompt", " "], "prompt is empty"),
        (["--plain", "--prompt", "x", "--model", "m"], "--model belongs to --base-url"),
        (["--plain", "--prompt", "x", "--base-url", "ftp://x"], "not the URL"),
        (["--plain", "--prompt", "x", "--gateway", "foo"], "not the address of a gateway: 'foo'"),
        (["--plain", "--prompt", "x", "--gateway", "http://h/v1"], "not the address of a gateway"),
        (["--plain", "--prompt", "x", "--gateway", "ws://h/v1", "--load", "8"], "--load has no effect on the gateway"),
        (["--plain", "--prompt", "x", "--gateway", "ws://h/v1", "--base-url", "http://h"], "--base-url has no effect"),
        (["--plain", "--prompt", "x", "--load", "100000"], "batch must lie between 1 and 65,536"),
        (["--plain", "--prompt", "x", "--base-url", "http://me:secret@x/v1"], "must not hold a password"),
        (["--plain", "--prompt", "x", "--backend", "sim:cs9/kimi-k2.6"], "cs9"),
        (["--plain", "--prompt", "x", "--backend", "recording:nothing.tokcast"], "nothing.tokcast: cannot be read"),
        (["--plain", "--prompt", "x", "--system", "nobody"], "unknown system prompt"),
        (["--plain", "--prompt", "x", "--resume", "nothing"], "unknown conversation"),
        (["--plain", "--prompt", "x", "--resume"], "no saved conversation yet"),
        (["--plain", "--prompt", "x", "--record", "/proc/nothing/x.tokcast"], "/proc/nothing"),
    ],
)
def test_wrong_use_is_one_clear_line_and_code_2(capsys, arguments, words):
    if "--backend" not in arguments:
        arguments = [*arguments, "--backend", "sim:cs3/kimi-k2.6"] if "--base-url" not in arguments else arguments
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert "secret" not in captured.err


def test_no_terminal_is_said_with_what_to_do(capsys, monkeypatch):
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    assert run(["--backend", "sim:cs3/kimi-k2.6"]) == 2
    assert "--plain" in capsys.readouterr().err


def test_a_dumb_terminal_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    with pytest.raises(UsageError, match="dumb"):
        require_terminal()
    monkeypatch.setenv("TERM", "xterm")
    require_terminal()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("TEXTUAL_DRIVER", "web")
    require_terminal()


def test_standard_input_must_be_text_of_a_sane_size():
    done = subprocess.run(
        [sys.executable, "-m", "chatapp", "--plain", "--prompt", "-"],
        input=b"\xff\xfe",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"not UTF-8" in done.stderr


class TestCheckBackend:
    def test_names_that_can_answer_pass(self, tmp_path):
        recording = tmp_path / "run.tokcast"
        recording.write_text('{"format":"tokcast","version":1}\n[0,"q",{"s":"a"}]\n')
        for name in ("sim:cs3/kimi-k2.6", "local", f"recording:{recording}", f"recording:{recording}#a", "ollama"):
            check_backend(name, Settings(), ask_servers=False)

    def test_a_pace_that_nobody_claims_is_refused(self):
        check_backend("sim:cs3/kimi-k2.6", Settings(), ask_servers=False, pace="claimed")
        with pytest.raises(UsageError, match=r"no claim is shipped for Kimi K2\.6 on H100"):
            check_backend("sim:h100x16/kimi-k2.6", Settings(), ask_servers=False, pace="claimed")

    def test_a_missing_key_and_an_unknown_name_are_refused(self):
        with pytest.raises(MissingKeyError, match="CEREBRAS_API_KEY"):
            check_backend("cerebras/gpt-oss-120b", Settings(), ask_servers=False)
        with pytest.raises(UnknownNameError, match="cerebras"):
            check_backend("cerebra", Settings(), ask_servers=False)
        with pytest.raises(UnknownNameError):
            check_backend("cerebra/gpt", Settings(), ask_servers=False)


def test_the_default_is_configured_else_local_else_a_simulation(monkeypatch):
    assert default_backend(Settings(backend="groq/x")) == "groq/x"
    monkeypatch.setattr("chatapp.backends.local.why_not", lambda: "missing")
    monkeypatch.setenv("CEREBRAS_API_KEY", "csk-0123456789abcdef0123")
    assert default_backend(Settings()) == NEUTRAL_DEFAULT
    monkeypatch.setattr("chatapp.backends.local.why_not", lambda: "")
    assert default_backend(Settings()) == "local"


def test_system_prompts_are_files(tmp_path):
    folder = tmp_path / "config" / "prompts" / "systems"
    folder.mkdir(parents=True)
    (folder / "mine.md").write_text(" Be kind.\n")
    assert read_system("mine") == "Be kind."
    assert read_system("") == ""


def test_a_system_prompt_is_sent_without_its_front_matter():
    assert read_system("teacher").startswith("You teach one curious adult.")
