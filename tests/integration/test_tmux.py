"""The real thing in a real terminal: chatapp in tmux, with its own gateway and simulated backends.

What is checked is what a person would see: the text of the screen. After each run no process may be left.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

CS3 = "sim:cs3/kimi-k2.6"
H100 = "sim:h100x16/kimi-k2.6"


class Terminal:
    """One tmux server with one window."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tmux")
        self.folder = folder
        self.marker = f"chatapp-test-{os.getpid()}-{folder.name}"
        self._environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "CHATAPP_TEST_MARKER": self.marker,
            **{f"CHATAPP_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")},
        }
        # Pictures taken in the same process leave COLUMNS and LINES behind, which hide the terminal's real size.
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            self._environment.pop(name, None)

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=20)
        return done.stdout

    def start(self, *arguments: str, width: int = 80, height: int = 24) -> None:
        command = " ".join([sys.executable, "-m", "chatapp", *arguments])
        script = f"{command}; echo EXIT=$?; sleep 60"
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), script)

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def wait(self, condition: str | Callable[[str], object], seconds: float = 20) -> str:
        """Return the screen once it shows a pattern."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            found = re.search(condition, screen) if isinstance(condition, str) else condition(screen)
            if found:
                return screen
            assert time.monotonic() < deadline, f"never seen: {condition}\n{screen}"
            time.sleep(0.05)

    def ask(self, prompt: str, seconds: float = 30) -> str:
        """Ask, and wait for the answer's line of figures."""
        before = self.screen().count("tok/s ·")
        self.type(prompt)
        self.keys("Enter")
        self.wait(r"Esc cancel")
        return self.wait(lambda screen: "F5 retry" in screen and screen.count("tok/s ·") >= min(before, 1), seconds)

    def processes(self) -> dict[int, str]:
        """Return chatapp's processes in this terminal, by their environment: names may be anything."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            ours = f"CHATAPP_TEST_MARKER={self.marker}".encode() in environment
            if ours and "-m chatapp" in command and command.startswith(sys.executable):
                found[int(folder.name)] = command
        return found

    def gateway(self) -> int:
        return next(pid for pid, command in self.processes().items() if "chatapp.gateway.child" in command)

    def leave(self) -> None:
        """Leave the app, and see that nothing stays behind."""
        self.keys("C-q")
        self.wait(r"EXIT=0")
        self.nothing_left()

    def nothing_left(self, seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < deadline, f"still running: {self.processes()}"
            time.sleep(0.05)

    def close(self) -> None:
        self.tmux("kill-server")


@pytest.fixture
def terminal(tmp_path) -> Iterator[Terminal]:
    # A socket's path may have 107 characters at most, and pytest's folders are deep.
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


def test_three_prompts_a_switch_in_mid_conversation_a_cancel_and_a_resize(terminal):
    terminal.start("--backend", CS3)
    terminal.wait(r"Press 1 to 4")
    terminal.wait(r"CS-3 · Kimi K2\.6")
    screen = terminal.ask("Why is the sky blue?")
    assert "simulated" in screen
    assert re.search(r"TTFT .*\d ms", screen)
    terminal.ask("Write a JSON parser in Python")

    terminal.keys("F2")
    terminal.wait(r"What should answer\?")
    terminal.type("h100x16/kimi")
    terminal.keys("Enter")
    terminal.wait(lambda screen: "What should answer" not in screen and "H100" in screen)
    terminal.type("Why is the sky blue?")
    terminal.keys("Enter")
    terminal.wait(r"Esc cancel")
    terminal.wait(r"tok/s now")
    terminal.keys("Escape")
    screen = terminal.wait(r"cancelled")
    assert "partial answer" in screen

    terminal.resize(120, 40)
    terminal.wait(lambda text: max(map(len, text.split("\n"))) > 100)
    terminal.resize(60, 20)
    terminal.wait(lambda text: "▌chatapp" in text and not re.search(r"TTFT {3,}", text))
    terminal.leave()


def test_a_killed_gateway_is_said_the_text_stays_and_the_next_prompt_starts_another(terminal):
    terminal.start("--backend", H100, width=100, height=30)
    terminal.wait(r"Press 1 to 4")
    terminal.type("1")
    terminal.wait(r"tok/s now")
    first = terminal.gateway()
    os.kill(first, signal.SIGKILL)
    screen = terminal.wait(r"next prompt starts the gateway\s+again")
    assert "partial answer" in screen
    terminal.type("Why is the sky blue?")
    terminal.keys("Enter")
    terminal.wait(r"tok/s now")
    assert terminal.gateway() != first
    terminal.keys("Escape")
    terminal.leave()


def test_a_killed_screen_takes_its_gateway_along_and_the_conversation_is_resumed(terminal):
    terminal.start("--backend", H100)
    terminal.wait(r"Press 1 to 4")
    terminal.type("2")
    terminal.wait(r"tok/s now")
    time.sleep(0.5)
    app = next(pid for pid, command in terminal.processes().items() if "gateway.child" not in command)
    os.kill(app, signal.SIGKILL)
    terminal.nothing_left()
    terminal.close()
    terminal.start("--resume")
    screen = terminal.wait(r"partial answer")
    assert "chatapp ended before" in screen
    terminal.leave()


def test_a_hangup_of_the_terminal_leaves_nothing(terminal):
    terminal.start("--backend", CS3)
    terminal.wait(r"Press 1 to 4")
    assert len(terminal.processes()) == 2
    terminal.close()
    terminal.nothing_left()


def test_nothing_a_terminal_cannot_bear_is_sent(terminal, tmp_path):
    """Foreign text with escapes, by a file that is taken in: the raw output of the pane has none of them."""
    raw = tmp_path / "raw"
    terminal.start("--backend", CS3, "--no-save")
    terminal.tmux("pipe-pane", f"cat > {raw}")
    terminal.wait(r"Press 1 to 4")
    (tmp_path / "evil.txt").write_text("a \x1b]0;OWNED\x07 b \x9b5n \u202e c")
    terminal.type(f"/title \u202e x @{tmp_path}/evil.txt")
    terminal.keys("Enter")
    terminal.type(f"hello @{tmp_path}/evil.txt")
    terminal.keys("Enter")
    terminal.wait(r"tokens   Enter sends")
    terminal.keys("Enter")
    terminal.wait(r"F5 retry")
    terminal.leave()
    output = raw.read_bytes()
    assert b"OWNED" in output, "the text itself was shown"
    for forbidden in ("\x1b]0;OWNED", "\x9b", "\u202e"):
        assert forbidden.encode() not in output


@pytest.mark.local_model
def test_the_embedded_model_answers_for_real(terminal):
    terminal.start("--backend", "local")
    terminal.wait(r"on this machine")
    screen = terminal.ask("What is the capital of France?", seconds=90)
    assert "simulated" not in screen
    terminal.leave()
