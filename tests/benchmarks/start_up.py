"""How long a person waits: `chatapp --help`, and from the command to the first painted screen, in a pseudo-terminal.

Beside both, in the same run and interleaved, the references: `python -c pass`, `python -c "import textual"`, and the
first paint of the smallest Textual app there can be.
Run by hand: `python tests/benchmarks/start_up.py --runs 11 --json -`.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

PAINTED = b"Feel how fast"
WHOLE = b"Enter sends"
"""Words that only the whole chat screen has; the first paint has the headline alone."""
DEADLINE_S = 30.0
CHAT = ("-m", "chatapp", "--backend", "sim:cs3/kimi-k2.6")


def run_to_end(*arguments: str) -> float:
    """Return the seconds that a command takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


SMALLEST = """
from textual.app import App
from textual.widgets import Static
class Smallest(App):
    def compose(self):
        yield Static("Feel how fast")
Smallest().run()
"""
"""A Textual app that shows one line: what no app of this framework can be faster than."""


def first_paint(folder: str, *arguments: str, words: bytes = PAINTED) -> float:
    """Return the seconds from a command to the first screen that shows the known words."""
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment |= {f"CHATAPP_{name}_DIR": f"{folder}/{name}" for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    begun = time.perf_counter()
    pid, descriptor = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execve(sys.executable, [sys.executable, *arguments], environment)
    seen = b""
    try:
        while words not in seen:
            ready, _, _ = select.select([descriptor], [], [], DEADLINE_S)
            if not ready:
                raise TimeoutError("nothing was painted")
            seen = seen[-1000:] + os.read(descriptor, 65536)
        return time.perf_counter() - begun
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(descriptor)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", default="-", metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measures = {
            "python -c pass": lambda: run_to_end("-c", "pass"),
            "chatapp --help": lambda: run_to_end("-m", "chatapp", "--help"),
            "import textual": lambda: run_to_end("-c", "import textual"),
            "first paint of the smallest Textual app": lambda: first_paint(folder, "-c", SMALLEST),
            "first paint": lambda: first_paint(folder, *CHAT),
            "whole chat screen": lambda: first_paint(folder, *CHAT, words=WHOLE),
        }
        seconds: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(options.runs + 1):
            for name, measure in measures.items():
                seconds[name].append(measure())
    middle = {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first run fills the caches
    rows = [
        {
            "what": name,
            "median_ms": round(middle[name] * 1e3, 1),
            "min_ms": round(min(values[1:]) * 1e3, 1),
            "max_ms": round(max(values[1:]) * 1e3, 1),
            "n": options.runs,
        }
        for name, values in seconds.items()
    ]
    goals = {
        "help_over_pass_ms": round((middle["chatapp --help"] - middle["python -c pass"]) * 1e3, 1),
        "help_over_pass": round(middle["chatapp --help"] / middle["python -c pass"], 2),
        "first_paint_over_smallest_app": round(
            middle["first paint"] / middle["first paint of the smallest Textual app"], 2
        ),
        "first_paint_over_import_textual": round(middle["first paint"] / middle["import textual"], 2),
        "whole_screen_over_import_textual": round(middle["whole chat screen"] / middle["import textual"], 2),
    }
    environment = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
    text = json.dumps(
        {"schema": "chatapp.benchmark.start_up/1", "environment": environment, "rows": rows, "ratios": goals}, indent=1
    )
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
