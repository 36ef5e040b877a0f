"""How wrong our own figures are: the whole measuring path against a server whose every send is known.

    python -m tests.benchmarks.accuracy [--rows table|screen|load] [--only TEXT] [--requests N] [--json FILE]

Rows: the table of known tools (tokens, chunking and pace as there), then 1,000, 10,000 and 20,000 tok/s with 1, 4 and
20 tokens a chunk, reasoning, and a foreign vocabulary; over HTTP and HTTPS. Then the known rows with the screen on: the
real chat in a terminal of its own, its gateway measuring, its recording read back. Then the load table: many streams at
once, client on one core, server on another.

Other work on the machine delays readings and widens errors; `chrt -f 10` in front keeps it away (as root, on Linux).

Truth of TTFT: first text's send minus the request's arrival, by the server's kernel stamp. Truth of speed: tokens after
the first chunk over the time between first and last send. Prints {"schema", "environment", "rows"}; times in ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chatapp.backends.openai_chat import ChatBackend, ChatServer
from chatapp.backends.transport import TimedTransport
from chatapp.bench.health import Watch
from chatapp.bench.report import environment
from chatapp.bench.request import Exchange, Gate, catch_up
from chatapp.bench.runner import quiet_collector
from chatapp.clock import MonotonicClock
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Message, Request
from chatapp.stream.figures import Figures
from chatapp.stream.statistics import median, percentile
from chatapp.stream.tokens import load_encoding
from chatapp.timer import PreciseClock
from tests.benchmarks.screen_session import ask_on_screen

SCHEMA = "chatapp.accuracy/1"
REQUEST = Request(messages=(Message("user", "tell the truth"),))

KNOWN = {
    "100 tok, 1 a chunk, 5 ms": "first_us=50000,gap_us=5000,chunks=100",
    "500 tok, 1 a chunk, 1 ms": "first_us=50000,gap_us=1000,chunks=500",
    "3000 tok, 1 a chunk, 0.2 ms": "first_us=20000,gap_us=200,chunks=3000",
    "5000 tok, 1 a chunk, 0.05 ms": "first_us=20000,gap_us=50,chunks=5000",
    "2000 tok, 4 a chunk, 4 ms": "first_us=20000,gap_us=4000,chunks=500,per_chunk=4",
    "100 tok, 20 a chunk, 20 ms": "first_us=50000,gap_us=20000,chunks=5,per_chunk=20",
}
"""The rows in which other tools were measured."""

GRID = {
    f"{speed} tok/s, {per} a chunk": f"first_us=30000,gap_us={per * 1_000_000 // speed},"
    f"chunks={max(40, speed // per // 4)},per_chunk={per}"
    for speed in (1_000, 10_000, 20_000)
    for per in (1, 4, 20)
}

SPECIAL = {
    "reasoning, then answer": "first_us=30000,gap_us=2000,chunks=300,reasoning=150",
    "another vocabulary, 4 a chunk": "first_us=30000,gap_us=4000,chunks=250,per_chunk=4,odd=1",
}

LOADS = {
    "20 streams x 100 tok/s": (20, "first_us=100000,gap_us=10000,chunks=300"),
    "100 streams x 50 tok/s": (100, "first_us=100000,gap_us=20000,chunks=150"),
    "100 streams x 200 tok/s": (100, "first_us=100000,gap_us=5000,chunks=600"),
}


class Truth:
    """The server's process, and what it says it did."""

    def __init__(self, process: subprocess.Popen[str], port: int, *, tls: bool) -> None:
        self.base_url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{port}/v1"
        self._process = process
        self._told: dict[str, dict[str, Any]] = {}

    def of(self, request_id: str) -> dict[str, Any]:
        """Return what was really sent in answer to a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        while request_id not in self._told:
            self._process.stdin.write("tell\n")
            self._process.stdin.flush()
            self._told |= {told["id"]: told for told in json.loads(self._process.stdout.readline())}
        return self._told.pop(request_id)


@contextmanager
def truth_server(*, pem: Path | None = None, cpu: int | None = None) -> Iterator[Truth]:
    """Run the server in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.truth_server"]
    command += ["--cert", str(pem)] if pem else []
    command += ["--cpu", str(cpu)] if cpu is not None else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Truth(process, json.loads(process.stdout.readline())["port"], tls=pem is not None)
        finally:
            process.kill()


@contextmanager
def certificate() -> Iterator[tuple[Path, ssl.SSLContext]]:
    """Make a certificate for localhost, and a client's context that trusts it."""
    import trustme

    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder) / "server.pem"
        authority.cert_pem.write_to_path(Path(folder) / "authority.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
        yield pem, context


def make_backend(truth: Truth, model: str, context: ssl.SSLContext | None) -> ChatBackend:
    """Return the product's own backend, pointed at the server."""
    info = BackendInfo("truth", "Truth", "live", "truth", model)
    return ChatBackend(
        info, ChatServer(truth.base_url, provider="truth"), transport=TimedTransport(ssl_context=context)
    )


def compare(answer: Answer, truth: Truth) -> dict[str, float | str | bool | None]:
    """Return truth, ours and error of one response."""
    assert answer.sent is not None, answer.failure
    told = truth.of(answer.sent.request_id)
    figures: Figures = answer.final()
    sent, tokens = told["sent_ns"], told["tokens"]
    true_ttft = (sent[0] - told["arrived_ns"]) / 1e6
    true_speed = (sum(tokens) - tokens[0]) * 1e9 / (sent[-1] - sent[0])
    assert figures.ttft_ms is not None, figures
    assert figures.output_speed_tps is not None, figures
    return {
        "true_ttft": true_ttft,
        "ttft": figures.ttft_ms,
        "ttft_error": figures.ttft_ms - true_ttft,
        "true_speed": true_speed,
        "speed": figures.output_speed_tps,
        "speed_error": figures.output_speed_tps / true_speed - 1,
        "kernel": figures.arrival_source == "kernel",
        "doubtful": figures.doubtful,
        "stamp_uncertainty_ms": figures.ttft_uncertainty_ms,
    }


def summarize(name: str, results: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return one row."""

    def of(key: str) -> list[float]:
        return [result[key] for result in results]

    row = {
        "row": name,
        **more,
        "n": len(results),
        "true_ttft_ms": median(of("true_ttft")),
        "ttft_ms": median(of("ttft")),
        "ttft_error_p50_ms": median(of("ttft_error")),
        "ttft_error_p99_ms": percentile([abs(error) for error in of("ttft_error")], 99),
        "true_tps": median(of("true_speed")),
        "tps": median(of("speed")),
        "speed_error_p50": median([abs(error) for error in of("speed_error")]),
        "speed_error_max": max(abs(error) for error in of("speed_error")),
        "kernel_share": sum(of("kernel")) / len(results),
        "doubtful_share": sum(of("doubtful")) / len(results),
    }
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}


async def one_after_the_other(truth: Truth, model: str, requests: int, context: ssl.SSLContext | None) -> list[Any]:
    """Measure sequential requests on one warm connection."""
    backend = make_backend(truth, model, context)
    clock = PreciseClock()
    gate = Gate(clock, seed="x")
    results = []
    await backend.warm()
    try:
        with quiet_collector():
            for number in range(requests + 1):
                exchange = Exchange(backend, REQUEST)
                await exchange.run(gate)
                if number:  # the first makes the server prepare its answer
                    results.append(compare(exchange.answer, truth))
                else:
                    assert exchange.answer.sent is not None, exchange.answer.failure
                    truth.of(exchange.answer.sent.request_id)
    finally:
        await backend.aclose()
        clock.close()
    return results


async def all_at_once(truth: Truth, model: str, streams: int) -> tuple[list[Any], Any]:
    """Measure many streams at once, all begun together, connections warm."""
    backend = make_backend(truth, model, None)
    clock = PreciseClock()
    gate = Gate(clock, seed="x")
    await backend.warm()
    try:
        for exchange in await together(backend, gate, streams):  # opens the connections
            assert exchange.answer.sent is not None, exchange.answer.failure
            truth.of(exchange.answer.sent.request_id)
        with quiet_collector():
            async with Watch(clock) as watch:
                exchanges = await together(backend, gate, streams)
        return [compare(exchange.answer, truth) for exchange in exchanges], watch.health()
    finally:
        await backend.aclose()
        clock.close()


async def together(backend: ChatBackend, gate: Gate, streams: int) -> list[Exchange]:
    """Begin as the product's runner begins a level."""
    clock = MonotonicClock()
    exchanges = [Exchange(backend, REQUEST) for _ in range(streams)]
    async with asyncio.TaskGroup() as group:
        for exchange in exchanges:
            group.create_task(exchange.run(gate))
            await asyncio.sleep(0)
            await catch_up(clock)
    return exchanges


def run_rows(only: str, requests: int, cpu: int | None) -> Iterator[dict[str, Any]]:
    """Run the first table."""
    rows = [(name, model) for table in (KNOWN, GRID, SPECIAL) for name, model in table.items() if only in name]
    with certificate() as (pem, context):
        for tls in (False, True):
            with truth_server(pem=pem if tls else None, cpu=cpu) as truth:
                for name, model in rows:
                    results = asyncio.run(one_after_the_other(truth, model, requests, context if tls else None))
                    yield summarize(name, results, transport="HTTPS" if tls else "HTTP", screen=False)


def run_screen(only: str, requests: int, cpu: int | None) -> Iterator[dict[str, Any]]:
    """Run the known rows again through the whole product: screen and gateway, in processes of their own."""
    rows = [(name, model) for table in (KNOWN, SPECIAL) for name, model in table.items() if only in name]
    with certificate() as (pem, _context):
        for tls in (False, True):
            with truth_server(pem=pem if tls else None, cpu=cpu) as truth:
                for name, model in rows:
                    trusted = pem.with_name("authority.pem") if tls else None
                    answers = ask_on_screen(truth.base_url, model, requests + 1, trusted=trusted)
                    results = [compare(answer, truth) for answer in answers]
                    # The first made the server prepare its answer, and the connection was not warm.
                    yield summarize(name, results[1:], transport="HTTPS" if tls else "HTTP", screen=True)


def run_loads(only: str) -> Iterator[dict[str, Any]]:
    """Run the load table, client on one core and server on another."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    try:
        with truth_server(cpu=cores[-1]) as truth:
            for name, (streams, model) in LOADS.items():
                if only in name:
                    results, health = asyncio.run(all_at_once(truth, model, streams))
                    yield summarize(
                        name,
                        results,
                        transport="HTTP",
                        streams=streams,
                        cpu_share=round(health.cpu_share, 3),
                        loop_lag_p99_ms=health.lag_p99_ms,
                    )
    finally:
        os.sched_setaffinity(0, cores)


def main() -> None:
    """Run what was asked for and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--requests", type=int, default=15)
    parser.add_argument("--rows", choices=["all", "table", "screen", "load"], default="all")
    parser.add_argument("--json", default="-")
    options = parser.parse_args()
    load_encoding()
    cores = sorted(os.sched_getaffinity(0))
    rows = []
    tables = {
        "table": lambda: run_rows(options.only, options.requests, cores[-1]),
        "screen": lambda: run_screen(options.only, options.requests, cores[-1]),
        "load": lambda: run_loads(options.only),
    }
    for name, run in tables.items():
        if options.rows in ("all", name):
            for row in run():
                rows.append(row)
                print(_line(row), file=sys.stderr)
    report = {"schema": SCHEMA, "environment": {**environment(), "load": os.getloadavg()}, "rows": rows}
    text = json.dumps(report, indent=2)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    screen = "screen" if row.get("screen") else ""
    load = f"  cpu {row['cpu_share']:.0%}" if "cpu_share" in row else ""
    return (
        f"{row['row']:32} {row['transport']:5} {screen:6} "
        f"TTFT {row['true_ttft_ms']:8.3f} err p50 {row['ttft_error_p50_ms']:+.3f} p99 {row['ttft_error_p99_ms']:.3f} ms"
        f" {row['true_tps']:9.1f} tok/s err p50 {row['speed_error_p50']:.3%} max {row['speed_error_max']:.3%}  "
        f"kernel {row['kernel_share']:.0%} doubtful {row['doubtful_share']:.0%}{load}"
    )


if __name__ == "__main__":
    main()
