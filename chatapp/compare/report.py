"""What a contest found: JSON (`chatapp.compare/1`), CSV, Markdown, and a table for the terminal.

Simulated and live backends may stand in one report and are never shown alike: each row says which it is.

Both files load in one line. A response a row, columns named alike in JSON and CSV:

    pandas.read_csv("compare.csv")
    pandas.json_normalize(json.load(open("compare.json"))["responses"])
    duckdb.sql("select backend, median(output_speed_tps), sum(usd) from 'compare.csv' group by backend")
    duckdb.sql("select unnest(responses, recursive := true) from read_json('compare.json', maximum_object_size=1e9)")

An undefined figure is null in JSON and empty in CSV, never 0. Times are milliseconds, speeds per second, costs USD.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from chatapp.bench.report import environment, summarize_figures
from chatapp.bench.table import interval, number
from chatapp.compare.contest import Contest, Contestant, MeasuredRun, cost_of
from chatapp.stream.statistics import Summary, compare_medians
from chatapp.text.sanitize import sanitize, sanitize_line

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
    "input_estimated",
    "token_count_source",
    "arrival_source",
    "doubtful",
    "outcome",
    "error",
)
CSV_COLUMNS = ("backend", "kind", "simulated", "run", *CSV_FIGURES, "departed_ms", "waited_s", "usd")

PROMPT_LINES = 20
"""Lines of the prompt that the Markdown report shows; the JSON holds all of it."""


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
    per_answer = usd_per_answer(contestant)
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
        "input_usd_per_million": contestant.price.input_usd if info.kind == "live" else None,
        "output_usd_per_million": contestant.price.output_usd if info.kind == "live" else None,
        "usd_per_answer": per_answer,
        "usd_spent": contestant.spent_usd if info.kind == "live" else None,
        "common_tps_per_usd": speed.median / per_answer if speed is not None and per_answer else None,
    }


def usd_per_answer(contestant: Contestant) -> float | None:
    """Return the mean cost of a whole answer; None where nothing is charged by the token, or a cost is not known."""
    if contestant.backend.info.kind != "live":
        return None
    costs = [cost_of(contestant.price, figures) for figures in contestant.good]
    known = [cost for cost in costs if cost is not None]
    return sum(known) / len(known) if known and len(known) == len(costs) else None


def _response(contestant: Contestant, run: MeasuredRun) -> dict[str, Any]:
    builtins: dict[str, Any] = msgspec.to_builtins(run)
    figures: dict[str, Any] = builtins.pop("figures")
    info = contestant.backend.info
    usd = cost_of(contestant.price, run.figures) if info.kind == "live" else None
    return (
        {"backend": contestant.name, "kind": info.kind, "run": builtins.pop("number"), "usd": usd} | figures | builtins
    )


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
                "kind": contestant.backend.info.kind,
                "simulated": contestant.backend.info.simulated,
                "common_tps": speed.median if speed else None,
                "ttft_ms": first.median if first else None,
                "e2e_ms": whole.median if whole else None,
            }
        )
    rows.sort(key=lambda row: -(row["common_tps"] or 0.0))
    speeds = [row["common_tps"] for row in rows if row["common_tps"]]
    slowest = min(speeds) if len(speeds) > 1 else None
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
    return csv_of([_response(contestant, run) for contestant in contest.contestants for run in contestant.runs])


def csv_of(responses: Iterable[Mapping[str, Any]]) -> str:
    """Return the CSV of a report's `responses`; lists and tables in them are left to the JSON."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(responses)
    return out.getvalue()


_HEADER = (
    *("", "backend", "tok/s", "95 % interval", "cl100k/s", "×", "TTFT ms", "E2E ms", "n", "failed"),
    *("$/answer", "$/M out", "tok/s per $"),
)


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
                DASH if backend["output_usd_per_million"] is None else f"{backend['output_usd_per_million']:.2f}",
                number(backend["common_tps_per_usd"]),
            )
        )
    if not any(c.price.output_usd for c in contest.contestants):  # nothing here is paid for: no columns for it
        return [row[:-3] for row in rows]
    return rows


def _median(summary: Summary | None) -> float | None:
    return summary.median if summary is not None else None


def remarks(contest: Contest) -> list[str]:
    """Return what must be said beside the table."""
    said = []
    simulated = [c.label for c in contest.contestants if c.backend.info.simulated]
    if simulated:
        said.append(f"simulated, timing from a hardware model: {', '.join(simulated)}")
        if len(simulated) < len(contest.contestants):
            said.append("simulated and measured backends stand in one table: only the measured ones are evidence")
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
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
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
    asked = sanitize(prompt).splitlines()
    shown = asked[:PROMPT_LINES] + ([f"… and {len(asked) - PROMPT_LINES} lines more"] if asked[PROMPT_LINES:] else [])
    # Four columns of indent make a block of code: nothing in it is Markdown or HTML, whatever it holds.
    lines = [
        "# Comparison",
        "",
        *(f"    {line}" for line in shown),
        "",
        _markdown_row(header),
        _markdown_row(["---"] * len(header)),
    ]
    lines += [_markdown_row(row) for row in rows]
    lines += ["", *(f"- {_markdown_text(line)}" for line in remarks(contest)), ""]
    lines += [
        "Output speed is (N - k1) / (a_m - a_1): tokens after the first chunk over the time after it. `cl100k/s`",
        "counts in one tokenizer for all: models cut text differently. Medians with 95 % bootstrap intervals.",
        f"Prompt SHA-256: `{hashlib.sha256(prompt.encode()).hexdigest()}`",
    ]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_markdown_text(cell) for cell in cells) + " |"


def _markdown_text(text: str) -> str:
    """Return foreign text as one line in which nothing is Markdown or HTML."""
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in sanitize_line(text))
