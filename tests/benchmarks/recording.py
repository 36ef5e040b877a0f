"""What recording costs, and how fast a recording of a million chunks opens and seeks.

    python -m tests.benchmarks.recording [--chunks N] [--json FILE]

Goals: at most 2 us a chunk; a million events open in less than 1 s, and a jump anywhere in them takes less than 100 ms.
A plain `os.write` of a line stands beside the recorder, as the least that a line can cost. All costs are CPU time, so
that what else runs on the machine does not count. The sync that a recorder starts each second, in a thread, is not in
these rows and has one of its own. Prints {"schema", "environment", "rows"}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from chatapp.bench.report import environment
from chatapp.recording.answers import load_answers
from chatapp.recording.player import Player
from chatapp.recording.reader import Recording
from chatapp.recording.sink import PlainSink, open_sink
from chatapp.recording.writer import Recorder
from chatapp.redaction import Redactor
from chatapp.stream.events import Arrival, Delta, Finished, Message, Request, Sent
from chatapp.stream.statistics import median

SCHEMA = "chatapp.recording-benchmark/1"
WORDS = (
    " the",
    " model",
    " reads",
    " every",
    " weight",
    " once",
    " for",
    " each",
    " token",
    ",",
    " so",
    " it",
    " waits",
)
PER_ANSWER = 1_000
ROUNDS = 5


def main() -> None:
    """Run all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=1_000_000, help="size of the long recording")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the result goes; - is stdout")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [*write_rows(Path(folder)), *read_rows(Path(folder), options.chunks)]
    text = json.dumps({"schema": SCHEMA, "environment": environment(), "rows": rows}, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def write_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the cost of a chunk, each beside a bare write in the same round: other work slows both alike."""
    keyed = Redactor()
    keyed.add("KEY", "canary-0123456789abcdef")
    kinds = {
        "plain": ("a.tokcast", Redactor(), 1, 5_000),
        "plain, 20 ms apart (50 tok/s)": ("e.tokcast", Redactor(), 1, 20_000_000),
        "plain, 5 joined in a delta (1,000 tok/s and more)": ("d.tokcast", Redactor(), 5, 5_000),
        "plain, an API key known": ("b.tokcast", keyed, 1, 5_000),
        "plain, an API key known, 20 ms apart": ("f.tokcast", keyed, 1, 20_000_000),
        "gzip": ("c.tokcast.gz", Redactor(), 1, 5_000),
    }
    rows: list[dict[str, Any]] = []
    for what, (name, redactor, joined, gap_ns) in kinds.items():
        pairs = []
        for number in range(ROUNDS):
            bare = bare_write_us(folder / "bare", 50_000)
            path = folder / f"{number}-{name}"
            pairs.append((recorder_us(path, redactor, 50_000, joined=joined, gap_ns=gap_ns), bare))
            size = path.stat().st_size
            path.unlink()
        costs, bares = zip(*pairs, strict=True)
        rows.append(
            {
                "what": f"record a chunk, {what}",
                "us": round(median(costs), 3),
                "best_us": round(min(costs), 3),
                "bare_write_us": round(median(bares), 3),
                "ratio": round(median([cost / bare for cost, bare in pairs]), 2),
                "bytes_per_chunk": round(size / 50_000, 1),
                "goal_us": 2.0,
            }
        )
    syncs = sync_us(folder / "synced.tokcast", 50)
    rows.append({"what": "one sync, at most each second", "us": round(median(syncs), 1)})
    return rows


def sync_us(path: Path, syncs: int) -> list[float]:
    """Return the CPU time of syncs, their thread included, each after some lines."""
    sink = open_sink(path)
    sink.sync()  # makes the thread
    costs = []
    for _ in range(syncs):
        for _line in range(50):
            sink.write(b'[0.020113,"t",{"s":"chat","i":12345,"x":" token","n":1}]\n')
        time.sleep(0.05)
        begun = time.process_time()
        sink.sync()
        time.sleep(0.05)
        costs.append((time.process_time() - begun) * 1e6)
    sink.close()
    return costs


def bare_write_us(path: Path, chunks: int) -> float:
    """Return the cost of one append of a line of the usual length."""
    line = b'[0.020113,"t",{"s":"chat","i":12345,"x":" token","n":1}]\n'
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    begun = time.process_time()
    for _ in range(chunks):
        os.write(fd, line)
    took = time.process_time() - begun
    os.close(fd)
    path.unlink()
    return took / chunks * 1e6


class Unsynced(PlainSink):
    """A file that is never synced, so that seconds of a stream can be written in milliseconds."""

    def sync(self) -> None:
        """Do nothing."""


def recorder_us(path: Path, redactor: Redactor, chunks: int, *, joined: int = 1, gap_ns: int = 5_000) -> float:
    """Return the cost of one recorded chunk."""
    start_ns = time.monotonic_ns()
    deltas = []
    for first in range(0, chunks, joined):
        texts = [WORDS[i % len(WORDS)] for i in range(first, first + joined)]
        at = [start_ns + i * gap_ns + i % 997 for i in range(first, first + joined)]
        arrivals = tuple(Arrival(ns, len(text), 1) for ns, text in zip(at, texts, strict=True)) if joined > 1 else ()
        deltas.append(Delta("".join(texts), at[-1], tokens=joined, arrivals=arrivals))
    sink = open_sink(path)
    if type(sink) is PlainSink:
        sink.__class__ = Unsynced
    with Recorder(sink, redactor=redactor) as recorder:
        record = recorder.record
        begun = time.process_time()
        for delta in deltas:
            record("chat", delta)
        return (time.process_time() - begun) / chunks * 1e6


def read_rows(folder: Path, chunks: int) -> list[dict[str, Any]]:
    """Return how long opening, loading and seeking take."""
    path = folder / "long.tokcast"
    write_long(path, chunks)
    begun = time.process_time()
    recording = Recording.open(path)
    opened = time.process_time() - begun
    rows: list[dict[str, Any]] = [
        {
            "what": f"open {recording.events:,} events",
            "s": round(opened, 3),
            "goal_s": 1.0,
            "bytes": path.stat().st_size,
        }
    ]
    with recording:
        seeks = asyncio.run(seek_ms(recording))
        rows.append(
            {
                "what": "jump both ways",
                "median_ms": round(median(seeks), 1),
                "max_ms": round(max(seeks), 1),
                "goal_ms": 100,
            }
        )
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append({"what": "memory of it all", "peak_mib": round(memory)})
        begun = time.process_time()
        answers = load_answers(recording)
        rows.append({"what": f"load all {len(answers):,} answers", "s": round(time.process_time() - begun, 3)})
    return rows


def write_long(path: Path, chunks: int) -> None:
    """Write a recording of many answers, 1 ms between two chunks."""
    start_ns = time.monotonic_ns()
    with Recorder.open(path, redactor=Redactor()) as recorder:
        for number in range(chunks // PER_ANSWER):
            base = start_ns + number * PER_ANSWER * 1_000_000
            recorder.begin("chat", Request((Message("user", f"question {number}"),)))
            recorder.record("chat", Sent(base))
            for i in range(PER_ANSWER - 3):
                recorder.record("chat", Delta(WORDS[i % len(WORDS)], base + i * 1_000_000, tokens=1))
            recorder.record("chat", Finished(base + PER_ANSWER * 1_000_000))


async def seek_ms(recording: Recording) -> list[float]:
    """Return how long jumps take, from the key to everything that has to be shown."""
    player = Player(recording)
    player.pause()
    batches = player.play()
    times = []
    for share in (0.9, 0.1, 0.5, 0.99, 0.01, 0.7, 0.3, 1.0, 0.0):
        begun = time.process_time()
        player.seek(round(recording.duration_ns * share))
        await anext(batches)
        times.append((time.process_time() - begun) * 1e3)
    await batches.aclose()
    return times


if __name__ == "__main__":
    main()
