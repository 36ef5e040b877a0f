"""What an answer costs when it has ended and the gateway reports to OpenTelemetry: its span and its observations.

    python -m tests.benchmarks.telemetry [--answers N] [--json FILE]

CPU time of the thread that does it, so that what else runs on the machine does not count; nothing is done per token.
`settle_ms` is what the answer's figures cost beside, which the gateway computes with or without telemetry. Nobody
listens at the collector's address, so delivery, in the SDK's own threads, is not among it. What a gateway under load
costs in all is `OTEL_EXPORTER_OTLP_ENDPOINT=... python -m tests.benchmarks.gateway --only streams`.
Prints {"schema", "environment", "rows"}.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from chatapp.bench.report import environment
from chatapp.gateway.meter import Ended
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Finished, Message, Request, Sent, Usage
from chatapp.stream.statistics import median

SCHEMA = "chatapp.telemetry-benchmark/1"
INFO = BackendInfo("benchmark", "Benchmark", "live", "benchmark", "benchmark")
ASKED = Request((Message("user", "hello"),))
CHUNKS = (20, 400, 5_000)
NOBODY = "http://127.0.0.1:9"


def main() -> None:
    """Run all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=100, help="of each length")
    parser.add_argument("--json", default="-", metavar="FILE", help="where the result goes; - is stdout")
    options = parser.parse_args()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = NOBODY
    text = json.dumps({"schema": SCHEMA, "environment": environment(), "rows": measure(options.answers)}, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def measure(answers: int) -> list[dict[str, Any]]:
    """Return a row for each length of an answer."""
    from chatapp.gateway.otlp import OtlpMeter

    meter = OtlpMeter(traces=True, metrics=True)
    meter.ended(ended(1))  # what is only made once
    rows = []
    for chunks in CHUNKS:
        settling, telling = [], []
        for _ in range(answers):
            one = ended(chunks)
            begun = time.thread_time_ns()
            one.answer.final()
            settled = time.thread_time_ns()
            meter.ended(one)
            settling.append((settled - begun) / 1e6)
            telling.append((time.thread_time_ns() - settled) / 1e6)
        rows.append(
            {"chunks": chunks, "settle_ms": round(median(settling), 3), "telemetry_ms": round(median(telling), 3)}
        )
    return rows


def ended(chunks: int) -> Ended:
    """Return an answer of so many chunks, 1 ms apart."""
    answer = Answer(INFO)
    sent_ns = time.monotonic_ns() - 10_000_000_000
    answer.feed(Sent(sent_ns))
    for number in range(1, chunks + 1):
        answer.feed(Delta(" token", sent_ns + number * 1_000_000, tokens=1))
    answer.feed(Usage(10, chunks))
    answer.feed(Finished(sent_ns + (chunks + 1) * 1_000_000))
    return Ended("resp_1", "resp_1", ASKED, answer, sent_ns)


if __name__ == "__main__":
    main()
