"""How exactly a simulated backend keeps its own schedule.

    python tests/benchmarks/simulation.py [--quick] [--json FILE]

A backend tells a text at a fixed pace on the real clock; what counts is when each delta really left, against when it
was scheduled. *late* is the difference, *drift* how much later the last hundred left than the first hundred (medians).
One rate is also told by asyncio's own sleeps, for comparison. Other work on the machine shows in p99: run it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from chatapp.backends import simulated
from chatapp.backends.simulated import SimulatedBackend, open_simulated
from chatapp.clock import NS_PER_S, MonotonicClock
from chatapp.config import Settings
from chatapp.hardware.schedule import Pace
from chatapp.stream.events import Delta, Message, Request, Retell, Sent

SCHEMA = "chatapp.benchmark.simulation/1"
EDGE = 100
"""Deltas at each end whose medians give the drift."""


async def tell(rate: float, seconds: float, *, precise: bool) -> dict[str, Any]:
    """Tell a text at `rate` tokens a second for so many seconds, and return how late its deltas were."""
    tokens = round(rate * seconds)
    pace = Pace(prefill_s=0.05, step_s=1 / rate)
    clock = None if precise else MonotonicClock()
    backend = open_simulated("sim:cs3/kimi-k2.6", Settings(), clock=clock)
    await backend.warm()
    request = Request(
        messages=(Message("user", "tell"),),
        max_output_tokens=tokens,
        retell=Retell("word " * (tokens + 10), "benchmark"),
    )
    with mock.patch.object(SimulatedBackend, "_pace", return_value=pace):
        scheduled = [part.offset_ns for part in backend.plan(request).parts]
        late = await _lateness(backend, request, scheduled)
    ordered = sorted(late)
    took_s = (scheduled[-1] + late[-1] - scheduled[0] - late[0]) / NS_PER_S
    return {
        "clock": "timerfd" if precise else "asyncio",
        "rate_tps": rate,
        "seconds": seconds,
        "deltas": len(late),
        "late_p50_us": ordered[len(ordered) // 2] / 1e3,
        "late_p99_us": ordered[int(len(ordered) * 0.99)] / 1e3,
        "late_max_us": ordered[-1] / 1e3,
        "early": sum(value < 0 for value in late),
        "drift_us": (_median(late[-EDGE:]) - _median(late[:EDGE])) / 1e3,
        "reached_tps": (len(late) - 1) / took_s,
    }


async def _lateness(backend: SimulatedBackend, request: Request, scheduled: list[int]) -> list[int]:
    stamps: list[int] = []
    start = 0
    gc.collect()
    gc.freeze()
    async for event in backend.stream(request):
        if isinstance(event, Sent):
            start = event.at_ns
        elif isinstance(event, Delta):
            stamps.append(event.at_ns)
    gc.unfreeze()
    return [stamp - start - offset for stamp, offset in zip(stamps, scheduled, strict=True)]


def _median(values: list[int]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    """Run the cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds instead of a minute")
    parser.add_argument("--json", default="-", metavar="FILE")
    options = parser.parse_args()
    long = 5.0 if options.quick else 60.0
    short = 2.0 if options.quick else 10.0
    cases = [
        (1000.0, long, True),
        (1000.0, short, False),
        (100.0, short, True),
        (5000.0, short, True),
        (20_000.0, short, True),
    ]
    rows = []
    for rate, seconds, precise in cases:
        row = asyncio.run(tell(rate, seconds, precise=precise))
        rows.append(row)
        print(
            f"{row['clock']:8} {rate:>7,.0f} tok/s {seconds:>4.0f} s: late p50 {row['late_p50_us']:.0f} us, "
            f"p99 {row['late_p99_us']:.0f} us, max {row['late_max_us']:.0f} us; drift {row['drift_us']:+.0f} us; "
            f"reached {row['reached_tps']:,.0f} tok/s",
            file=sys.stderr,
        )
    environment = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "module": Path(simulated.__file__).name,
    }
    text = json.dumps({"schema": SCHEMA, "environment": environment, "rows": rows}, indent=2) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        Path(options.json).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
