"""How exactly a recording is replayed: each chunk's delivery against its recorded moment, and the drift at the end.

    python -m tests.benchmarks.replay [--seconds S | --minutes M] [--json FILE]

Goals at speed 1: p99 of the error at most 4 ms, drift at most 2 ms in an hour. Drift is how much later the last tenth
of the chunks came than the first tenth, median against median, so that one late wake-up does not count as drift. In the
same run stand the least error that this machine allows (asyncio's own timers set for the same moments, at once), and a
chain of relative sleeps. `--minutes` plays a sparse recording, ten chunks a second: an hour of it costs next to no CPU.
Prints {"schema", "environment", "rows"}.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
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
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=30.0, help="length, 4 to 35 ms between chunks")
    length.add_argument("--minutes", type=float, help="length, 40 to 160 ms between chunks")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the result goes; - is stdout")
    options = parser.parse_args()
    if options.minutes is None:
        gaps = random_gaps(options.seconds, 4, 35)
    else:
        gaps = random_gaps(options.minutes * 60, 40, 160)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tokcast"
        write(path, gaps)
        rows = asyncio.run(run(path, gaps))
    text = json.dumps({"schema": SCHEMA, "environment": environment(), "rows": rows}, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def random_gaps(seconds: float, shortest_ms: float, longest_ms: float) -> list[int]:
    """Return intervals in nanoseconds, the same at every call, until they fill the time."""
    source = random.Random(7)
    gaps: list[int] = []
    left_ns = seconds * 1e9
    while left_ns > 0:
        gaps.append(round(source.uniform(shortest_ms, longest_ms) * NS_PER_MS))
        left_ns -= gaps[-1]
    return gaps


def write(path: Path, gaps: list[int]) -> None:
    """Write a recording with these gaps."""
    at_ns = time.monotonic_ns()
    with Recorder.open(path, redactor=Redactor()) as recorder:
        for gap in gaps:
            at_ns += gap
            recorder.record("chat", Delta("word ", at_ns))


async def run(path: Path, gaps: list[int]) -> list[dict[str, Any]]:
    """Play it, with the floor and a chain of relative sleeps beside it."""
    (played, positions), floor, slept = await asyncio.gather(play(path), sleep_until_each(gaps), sleep_chain(gaps))
    return [
        row("replay, absolute deadlines", [a - b for a, b in zip(played, positions, strict=True)], gaps),
        row("floor: asyncio timers, set in advance", floor, gaps),
        row("relative sleeps", slept, gaps),
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


async def sleep_until_each(gaps: list[int]) -> list[int]:
    """Return the errors of the event loop's own timers for the same moments."""
    loop = asyncio.get_running_loop()
    start_ns, start_s = time.monotonic_ns(), loop.time()
    errors: list[int] = []
    finished = asyncio.Event()
    offsets = list(itertools.accumulate(gaps))

    def wake() -> None:
        errors.append(time.monotonic_ns() - start_ns - offsets[len(errors)])
        if len(errors) == len(gaps):
            finished.set()

    for offset in offsets:
        loop.call_at(start_s + offset / 1e9, wake)
    await finished.wait()
    return errors


async def sleep_chain(gaps: list[int]) -> list[int]:
    """Return the errors of sleeping for each gap after the other."""
    start_ns = time.monotonic_ns()
    errors, due_ns = [], 0
    for gap in gaps:
        due_ns += gap
        await asyncio.sleep(gap / 1e9)
        errors.append(time.monotonic_ns() - start_ns - due_ns)
    return errors


def row(what: str, errors_ns: list[int], gaps: list[int]) -> dict[str, Any]:
    """Return the figures of one way."""
    errors = [abs(error) / NS_PER_MS for error in errors_ns]
    tenth = max(1, len(errors) // 10)
    drift_ms = (median(errors_ns[-tenth:]) - median(errors_ns[:tenth])) / NS_PER_MS
    length_s = sum(gaps) / 1e9
    return {
        "what": what,
        "chunks": len(errors),
        "error_p50_ms": round(median(errors), 3),
        "error_p99_ms": round(percentile(errors, 99), 3),
        "error_max_ms": round(max(errors), 3),
        "last_error_ms": round(errors_ns[-1] / NS_PER_MS, 3),
        "drift_ms": round(drift_ms, 3),
        "length_s": round(length_s, 1),
        "goal_p99_ms": 4.0,
        "goal_drift_ms": round(2.0 * max(1.0, length_s / 3600), 3),
    }


if __name__ == "__main__":
    main()
