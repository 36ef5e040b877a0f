"""How exactly a recording is replayed: each chunk's delivery against its recorded moment, and the drift at the end.

    python -m tests.benchmarks.replay [--seconds S] [--json FILE]

Goals at speed 1: p99 of the error at most 4 ms, drift at most 2 ms in an hour. Deadlines are absolute, so the drift is
the error of the last chunk, whatever the length. A chain of relative sleeps stands beside it in the same run. Prints
{"schema", "environment", "rows"}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from chatapp.bench.report import environment
from chatapp.clock import MonotonicClock
from chatapp.recording.player import Player
from chatapp.recording.reader import Recording
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import Delta
from chatapp.stream.statistics import median, percentile

SCHEMA = "chatapp.replay-benchmark/1"
NS_PER_MS = 1_000_000


def main() -> None:
    """Run all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the recording")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the result goes; - is stdout")
    options = parser.parse_args()
    source = random.Random(7)
    offsets: list[int] = []
    while sum(offsets) < options.seconds * 1e9:
        offsets.append(round(source.uniform(4, 35) * NS_PER_MS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tokcast"
        write(path, offsets)
        rows = asyncio.run(run(path, offsets))
    text = json.dumps({"schema": SCHEMA, "environment": environment(), "rows": rows}, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def write(path: Path, gaps: list[int]) -> None:
    """Write a recording with these gaps."""
    at_ns = time.monotonic_ns()
    with Recorder.open(path, redactor=Redactor()) as recorder:
        for gap in gaps:
            at_ns += gap
            recorder.record("chat", Delta("word ", at_ns))


async def run(path: Path, gaps: list[int]) -> list[dict[str, Any]]:
    """Play it, with a chain of relative sleeps beside it."""
    (played, positions), slept = await asyncio.gather(play(path), sleep_chain(gaps))
    return [
        row("replay, absolute deadlines", [a - b for a, b in zip(played, positions, strict=True)]),
        row("relative sleeps", slept),
    ]


async def play(path: Path) -> tuple[list[int], list[int]]:
    """Return when each chunk came, and when it should have, both from the start of playing."""
    with Recording.open(path) as recording:
        player = Player(recording, clock=MonotonicClock())
        start_ns = time.monotonic_ns()
        came: list[int] = []
        due: list[int] = []
        async for batch in player.play():
            now_ns = time.monotonic_ns()
            came += [now_ns - start_ns] * len(batch.entries)
            due += [entry.at_ns for entry in batch.entries]
            if player.state == "ended":
                break
        return came, due


async def sleep_chain(gaps: list[int]) -> list[int]:
    """Return the errors of sleeping for each gap after the other."""
    start_ns = time.monotonic_ns()
    errors, due_ns = [], 0
    for gap in gaps:
        due_ns += gap
        await asyncio.sleep(gap / 1e9)
        errors.append(time.monotonic_ns() - start_ns - due_ns)
    return errors


def row(what: str, errors_ns: list[int]) -> dict[str, Any]:
    """Return the figures of one way."""
    errors = [abs(error) / NS_PER_MS for error in errors_ns]
    return {
        "what": what,
        "chunks": len(errors),
        "error_p50_ms": round(median(errors), 3),
        "error_p99_ms": round(percentile(errors, 99), 3),
        "end_drift_ms": round(errors_ns[-1] / NS_PER_MS, 3),
        "goal_p99_ms": 4.0,
    }


if __name__ == "__main__":
    main()
