"""What the gateway costs and holds under load, beside a plain relay with the library's defaults in the same run.

    python -m tests.benchmarks.gateway [--only NAME] [--loop uvloop|asyncio] [--streams N] [--seconds S] [--json FILE]
    python -m tests.benchmarks.gateway --soak MINUTES [--streams N] [--json FILE]

Server and load run in processes of their own, pinned to a core each. Rows:

* streams: N streams of 20 tok/s each; the server's share of its core, added latency (stamp before encoding, clock after
  reading), what was lost or came out of order
* flood: one stream as fast as it is taken, through our client: tokens and frames per second
* frames: one stream with a frame for each chunk, nothing joined: frames per second, and the ratio to the plain relay
* idle: memory of an idle connection, handshakes per second
* stalled: memory held for a client that reads nothing, and when it is dropped
* overtaking: how late a cancel's end, an error and a completion reach a client of 5 kB/s that has text waiting
* cancel: from a client's reset to the closed upstream
* shutdown: 200 streams, from the signal to the last close frame
* ttft: what gateway and client add to the first token of an upstream that answers at once

Prints {"schema", "environment", "rows"}. `--soak` is `tests.benchmarks.gateway_soak`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chatapp.bench.report import environment
from chatapp.client.connection import Connection, ResponseCreate
from chatapp.gateway.child import run
from chatapp.redaction import Secret
from chatapp.stream.events import Delta, Message
from chatapp.stream.statistics import percentile
from tests.benchmarks.gateway_load import Counter, SlowReader, create, masked, open_sinks, stalled
from tests.benchmarks.gateway_server import BACKLOG_S, TOKEN

SCHEMA = "chatapp.gateway-benchmark/1"
RATE = 20
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A server process under test."""

    def __init__(self, kind: str, loop: str, *more: str) -> None:
        self.kind = kind
        command = [sys.executable, "-m", "tests.benchmarks.gateway_server", kind, "--loop", loop, *more]
        if (os.cpu_count() or 1) > 1:
            command += ["--cpu", "0"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.line("port"))

    def line(self, word: str) -> str:
        """Return what follows `word` on the next line that begins with it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            first, _, rest = line.strip().partition(" ")
            if first == word:
                return rest
        raise RuntimeError(f"the {self.kind} server ended")

    def cpu_s(self) -> float:
        """Processor time used so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def resident_kib(self) -> float:
        """Resident memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE / 1024

    def count(self, what: str) -> str:
        """Ask it to count, and return the number."""
        assert self.process.stdin is not None
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return self.line(what)

    def tell(self) -> None:
        """Ask it to stop."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def serving(kind: str, loop: str, *more: str) -> Iterator[Server]:
    """A server that ends with the block."""
    server = Server(kind, loop, *more)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            assert server.process.stdin is not None
            server.process.stdin.close()
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def quantiles(values: array[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum of microseconds, in milliseconds."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        "added_p50_ms": round(percentile(ordered, 50) / 1000, 3),
        "added_p99_ms": round(percentile(ordered, 99) / 1000, 3),
        "added_max_ms": round(ordered[-1] / 1000, 3),
    }


async def many_streams(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """N streams at 20 tok/s."""
    late: array[float] = array("d")
    tokens = int(RATE * options.seconds)
    requests: list[bytes | None] = [
        create(f"paced:{RATE}", tokens, prompt=f"stream {number}") for number in range(options.streams)
    ]
    sinks = await open_sinks(server.port, requests, late)
    await asyncio.sleep(1)
    before, begun, seen = server.cpu_s(), time.monotonic(), len(late)
    first = len(late)
    await asyncio.sleep(options.seconds - 3)
    cpu, wall = server.cpu_s() - before, time.monotonic() - begun
    counted = len(late) - seen
    steady = late[first : len(late)]
    await asyncio.wait([sink.ended for sink in sinks], timeout=30)
    for sink in sinks:
        sink.transport.abort()
    return {
        "streams": options.streams,
        "rate_tps": RATE,
        "tokens_per_s": round(counted / wall),
        "cpu_percent": round(100 * cpu / wall, 1),
        "cpu_us_per_token": round(1e6 * cpu / counted, 2),
        **quantiles(steady),
        "lost": options.streams * tokens - sum(sink.tokens for sink in sinks),
        "reordered": sum(sink.reordered for sink in sinks),
    }


async def flood(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """One stream as fast as it goes, read by our client."""
    connection = await Connection.open(f"ws://127.0.0.1:{server.port}/v1/responses", Secret("benchmark", TOKEN))
    count = 1_000_000
    request = ResponseCreate(model=f"flood:{count}", input=(Message("user", "x"),), max_output_tokens=count)
    tokens = frames = 0
    wall = cpu = float("nan")
    before, begun = server.cpu_s(), time.monotonic()
    async for event in connection.respond(request):
        if isinstance(event, Delta):
            frames += 1
            tokens += len(event.arrivals) or 1
            if tokens == count:  # what follows is the counting of a million tokens for the final figures
                wall, cpu = time.monotonic() - begun, server.cpu_s() - before
    await connection.aclose()
    return {
        "tokens_per_s": round(tokens / wall),
        "frames_per_s": round(frames / wall),
        "server_us_per_token": round(1e6 * cpu / tokens, 2),
        "lost": count - tokens,
    }


async def frames(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """One stream, a frame for each chunk, read by a client that costs next to nothing. The best of three."""
    count, best = 200_000, {"frames_per_s": 0}
    for _ in range(3):
        request = create(f"flood:{count}", count)
        before, begun = server.cpu_s(), time.monotonic()
        _transport, counter = await asyncio.get_running_loop().create_connection(
            lambda request=request: Counter(server.port, request, count), "127.0.0.1", server.port
        )
        await counter.ended
        wall, cpu = time.monotonic() - begun, server.cpu_s() - before
        counter.transport.abort()
        row = {
            "frames_per_s": round(counter.frames / wall),
            "chunks_per_frame": round(count / counter.frames, 2),
            "server_us_per_frame": round(1e6 * cpu / counter.frames, 2),
        }
        best = max(best, row, key=lambda row: row["frames_per_s"])
    return best


async def overtaking(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Ends at a reader of 5 kB/s. A cancel is timed from its sending, the others from the upstream's end."""
    ends = {"cancel": "response.incomplete", "error": "response.ending", "completion": "response.ending"}
    models = {"cancel": "flood:10000000", "error": "breaks", "completion": "ends"}
    row: dict[str, Any] = {"reads_bytes_per_s": SlowReader.RATE, "trials": options.trials}
    for kind, model in models.items():
        late = []
        for _ in range(options.trials):
            with SlowReader(server.port, create(model, 10_000_000, compact=True)) as reader:
                if kind == "cancel":
                    await asyncio.to_thread(reader.read_for, BACKLOG_S)
                    since_ns = time.monotonic_ns()
                    reader.send(masked(b'{"type":"response.cancel"}'))
                    found_ns = await asyncio.to_thread(reader.read_until, ends[kind])
                else:
                    found_ns = await asyncio.to_thread(reader.read_until, ends[kind])
                    since_ns = int(server.line("ended"))
            late.append((found_ns - since_ns) / 1e6)
        row |= {f"{kind}_p50_ms": round(sorted(late)[len(late) // 2]), f"{kind}_max_ms": round(max(late))}
    return row


async def idle(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Connections that say nothing."""
    count = options.connections
    before, begun = server.resident_kib(), time.monotonic()
    sinks = await open_sinks(server.port, [None] * count, array("d"))
    wall = time.monotonic() - begun
    await asyncio.sleep(1)
    held = server.resident_kib() - before
    for sink in sinks:
        sink.transport.abort()
    return {
        "connections": count,
        "kib_each": round(held / count, 1),
        "handshakes_per_s": round(count / wall),
    }


async def stall(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Clients that ask for a flood and read nothing."""
    count = 50
    # One that reads first, so that what the first flood allocates for all is not counted as held.
    await asyncio.sleep(0.5)
    before, begun = server.resident_kib(), time.monotonic()
    socks = [stalled(server.port, create("flood:10000000", 10_000_000)) for _ in range(count)]
    peak, dropped = 0.0, None
    while time.monotonic() - begun < 20:
        await asyncio.sleep(0.25)
        peak = max(peak, server.resident_kib() - before)
        if all(is_reset(sock) for sock in socks):
            dropped = time.monotonic() - begun
            break
    for sock in socks:
        sock.close()
    return {"clients": count, "kib_each": round(peak / count, 1), "dropped_s": dropped and round(dropped, 1)}


def is_reset(sock: socket.socket) -> bool:
    """Whether the server has given this connection up."""
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state != 1  # TCP_ESTABLISHED


async def cancel(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Resets before the first token and in mid-stream."""
    took: list[float] = []
    for number in range(40):
        model = "silent" if number % 2 else "paced:50"
        (sink,) = await open_sinks(server.port, [create(model, 10_000)], array("d"))
        await asyncio.sleep(0.1)
        sock = sink.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left = time.monotonic_ns()
        sink.transport.abort()
        await asyncio.sleep(0)
        took.append((int(await asyncio.to_thread(server.line, "closed")) - left) / 1e6)
    took.sort()
    return {"resets": len(took), "upstream_closed_p50_ms": round(took[len(took) // 2], 2), "max_ms": round(took[-1], 2)}


async def shutdown(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """200 streams when the server is told to stop."""
    requests: list[bytes | None] = [create(f"paced:{RATE}", 10_000, prompt=str(number)) for number in range(200)]
    sinks = await open_sinks(server.port, requests, array("d"))
    await asyncio.sleep(1)
    begun = time.monotonic()
    server.tell()
    await asyncio.wait([sink.ended for sink in sinks], timeout=15)
    return {
        "streams": 200,
        "closed_s": round(time.monotonic() - begun, 3),
        "closed_1001": sum(sink.close_code == 1001 for sink in sinks),
    }


async def ttft(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Request to first text, upstream's own time being none."""
    url, token = f"ws://127.0.0.1:{server.port}/v1/responses", Secret("benchmark", TOKEN)
    connection = await Connection.open(url, token)
    request = ResponseCreate(model="instant", input=(Message("user", "x"),), max_output_tokens=1)
    took: array[float] = array("d")
    for number in range(1100):
        if number % 400 == 399:  # a connection may not ask more than 500 times at once
            await connection.aclose()
            connection = await Connection.open(url, token)
        begun = time.monotonic_ns()
        first = 0
        async for event in connection.respond(request):
            if isinstance(event, Delta) and not first:
                first = time.monotonic_ns()
        if number >= 100:
            took.append((first - begun) / 1000)
    await connection.aclose()
    return {"requests": len(took), **quantiles(took)}


Measure = Callable[[Server, argparse.Namespace], Awaitable[dict[str, Any]]]
ROWS: dict[str, tuple[Measure, tuple[str, ...]]] = {
    "streams": (many_streams, ("gateway", "plain")),
    "flood": (flood, ("gateway",)),
    "frames": (frames, ("gateway", "plain")),
    "idle": (idle, ("gateway", "plain")),
    "stalled": (stall, ("gateway", "plain")),
    "overtaking": (overtaking, ("gateway",)),
    "cancel": (cancel, ("gateway",)),
    "shutdown": (shutdown, ("gateway", "plain")),
    "ttft": (ttft, ("gateway",)),
}


OPTIONS = {("frames", "gateway"): ("--unjoined",)}
"""What a server is told for a row."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(ROWS), action="append")
    parser.add_argument("--kind", choices=("gateway", "plain"))
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--trials", type=int, default=5, help="of each kind of end, in `overtaking`")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="hold all streams with faults at random instead")
    parser.add_argument("--json", default="-")
    options = parser.parse_args()
    if options.soak is not None:
        from tests.benchmarks.gateway_soak import soak

        soak(options.soak, options.streams, json_file=options.json)
        return
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    rows = []
    for name in options.only or list(ROWS):
        measure, kinds = ROWS[name]
        for kind in kinds:
            if options.kind not in (None, kind):
                continue
            with serving(kind, options.loop, *OPTIONS.get((name, kind), ())) as server:
                figures = run(measure(server, options))
            rows.append({"row": name, "server": kind, "loop": options.loop, **figures})
            ours = next((row for row in rows if row["row"] == "frames"), rows[0])
            if (name, kind) == ("frames", "plain") and ours["server"] == "gateway":
                ours["ratio_to_plain"] = round(ours["frames_per_s"] / figures["frames_per_s"], 2)
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = json.dumps({"schema": SCHEMA, "environment": environment(), "rows": rows}, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
