"""What a contest found: JSON (`chatapp.compare/1`), CSV, Markdown, and a table for the terminal.

Simulated and live backends may stand in one report and are never shown alike: each row says which it is.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from chatapp.bench.report import environment, summarize_figures
from chatapp.bench.table import interval, number
from chatapp.compare.contest import Contest, Contestant
from chatapp.stream.statistics import Summary, compare_medians

SCHEMA = "chatapp.compare/1"
DASH = "–"

RATIOS = ("common_tps", "output_speed_tps", "characters_per_s", "ttft_ms", "e2e_ms")
"""Figures whose ratio between backends is given."""

CSV_FIGURES = (
    "ttft_ms",
    "ttfa_ms",
    "output_speed_tps",
    "tpot_ms",
    "icl_ms",
    "e2e_ms",
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "characters_per_s",
    "common_tps",
    "token_count_source",
    "arrival_source",
    "simulated",
    "outcome",
    "error",
)


def to_json(contest: Contest, prompt: str) -> dict[str, Any]:
    """Return the report as plain JSON types, every arrival in it."""
    contestants = contest.contestants
    report = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "prompt": prompt,
        "workload": {"name": contest.workload.name, "sha256": contest.workload.digest},
        "run": contest.run_id,
        "runs": max((len(c.runs) for c in contestants), default=0),
        "order": "all at once" if contest.at_once else "in turns, balanced Latin square",
        "departure_spread_ms": _spread(contestants) if contest.at_once else None,
        "partial": contest.partial,
        "backends": [_backend(contestant) for contestant in contestants],
        "standings": standings(contestants),
        "ratios": ratios(contestants),
        "responses": [_response(contestant, run) for contestant in contestants for run in contestant.runs],
    }
    builtins: dict[str, Any] = msgspec.to_builtins(report)
    return builtins


def _backend(contestant: Contestant) -> dict[str, Any]:
    info = contestant.backend.info
    good = contestant.good
    costs = [contestant.price.of(f.input_tokens or 0, f.output_tokens or 0) for f in good]
    known = [cost for cost in costs if cost is not None] if info.kind == "live" else []
    per_answer = sum(known) / len(known) if known else None
    summary = summarize_figures(good)
    speed = summary["common_tps"]
    return {
        **msgspec.to_builtins(info),
        "name": contestant.name,
        "label": contestant.label,
        "simulated": info.simulated,
        "summary": summary,
        "requests": len(contestant.runs),
        "succeeded": len(good),
        "errors": dict(
            Counter((run.figures.error or "").partition(":")[0] for run in contestant.runs if run.figures.error)
        ),
        "failure": contestant.failure or None,
        "waited_s": sum(run.waited_s for run in contestant.runs),
        "output_usd_per_million": contestant.price.output_usd if info.kind == "live" else None,
        "usd_per_answer": per_answer,
        "common_tps_per_usd": speed.median / per_answer if speed is not None and per_answer else None,
    }


def _response(contestant: Contestant, run: Any) -> dict[str, Any]:
    builtins: dict[str, Any] = msgspec.to_builtins(run)
    figures: dict[str, Any] = builtins.pop("figures")
    return {"backend": contestant.name, **figures, **builtins}


def standings(contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
    """Return the places: by median speed in the common tokenizer, then those without a whole answer."""
    rows: list[dict[str, Any]] = []
    for contestant in contestants:
        summary = summarize_figures(contestant.good)
        speed, first, whole = summary["common_tps"], summary["ttft_ms"], summary["e2e_ms"]
        rows.append(
            {
                "backend": contestant.name,
                "label": contestant.label,
                "simulated": contestant.backend.info.simulated,
                "common_tps": speed.median if speed else None,
                "ttft_ms": first.median if first else None,
                "e2e_ms": whole.median if whole else None,
            }
        )
    rows.sort(key=lambda row: -(row["common_tps"] or 0.0))
    slowest = min((row["common_tps"] for row in rows if row["common_tps"]), default=None)
    for place, row in enumerate(rows, start=1):
        speed_tps = row["common_tps"]
        row["place"] = place if speed_tps else None
        row["speedup"] = speed_tps / slowest if speed_tps and slowest else None
    return rows


def ratios(contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
    """Return for each pair and figure the ratio of medians with its interval, and whether it can be told from 1."""
    found = []
    for index, first in enumerate(contestants):
        for second in contestants[index + 1 :]:
            for name in RATIOS:
                ratio = compare_medians((getattr(f, name) for f in first.good), (getattr(f, name) for f in second.good))
                if ratio is not None:
                    found.append(
                        {
                            "of": first.name,
                            "to": second.name,
                            "figure": name,
                            "ratio": ratio.ratio,
                            "ci95": ratio.ci95,
                            "distinguishable": ratio.distinguishable,
                        }
                    )
    return found


def _spread(contestants: Sequence[Contestant]) -> float | None:
    departures = [run.departed_ms for c in contestants for run in c.runs if run.departed_ms is not None]
    return max(departures) - min(departures) if len(departures) > 1 else None


def to_csv(contest: Contest) -> str:
    """Return one row a response, columns named as in the JSON."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["backend", "run", *CSV_FIGURES])
    for contestant in contest.contestants:
        for run in contestant.runs:
            writer.writerow([contestant.name, run.number, *(getattr(run.figures, name) for name in CSV_FIGURES)])
    return out.getvalue()


_HEADER = ("", "backend", "tok/s", "95 % interval", "cl100k/s", "×", "TTFT ms", "E2E ms", "n", "failed", "$/answer")


def table_rows(contest: Contest) -> list[tuple[str, ...]]:
    """Return the table's rows, the header first, in the order of the standings."""
    by_name = {contestant.name: contestant for contestant in contest.contestants}
    rows: list[tuple[str, ...]] = [_HEADER]
    for standing in standings(contest.contestants):
        contestant = by_name[standing["backend"]]
        summary = summarize_figures(contestant.good)
        backend = _backend(contestant)
        kind = contestant.backend.info.kind
        label = contestant.label + ("" if kind == "live" else f" [{kind}]")
        speedup = standing["speedup"]
        cost = backend["usd_per_answer"]
        rows.append(
            (
                str(standing["place"] or DASH),
                label,
                number(_median(summary["output_speed_tps"])),
                interval(summary["output_speed_tps"]),
                number(_median(summary["common_tps"])),
                f"{speedup:.1f}" if speedup else DASH,
                number(_median(summary["ttft_ms"])),
                number(_median(summary["e2e_ms"])),
                str(backend["succeeded"]),
                str(backend["requests"] - backend["succeeded"]),
                DASH if cost is None else f"{cost:.4f}",
            )
        )
    return rows


def _median(summary: Summary | None) -> float | None:
    return summary.median if summary is not None else None


def remarks(contest: Contest) -> list[str]:
    """Return what must be said beside the table."""
    said = []
    simulated = [c.label for c in contest.contestants if c.backend.info.simulated]
    if simulated:
        said.append(f"simulated, timing from a hardware model: {', '.join(simulated)}")
    spread = _spread(contest.contestants) if contest.at_once else None
    if spread is not None:
        said.append(f"requests left within {spread:.2f} ms of each other")
    for row in ratios(contest.contestants):
        if row["figure"] == "common_tps":
            low, high = row["ci95"]
            certain = f", 95 % interval {low:.2f} to {high:.2f}" if low is not None else ", one run: no interval"
            told = "" if row["distinguishable"] or low is None else "; cannot be told from 1"
            said.append(f"{row['of']} is {row['ratio']:.2f} times as fast as {row['to']}{certain}{told}")
    said += [f"{c.label} took no further part: {c.failure}" for c in contest.contestants if c.failure]
    errors = [run.figures.error for c in contest.contestants for run in c.runs if run.figures.error]
    if errors:
        said.append(f"{len(errors)} answers failed and are in no figure; the first: {errors[0]}")
    if contest.partial:
        said.append(f"partial: {contest.partial}")
    return said


def to_text(contest: Contest) -> str:
    """Return the table and the remarks for a terminal."""
    rows = table_rows(contest)
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 1 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *remarks(contest)])


def to_markdown(contest: Contest, prompt: str) -> str:
    """Return the report as Markdown."""
    header, *rows = table_rows(contest)
    quoted = "\n".join(f"> {line}" for line in prompt.splitlines()[:20])
    lines = ["# Comparison", "", quoted, "", _markdown_row(header), _markdown_row(["---"] * len(header))]
    lines += [_markdown_row(row) for row in rows]
    lines += ["", *(f"- {line}" for line in remarks(contest)), ""]
    lines += [
        "Output speed is (N - k1) / (a_m - a_1): tokens after the first chunk over the time after it. `cl100k/s` counts",
        "in one tokenizer for all: models cut text differently. Medians with 95 % bootstrap intervals.",
        f"Prompt SHA-256: `{hashlib.sha256(prompt.encode()).hexdigest()}`",
    ]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
