"""The real chat in a terminal of its own, driven by keys: what it measured is read back from its recording."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

from chatapp.recording.answers import RecordedAnswer, load_answers
from chatapp.recording.reader import Recording
from chatapp.stream.answer import Answer

ROWS, COLUMNS = 40, 120
START_S = 30.0
SETTLE_S = 2.0
PAUSE_S = 0.5
AGAIN_S = 5.0
ANSWER_S = 60.0


def ask_on_screen(base_url: str, model: str, prompts: int, *, trusted: Path | None = None) -> list[Answer]:
    """Open the chat against a server, ask so many prompts one after the other, and return the answers it recorded.

    Args:
        base_url: of the server.
        model: its name there.
        prompts: how many.
        trusted: certificate of an authority to trust.
    """
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "run.tokcast"
        env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        env |= {f"CHATAPP_{kind}_DIR": f"{folder}/{kind}" for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
        if trusted is not None:
            env["SSL_CERT_FILE"] = str(trusted)
        command = [sys.executable, "-m", "chatapp", "chat", "--base-url", base_url, "--model", model]
        command += ["--record", str(record), "--no-save"]
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)
        terminal = _Terminal(master)
        try:
            terminal.wait_until_painted()
            for number in range(prompts):
                os.write(master, b"go on\r")
                _wait_for_answer(record, number + 1, again=lambda: os.write(master, b"\r"))
                time.sleep(PAUSE_S)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(master)
        return [_replayed(answer) for answer in _answers(record)]


class _Terminal:
    """Takes everything that is painted."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._painted = 0
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                self._painted += len(data)
        except OSError:
            return

    def wait_until_painted(self) -> None:
        """Return some time after a whole screen has been painted: then it takes keys. A cursor blinks for ever."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._painted < ROWS * COLUMNS // 2:
            time.sleep(0.1)
        time.sleep(SETTLE_S)


def _wait_for_answer(record: Path, count: int, *, again: Callable[[], object]) -> None:
    """Return when so many answers are complete; press Enter again where a key came while the screen was busy.

    The recording is read only when it has ceased to grow: reading it takes a core that what is measured needs.
    """
    begin = pressed = time.monotonic()
    size = -1
    while time.monotonic() < begin + ANSWER_S:
        time.sleep(0.2)
        before, size = size, record.stat().st_size if record.exists() else 0
        if size != before:
            continue
        answers = _answers(record) if size else []
        if sum(answer.complete for answer in answers) >= count:
            return
        if len(answers) < count and time.monotonic() - pressed > AGAIN_S:
            again()
            pressed = time.monotonic()
    raise TimeoutError(f"answer {count} did not come within {ANSWER_S:g} s")


def _answers(record: Path) -> list[RecordedAnswer]:
    with Recording.open(record) as recording:
        return load_answers(recording)


def _replayed(recorded: RecordedAnswer) -> Answer:
    answer = Answer(recorded.info)
    for event in recorded.events:
        answer.feed(event)
    return answer
