"""What a benchmark found: a value for JSON (`chatapp.bench/1`), rows for CSV, a table and a plot for the terminal.

Errors are counted by kind and never averaged in. A level whose figures the measuring side may have spoilt has no
summary: its responses are in the file, marked, and the reason with the size of the error stands in its place.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from chatapp import __version__
from chatapp.bench.request import Response
from chatapp.bench.runner import Part, Run
from chatapp.bench.schedule import Load
from chatapp.bench.workloads import Workload
from chatapp.stream.metrics import Figures, Goodput, meets
from chatapp.stream.statistics import Summary, summarize
from chatapp.stream.tokens import COMMON_TOKENIZER

SCHEMA = "chatapp.bench/1"

SUMMARIZED = ("ttft_ms", "ttfa_ms", "output_speed_tps", "tpot_ms", "icl_ms", "e2e_ms", "characters_per_s", "common_tps")
"""Figures that a summary has, as the JSON names them."""

NO_LIMITS = Goodput()


def environment() -> dict[str, Any]:
    """Return what a reader must know of the machine that measured."""
    return {
        "chatapp": __version__,
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "clock": "CLOCK_MONOTONIC" if sys.platform == "linux" else "monotonic",
        "common_tokenizer": COMMON_TOKENIZER,
    }


def summarize_figures(figures: Iterable[Figures]) -> dict[str, Summary | None]:
    """Return each figure's summary over whole answers; None where it is defined for none."""
    kept = list(figures)
    return {name: summarize(getattr(one, name) for one in kept) for name in SUMMARIZED}


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one level of load."""

    load: Load
    label: str
    summary: dict[str, Summary | None] | None
    """None where the measuring side spoilt the figures; `doubt` says how much."""
    requests: int
    succeeded: int
    errors: dict[str, int]
    lasted_s: float
    requests_per_s: float | None
    total_output_tps: float | None
    """Output tokens of whole answers over the level's time: the system's throughput, not one user's speed."""
    goodput: float | None
    """Share of all requests that met every stated limit; None without limits."""
    waited_s: float
    """Waited because the server asked for it; in no figure."""
    health: Any
    doubt: Any
    partial: str | None
    workers: tuple[Part, ...] = ()
    """Of a cluster: their clocks, their starts, their health. `health` above is the worst of them."""


def assess(run: Run, limits: Goodput = NO_LIMITS) -> Level:
    """Return the report of one run."""
    good = [response.figures for response in run.good]
    refused = run.doubt.fitness == "refused"
    tokens = sum(figures.output_tokens or 0 for figures in good)
    count = len(run.responses)
    return Level(
        load=run.load,
        label=run.load.label,
        summary=None if refused else summarize_figures(good),
        requests=count,
        succeeded=len(good),
        errors=count_errors(run.responses),
        lasted_s=run.lasted_s,
        requests_per_s=len(good) / run.lasted_s if run.lasted_s else None,
        total_output_tps=tokens / run.lasted_s if run.lasted_s else None,
        goodput=sum(meets(figures, limits) for figures in good) / count if limits != NO_LIMITS and count else None,
        waited_s=sum(response.waited_s for response in run.responses),
        health=run.health,
        doubt=run.doubt,
        partial=run.partial,
        workers=run.parts,
    )


def count_errors(responses: Iterable[Response]) -> dict[str, int]:
    """Return how many responses failed, by kind."""
    return dict(Counter(response.kind_of_error for response in responses if response.kind_of_error is not None))


def to_json(
    runs: Sequence[Run],
    workload: Workload,
    *,
    run_id: str,
    limits: Goodput = NO_LIMITS,
    cost_usd: float | None = None,
) -> dict[str, Any]:
    """Return the report as plain JSON types.

    `summary` is that of the first level that has one; with a sweep, `levels[]` has each one's.
    """
    levels = [assess(run, limits) for run in runs]
    first = next((level for level in levels if level.summary is not None), levels[0])
    responses = [response for run in runs for response in run.responses]
    report = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "backend": {**msgspec.to_builtins(runs[0].info), "simulated": runs[0].info.simulated},
        "workload": {
            "name": workload.name,
            "title": workload.title,
            "source": workload.source,
            "input_tokens": workload.input_tokens,
            "output_tokens": workload.output_tokens,
            "sha256": workload.digest,
            "unique_prompts": True,
        },
        "run": run_id,
        "simulated": runs[0].info.simulated,
        "partial": next((level.partial for level in levels if level.partial), None),
        "doubtful": any(level.doubt.fitness != "fit" for level in levels),
        "warmed_connections": all(r.figures.connection_reused is not False for r in responses),
        "arrival_sources": dict(Counter(r.figures.arrival_source for r in responses)),
        "limits": limits,
        "cost_usd": cost_usd,
        "summary": first.summary or {},
        "summary_of": first.label,
        "levels": levels,
        "responses": [response_json(response) for response in responses],
    }
    builtins: dict[str, Any] = msgspec.to_builtins(report)
    return builtins


def response_json(response: Response) -> dict[str, Any]:
    """Return one response as plain JSON types: its figures, flat, and how it was sent."""
    builtins: dict[str, Any] = msgspec.to_builtins(response)
    figures: dict[str, Any] = builtins.pop("figures")
    return {**figures, **builtins}


def to_csv(runs: Sequence[Run]) -> str:
    """Return one row for each response, columns named as in the JSON; lists and tables are left to the JSON."""
    rows = [response_json(response) for run in runs for response in run.responses]
    plain = [
        name
        for name in response_json(_EMPTY)
        if not isinstance(response_json(_EMPTY)[name], (dict, list, tuple)) and name != "server_timing"
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, ["backend", *plain], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({"backend": runs[0].info.name, **row})
    return out.getvalue()


_EMPTY = Response(number=0, level="", begun_s=0.0, ended_s=0.0, figures=Figures())
