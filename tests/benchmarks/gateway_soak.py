"""Many streams for many minutes with faults at random, and what is left behind.

    python -m tests.benchmarks.gateway_soak [--minutes M] [--streams N] [--seed S] [--json FILE]

Keeps N streams of 20 tok/s open, each on a connection of its own. Every second one in fifty of them is reset, closed,
stalled (it stops reading until it is dropped), cancelled, fed nonsense, or fed a broken frame; what has ended is opened
again. Prints {"schema", "environment", "rows", "growth"}: memory, descriptors and tasks of the server with all streams
running after two minutes and at the end, and with none before and after. What stalled clients are owed comes and goes
by some MB, so the memory of running streams is the median of the minute before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import struct
import sys
import time
from array import array
from collections import Counter, deque
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from chatapp.bench.report import environment
from chatapp.gateway.child import run
from tests.benchmarks.gateway import RATE, Server, serving
from tests.benchmarks.gateway_load import Sink, create, masked

FAULTS = ("reset", "close", "stall", "cancel", "nonsense", "broken frame")


class Soak:
    """The load: so many streams, opened again as they end."""

    def __init__(self, server: Server, streams: int, seed: int) -> None:
        self.server = server
        self.faults: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.tokens = 0
        self.reordered = 0
        self._streams = streams
        self._random = random.Random(seed)
        self._sinks: dict[int, Sink] = {}
        self._stopping = False
        self._memory: deque[float] = deque(maxlen=60)
        self.curve_kib: list[int] = []
        """Resident memory, the median of each minute."""

    async def run(self, minutes: float) -> list[dict[str, Any]]:
        """Soak and return the rows."""
        rows = [await self._row("none, before")]
        keepers = [asyncio.create_task(self._keep(number)) for number in range(self._streams)]
        end = time.monotonic() + minutes * 60
        settled = time.monotonic() + min(120.0, minutes * 20)
        seconds = 0
        while time.monotonic() < end:
            await asyncio.sleep(1)
            self._memory.append(self.server.resident_kib())
            seconds += 1
            if seconds % 60 == 0:
                self.curve_kib.append(round(median(self._memory)))
            for _ in range(max(1, self._streams // 50)):
                self._harm()
            if settled and time.monotonic() > settled:
                settled = 0
                rows.append(await self._row("all, settled"))
        rows.append(await self._row("all, at the end"))
        self._stopping = True
        for sink in list(self._sinks.values()):
            sink.transport.abort()
        await asyncio.gather(*keepers)
        self._memory.clear()
        await asyncio.sleep(15)  # those that were stalled are dropped meanwhile
        rows.append(await self._row("none, after"))
        return rows

    async def _keep(self, number: int) -> None:
        loop, port = asyncio.get_running_loop(), self.server.port
        await asyncio.sleep(self._random.random() * 5)
        while not self._stopping:
            request = create(f"paced:{RATE}", self._random.randint(20, 400), prompt=str(self._random.random()))
            late: array[float] = array("d")
            try:
                _transport, sink = await loop.create_connection(partial(Sink, port, request, late), "127.0.0.1", port)
            except OSError:
                self.ended["refused"] += 1
                await asyncio.sleep(1)
                continue
            self._sinks[number] = sink
            await sink.ended
            self.ended["whole" if not sink.transport.is_closing() else "broken off"] += 1
            self.tokens += sink.tokens
            self.reordered += sink.reordered
            sink.transport.abort()
            self._sinks.pop(number, None)

    def _harm(self) -> None:
        if not self._sinks:
            return
        sink = self._random.choice(list(self._sinks.values()))
        fault = self._random.choice(FAULTS)
        self.faults[fault] += 1
        if sink.transport.is_closing():
            return
        if fault == "reset":
            sink.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            sink.transport.abort()
        elif fault == "close":
            sink.transport.write(masked(b"\x03\xe8", 8))
        elif fault == "stall":
            sink.transport.pause_reading()
        elif fault == "cancel":
            sink.transport.write(masked(msgspec.json.encode({"type": "response.cancel"})))
        elif fault == "nonsense":
            sink.transport.write(masked(b"nonsense") * 10)
        else:
            sink.transport.write(b"\xf1\x80")

    async def _row(self, streams: str) -> dict[str, Any]:
        server = self.server
        pid = server.process.pid
        row = {
            "streams": streams,
            "resident_kib": round(median(self._memory or [server.resident_kib()])),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "tasks": int(await asyncio.to_thread(server.count, "tasks")),
            "answers": dict(self.ended),
            "faults": dict(self.faults),
            "tokens": self.tokens,
            "reordered": self.reordered,
        }
        print(json.dumps(row), file=sys.stderr, flush=True)
        return row


def soak(minutes: float, streams: int, *, seed: int = 7, json_file: str = "-") -> None:
    """Soak and print."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    with serving("gateway", "uvloop", "--quiet") as server:
        load = Soak(server, streams, seed)
        rows = run(load.run(minutes))
    report = {
        "schema": "chatapp.gateway-soak/1",
        "environment": environment(),
        "minutes": minutes,
        "rows": rows,
        "memory_kib_by_minute": load.curve_kib,
        "growth": round(rows[-2]["resident_kib"] / rows[1]["resident_kib"] - 1, 4),
    }
    text = json.dumps(report, indent=1)
    if json_file == "-":
        print(text)
    else:
        Path(json_file).write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Read the options and soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", default="-")
    options = parser.parse_args()
    soak(options.minutes, options.streams, seed=options.seed, json_file=options.json)


if __name__ == "__main__":
    main()
