"""Nothing a model or a server says can control the terminal: the raw output of the real program in a real pty.

A hostile chat-completions server answers with every escape of the list: in text, in reasoning, split over deltas, in
error messages, reason phrases and names of models. What the terminal is sent is searched for them, byte by byte.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.chat_server import ChatServer, Reply, answer, refusal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")

MARK = "QWNED"
"""Stands in each attack: whatever control character comes right before it is the attack's, not the app's own."""
ATTACKS = {
    "clipboard": f"\x1b]52;c;{MARK}\x1b\\",
    "clipboard ended by BEL": f"\x1b]52;c;{MARK}\x07",
    "hyperlink": f"\x1b]8;;http://{MARK}.example\x1b\\text\x1b]8;;\x1b\\",
    "title": f"\x1b]0;{MARK}\x07",
    "window title": f"\x1b]2;{MARK}\x1b\\",
    "clear the screen": f"\x1b[2J\x1b[H{MARK}",
    "colour": f"\x1b[31m{MARK}\x1b[0m",
    "device control": f"\x1bP{MARK}\x1b\\",
    "application command": f"\x1b_{MARK}\x1b\\",
    "privacy message": f"\x1b^{MARK}\x1b\\",
    "reset": f"\x1bc{MARK}",
    "C1 CSI": f"\x9b31m{MARK}",
    "C1 OSC": f"\x9d52;c;{MARK}\x9c",
    "C1 DCS": f"\x90{MARK}\x9c",
    "bell": f"\x07{MARK}",
    "backspace": f"honest\x08\x08\x08\x08\x08\x08{MARK}",
    "carriage return": f"honest\r{MARK}",
    "vertical tab, form feed": f"\x0b\x0c{MARK}",
    "shift out": f"\x0e{MARK}\x0f",
    "delete": f"\x7f{MARK}",
    "markup": f"[link=http://{MARK}]x[/link] [@click=app.quit]{MARK}[/] [/] [bold",
    "entity": f"&#27;]0;{MARK}&#7; &#x9b;31m{MARK}",
    "script link": f"[x](javascript:{MARK}) [y](file:///{MARK}) <javascript:{MARK}>",
    "link with an escape": f"[x](http://a.example/\x1b]8;;{MARK})",
    "bidi": f"\u202e{MARK}\u202c \u2066{MARK}\u2069 \u200f{MARK}",
    "zero width": f"\u200b{MARK}\ufeff\u2060",
    "tags": "".join(chr(0xE0000 + ord(c)) for c in MARK),
    "fence": f"\n```\x1b]0;{MARK}\x07\ncode \x1b[2J{MARK}\n```\n",
    "table": f"\n\n| \x1b]0;{MARK}\x07 | b |\n|---|---|\n| \x9b31m{MARK} | \x1b[2J |\n\n",
    "heading": f"\n\n# \x1b]2;{MARK}\x07\n\n",
}
ALL = "\n\n".join(f"{name}: {attack}" for name, attack in ATTACKS.items())
LONE_ESCAPES = ["lone ", "\x1b", f"]0;{MARK}", "\x07 ", "\x1b", "[", f"2J{MARK}", " \x9b", f"31m{MARK} ", "\r", MARK]

FORBIDDEN = {
    "a control character before the mark": re.compile(rb"[\x00-\x09\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]" + MARK.encode()),
    "an escape sequence with the mark": re.compile(rb"\x1b[\]PX^_][^\x07\x1b]{0,40}" + MARK.encode()),
    "a C1 control": re.compile(rb"\xc2[\x80-\x9f]"),
    "a bell": re.compile(rb"\x07"),
    "a hyperlink": re.compile(rb"\x1b\]8;"),
    "a clipboard write": re.compile(rb"\x1b\]52;"),
    "a title": re.compile(rb"\x1b\][012];"),
    "bidi controls": re.compile(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\xe2\x80[\x8e\x8f]|\xd8\x9c"),
    "zero-width characters": re.compile(rb"\xe2\x80\x8b|\xef\xbb\xbf|\xe2\x81\xa0"),
    "tag characters": re.compile(rb"\xf3\xa0[\x80\x81]"),
    "a return before the mark": re.compile(rb"\r" + MARK.encode()),
    "a reset": re.compile(rb"\x1bc"),
    "a coloured mark": re.compile(rb"\x1b\[31m" + MARK.encode()),
    "a clear before the mark": re.compile(rb"\x1b\[2J(?:\x1b\[H)?" + MARK.encode()),
}
OWN = re.compile(rb"\x1b\]22;[a-z-]*\x07")
"""Textual's own use of BEL: it ends the sequence that sets the mouse pointer's shape."""


class Program:
    """chatapp in a pty, all it writes kept."""

    def __init__(self, folder: Path, *arguments: str, size: tuple[int, int] = (120, 50)) -> None:
        self.raw = b""
        self._read_to = 0
        environment = {
            **{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "SSH_TTY")},
            **{f"CHATAPP_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")},
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "OPENAI_API_KEY": "unused",
        }
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        command = [sys.executable, "-m", "chatapp", *arguments]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=folder, start_new_session=True
        )
        os.close(slave)

    def read(self, seconds: float) -> None:
        """Take what comes within some seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                return
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the other end is closed
                return
            self.raw += data
            if not data:
                return

    def wait(self, pattern: str, seconds: float = 40) -> None:
        """Read until the output since the last wait holds a pattern."""
        until = time.monotonic() + seconds
        found = None
        while not (found := re.search(pattern.encode(), self.raw[self._read_to :])):
            assert time.monotonic() < until, f"never seen: {pattern}\n{self.raw[-3000:]!r}"
            self.read(0.1)
        self._read_to += found.end()

    def type(self, text: str) -> None:
        """Type."""
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Wait for its end and return the exit code."""
        until = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.1)
        self.read(0.2)
        return self.process.wait(5)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        os.close(self.master)

    def check(self, *, shown: bool = True) -> None:
        """See that no attack got through, and that they were there at all."""
        raw = OWN.sub(b"", self.raw)
        for name, pattern in FORBIDDEN.items():
            found = pattern.search(raw)
            assert found is None, f"{name}: {raw[max(0, found.start() - 60) : found.end() + 60]!r}"
        if shown:
            assert MARK.encode() in self.raw
            assert "␛".encode() in self.raw


class Hostile:
    """The hostile server, in a thread of its own."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [answer(ALL.split(" "))]
        self.asked = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = ChatServer(self._reply, models=[f"model\x1b]0;{MARK}\x07", "plain"])
        async with server:
            self.base_url = server.base_url
            self._ready.set()
            await self._stop.wait()

    def _reply(self, _request: object) -> Reply:
        self.asked += 1
        return self.replies[0]

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    server = Hostile()
    yield server
    server.close()


@pytest.fixture
def start(tmp_path) -> Iterator:
    programs: list[Program] = []

    def start(*arguments: str) -> Program:
        program = Program(tmp_path, *arguments)
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.close()


def chat(start, hostile, *arguments: str) -> Program:
    return start("--base-url", hostile.base_url, "--model", "plain", *arguments)


def ask(program: Program, hostile: Hostile) -> None:
    """Type a prompt, and Enter until it has been sent: the first may come while the gateway still starts."""
    program.wait("sk something")
    program.type("hello")
    program.read(0.3)
    until = time.monotonic() + 30
    while not hostile.asked:
        assert time.monotonic() < until, "the prompt was never sent"
        program.type("\r")
        for _ in range(20):
            program.read(0.05)
            if hostile.asked:
                break


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("markup", "entity", "script link")])
def test_each_attack_would_be_found(name):
    assert any(pattern.search(ATTACKS[name].encode()) for pattern in FORBIDDEN.values())


@pytest.mark.parametrize("pieces", ["words", "characters", "lone"])
def test_an_answer_on_the_screen(start, hostile, pieces):
    text = {"words": re.split(r"(?<= )", ALL), "characters": list(ALL), "lone": LONE_ESCAPES}[pieces]
    hostile.replies = [answer([*text, "\n\nTHE-END"])]
    program = chat(start, hostile)
    ask(program, hostile)
    program.wait("THE-END")
    for key in ("\x1b[5~", "\x1b[5~", "\x1b[5~", "\x1b[6~"):  # all of it comes on the screen once
        program.type(key)
        program.read(0.3)
    program.check()


def test_reasoning_folded_and_open(start, hostile):
    hostile.replies = [answer("THE-END", reasoning=[*re.split(r"(?<= )", ALL)])]
    program = chat(start, hostile)
    ask(program, hostile)
    program.wait("THE-END")
    program.type("\t")
    program.read(0.2)
    program.type("r")
    program.read(0.8)
    program.type("\x1b[5~")
    program.read(0.5)
    program.check(shown=False)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_error_messages(start, hostile, status):
    hostile.replies = [refusal(status, ALL)]
    program = chat(start, hostile)
    ask(program, hostile)
    program.wait(MARK)
    program.read(1)
    program.check()


def test_an_error_page(start, hostile):
    hostile.replies = [Reply([f"<html>{ALL}</html>".encode()], 200, {}, "text/html", "length")]
    program = chat(start, hostile)
    ask(program, hostile)
    program.read(4)
    program.check(shown=False)


def test_a_model_with_a_hostile_name(start, hostile):
    program = start("--base-url", hostile.base_url, "--model", f"m\x1b]0;{MARK}\x07\u202ex")
    ask(program, hostile)
    program.read(4)
    program.check(shown=False)


def test_plain_mode(start, hostile):
    hostile.replies = [answer([*LONE_ESCAPES, *re.split(r"(?<= )", ALL), "\n\nTHE-END"])]
    program = chat(start, hostile, "--plain", "--prompt", "hello")
    program.wait("THE-END")
    assert program.end() == 0
    program.check()


def test_plain_mode_with_an_error(start, hostile):
    hostile.replies = [refusal(500, ALL)]
    program = chat(start, hostile, "--plain", "--prompt", "hello")
    assert program.end() == 1
    program.check(shown=False)


def test_a_list_of_models_with_hostile_names(start, hostile):
    program = start("backends", "check", "--base-url", hostile.base_url)
    program.end()
    program.check(shown=False)


def test_a_recording_of_a_hostile_answer(start, hostile, tmp_path):
    hostile.replies = [answer([*re.split(r"(?<= )", ALL), "\n\nTHE-END"])]
    file = tmp_path / f"run-{MARK}.tokcast"
    assert chat(start, hostile, "--plain", "--prompt", f"a\x1b]0;{MARK}\x07", "--record", str(file)).end() == 0
    assert file.exists()
    shown = start("replay", str(file), "--speed", "max")
    shown.wait("THE-END")
    shown.read(0.5)
    shown.check()
    for arguments in (("recording", "info"), ("replay", "--headless", "--speed", "max")):
        printed = start(*arguments, str(file))
        assert printed.end() == 0
        printed.check(shown=False)
