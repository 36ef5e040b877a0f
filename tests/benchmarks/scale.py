"""What more processes bring: a gateway of N workers, a load generator of N workers, and the merge of what they saw.

    python -m tests.benchmarks.scale [--only NAME] [--workers 1,2] [--streams N] [--connections N] [--seconds S]
                                     [--arrivals N] [--json FILE]

* gateway: `chatapp gateway --workers N` with simulated streams behind it: memory of an idle connection, processor time
  of a token over all workers, added latency, how evenly the kernel deals connections out
* load: `chatapp bench --cluster local:N` against a simulated backend: tokens a second at one concurrency a worker, and
  what the workers' own lag allows to be said
* merge: N recordings made one, read and written block by block in a process of its own: seconds and peak memory

Servers, load and everything else share this machine's cores: with two of them the slope from 1 to 2 workers shows that
work divides, not how fast a machine with more cores would be. Prints {"schema", "environment", "rows"}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from chatapp.backends.registry import resolve
from chatapp.bench.cluster import Target, carry_out_together
from chatapp.bench.cost import FREE, Budget
from chatapp.bench.plan import Plan
from chatapp.bench.report import assess, environment
from chatapp.bench.schedule import Load
from chatapp.bench.workloads import load_workload
from chatapp.clock import VirtualClock
from chatapp.config import Settings
from chatapp.recording.combining import Source, combine
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Finished, Message, Request, Sent
from chatapp.stream.metrics import Goodput
from tests.benchmarks.gateway import quantiles
from tests.benchmarks.gateway_load import Sink, masked, open_sinks
from tests.benchmarks.gateway_server import TOKEN

SCHEMA = "chatapp.scale-benchmark/1"
MODEL = "sim:h100x16/kimi-k2.6"
CHUNKS_PER_ANSWER = 500
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Fleet:
    """`chatapp gateway --workers N`; with one worker there is no supervisor, and the process is the worker."""

    def __init__(self, process: subprocess.Popen[str], workers: int) -> None:
        assert process.stdout is not None
        self.port = int(process.stdout.readline().rpartition(":")[2].partition("/")[0])
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        self.pids = [process.pid] if workers == 1 else [int(pid) for pid in children.read_text().split()]

    def cpu_s(self) -> list[float]:
        """Processor time of each worker so far, user and system."""
        return [sum(int(field) for field in self._stat(pid)[11:13]) / _TICKS_PER_S for pid in self.pids]

    def resident_kib(self) -> list[float]:
        """Resident memory of each worker."""
        return [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1024 for pid in self.pids]

    def files(self) -> list[int]:
        """Open files of each worker: a connection is one."""
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids]

    @staticmethod
    def _stat(pid: int) -> list[str]:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextmanager
def serving(workers: int) -> Iterator[Fleet]:
    """A gateway that ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.write_text(TOKEN)
        own = {f"CHATAPP_{name}_DIR": folder for name in ("CONFIG", "DATA", "STATE", "CACHE")}
        command = ["gateway", "--port", "0", "--token-file", str(token), "--workers", str(workers)]
        process = subprocess.Popen(
            [sys.executable, "-m", "chatapp", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **own},
        )
        try:
            yield Fleet(process, workers)
        finally:
            for _ in range(2):  # the second one ends what still drains
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            process.wait(20)


def ask(text: str) -> bytes:
    """Return the frame that has a text told at the pace of `MODEL`."""
    told = {"text": text, "source": "benchmark"}
    return masked(msgspec.json.encode({"type": "response.create", "model": MODEL, "input": "x", "retell": told}))


def received(sinks: Sequence[Sink]) -> int:
    """Return the bytes that came over all connections, as the kernel counts them (`tcpi_bytes_received`)."""
    infos = (
        sink.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136) for sink in sinks
    )
    return sum(int.from_bytes(info[128:136], sys.byteorder) for info in infos)


async def gateway(workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """Idle connections, then streams."""
    with serving(workers) as fleet:
        # What a worker loads at its first answer is no connection's: 16 of them reach every worker.
        first_ones = await open_sinks(fleet.port, [ask("word")] * 16, array("d"))
        await asyncio.wait([sink.ended for sink in first_ones], timeout=20)
        for sink in first_ones:
            sink.transport.abort()
        await asyncio.sleep(1)
        files, held = fleet.files(), fleet.resident_kib()
        sinks = await open_sinks(fleet.port, [None] * options.connections, array("d"))
        await asyncio.sleep(0.5)
        dealt = [after - before for before, after in zip(files, fleet.files(), strict=True)]
        kib = sum(fleet.resident_kib()) - sum(held)
        for sink in sinks:
            sink.transport.abort()
        late: array[float] = array("d")
        asked = ask("word " * 100 * int(options.seconds + 10))  # more than such a system tells in that time
        sinks = await open_sinks(fleet.port, [asked] * options.streams, late)
        await asyncio.sleep(2)
        before, begun, first, size = fleet.cpu_s(), time.monotonic(), len(late), received(sinks)
        await asyncio.sleep(options.seconds)
        cpu = [after - was for was, after in zip(before, fleet.cpu_s(), strict=True)]
        wall = time.monotonic() - begun
        steady, size = late[first : len(late)], received(sinks) - size
        reordered = sum(sink.reordered for sink in sinks)
        for sink in sinks:
            sink.transport.abort()
    return {
        "connections": options.connections,
        "connections_of_each": dealt,
        "kib_per_connection": round(kib / options.connections, 1),
        "streams": options.streams,
        "tokens_per_s": round(len(steady) / wall),
        "cpu_percent_of_each": [round(100 * one / wall, 1) for one in cpu],
        "cpu_us_per_token": round(1e6 * sum(cpu) / max(1, len(steady)), 1),
        "bytes_per_token": round(size / max(1, len(steady)), 1),
        "reordered": reordered,
        **quantiles(steady),
    }


async def load(workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """The same concurrency for each worker of the load generator."""
    plan = Plan(
        backend=resolve(MODEL, Settings()),
        workload=load_workload("short-chat"),
        loads=(Load(duration_s=options.seconds, concurrency=options.streams // 2 * workers),),
        run_id="scale",
        limits=Goodput(),
        budget=Budget(),
        price=FREE,
    )
    (run,) = await carry_out_together(plan, Target(backend=MODEL), f"local:{workers}")
    level = assess(run)
    return {
        "concurrency": run.load.concurrency,
        "responses": len(run.good),
        "output_tokens_per_s": round(level.total_output_tps or 0),
        "lag_p99_ms": round(run.health.lag_p99_ms or 0, 2),
        "cpu_share_of_worst": round(run.health.cpu_share, 2),
        "fitness": run.doubt.fitness,
        "clock_error_ms": [round(part.clock_error_ms, 3) for part in run.parts],
        "start_late_ms": [round(part.start_late_ms or 0, 3) for part in run.parts],
    }


async def merge(workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """Recordings of that many workers, `--arrivals` in all."""
    with tempfile.TemporaryDirectory() as folder:
        each = options.arrivals // workers
        paths = [Path(folder) / f"{number}.tokcast" for number in range(workers)]
        for path in paths:
            await write_recording(path, each)
        size = sum(path.stat().st_size for path in paths)
        command = [sys.executable, "-m", "tests.benchmarks.scale", "--combine", str(Path(folder) / "all.tokcast")]
        done = await asyncio.create_subprocess_exec(*command, *map(str, paths), stdout=subprocess.PIPE)
        out, _ = await done.communicate()
        return {"arrivals": each * workers, "source_mib": round(size / 2**20, 1), **json.loads(out)}


async def write_recording(path: Path, arrivals: int) -> None:
    """Write answers of `CHUNKS_PER_ANSWER` chunks, 5 ms apart."""
    clock = VirtualClock(1)
    with Recorder.open(path, clock=clock) as recorder:
        at_ns = 1
        for _ in range(max(1, arrivals // CHUNKS_PER_ANSWER)):
            recorder.begin("worker-1", Request((Message("user", "What is a token?"),)))
            recorder.record("worker-1", Sent(at_ns))
            for _chunk in range(CHUNKS_PER_ANSWER):
                at_ns += 5_000_123
                recorder.record("worker-1", Delta(" word", at_ns, tokens=1))
            recorder.record("worker-1", Finished(at_ns))


def combine_and_tell(target: str, paths: list[str]) -> None:
    """Merge in this process, which does nothing else, and print what that took."""
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun, cpu = time.monotonic(), time.process_time()
    events = combine(Path(target), [Source(Path(path), f"worker-{k + 1}", k) for k, path in enumerate(paths)])
    told = {
        "events": events,
        "seconds": round(time.monotonic() - begun, 2),
        "cpu_us_per_event": round(1e6 * (time.process_time() - cpu) / events, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_mib_before": round(before_mib, 1),
    }
    print(json.dumps(told))


ROWS = {"gateway": gateway, "load": load, "merge": merge}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(ROWS))
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--arrivals", type=int, default=10_000_000)
    parser.add_argument("--json", default="-")
    parser.add_argument("--combine", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.combine:
        combine_and_tell(options.combine[0], options.combine[1:])
        return
    rows = []
    for name in [options.only] if options.only else ROWS:
        for workers in map(int, options.workers.split(",")):
            rows.append({"row": name, "workers": workers, **asyncio.run(ROWS[name](workers, options))})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = json.dumps({"schema": SCHEMA, "environment": environment(), "rows": rows}, indent=2) + "\n"
    if options.json == "-":
        print(text, end="")
    else:
        Path(options.json).write_text(text)


if __name__ == "__main__":
    main()
