"""A benchmark's result for people: one table whatever the number of levels, and a plot of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from chatapp.bench.report import Level
from chatapp.bench.runner import Part, Progress
from chatapp.stream.statistics import Summary

DASH = "–"

FIGURES = (
    ("TTFT", "ttft_ms", "ms"),
    ("TTFA", "ttfa_ms", "ms"),
    ("output speed", "output_speed_tps", "tok/s"),
    ("common speed", "common_tps", "cl100k/s"),
    ("characters", "characters_per_s", "char/s"),
    ("TPOT", "tpot_ms", "ms"),
    ("ICL", "icl_ms", "ms"),
    ("E2E", "e2e_ms", "ms"),
)
_HEADER = ("", "median", "95 % interval", "p90", "p99", "n", "unit")
_SWEEP_HEADER = ("load", "ok", "errors", "TTFT p50", "p99 ms", "tok/s each", "95 % interval", "tok/s all", "goodput")


def number(value: float | None) -> str:
    """Return a figure with as many digits as it deserves; a dash where it is not defined."""
    if value is None:
        return DASH
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3f}"


def interval(summary: Summary | None) -> str:
    """Return `low … high`, or a dash."""
    if summary is None or summary.ci95[0] is None:
        return DASH
    return f"{number(summary.ci95[0])} … {number(summary.ci95[1])}"


def table(levels: Sequence[Level]) -> str:
    """Return the results: a row a figure for one level, a row a level for a sweep, and what is to be said of them."""
    body = _sweep(levels) if len(levels) > 1 else _figures(levels[0])
    return "\n".join([*body, *(line for level in levels for line in remarks(level, named=len(levels) > 1))])


def _figures(level: Level) -> list[str]:
    rows = [_HEADER]
    summary = level.summary or {}
    for title, name, unit in FIGURES:
        one = summary.get(name)
        if name == "ttfa_ms" and one is not None and one == summary.get("ttft_ms"):
            continue  # no reasoning came: the same figure twice
        n = str(one.n) if one else "0"
        values = (one.median, one.p90, one.p99) if one else (None, None, None)
        rows.append((title, number(values[0]), interval(one), number(values[1]), number(values[2]), n, unit))
    return _aligned(rows)


def _sweep(levels: Sequence[Level]) -> list[str]:
    rows = [_SWEEP_HEADER]
    for level in levels:
        summary = level.summary or {}
        ttft, speed = summary.get("ttft_ms"), summary.get("output_speed_tps")
        rows.append(
            (
                level.label,
                str(level.succeeded),
                str(level.requests - level.succeeded - level.errors.get("cancelled", 0)),
                number(ttft.median if ttft else None),
                number(ttft.p99 if ttft else None),
                number(speed.median if speed else None),
                interval(speed),
                number(level.total_output_tps),
                DASH if level.goodput is None else f"{level.goodput:.0%}",
            )
        )
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in (0, len(row) - 1) and not cell[:1].isdigit() else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def remarks(level: Level, *, named: bool) -> list[str]:
    """Return what must be said beside the figures: errors by kind, goodput, waiting, doubt, an early end."""
    said: list[str] = []
    failures = {kind: count for kind, count in level.errors.items() if kind != "cancelled"}
    if failures:
        kinds = ", ".join(f"{kind} ×{count}" for kind, count in sorted(failures.items()))
        said.append(f"{sum(failures.values())} of {level.requests} requests failed: {kinds}; in no figure")
    if cut := level.errors.get("cancelled", 0):
        said.append(f"{cut} of {level.requests} requests cut off from this side; in no figure")
    if level.goodput is not None and not named:
        said.append(f"goodput: {level.goodput:.1%} of requests met every limit")
    if level.waited_s:
        said.append(f"waited {level.waited_s:.1f} s because the server asked for it; in no figure")
    if level.doubt.fitness == "refused":
        said.append("NO FIGURES: this machine was the bottleneck: " + "; ".join(level.doubt.reasons))
    elif level.doubt.reasons:
        said.append("doubtful: " + "; ".join(level.doubt.reasons))
    if level.partial:
        said.append(f"partial: {level.partial}")
    said += [_worker(part) for part in level.workers]
    return [f"{level.label}: {line}" if named else line for line in said]


def _worker(part: Part) -> str:
    where = f"{part.worker} at {part.address} ({part.host})"
    clock = f"clock {part.clock_offset_ms:+,.3f} ms, known to ± {part.clock_error_ms:.3f} ms"
    if part.start_late_ms is None:
        return f"{where}: {clock}; lost"
    return f"{where}: {part.requests} requests; {clock}; began {number(part.start_late_ms)} ms after the common start"


def plot(levels: Sequence[Level], *, width: int = 48) -> str:
    """Return bars over the levels of a sweep: one user's speed beside the whole system's throughput."""
    lines: list[str] = []
    series = (
        ("tok/s each", [_median(level, "output_speed_tps") for level in levels]),
        ("tok/s all", [level.total_output_tps for level in levels]),
        ("TTFT ms", [_median(level, "ttft_ms") for level in levels]),
    )
    label_width = max(len(level.label) for level in levels)
    for title, values in series:
        most = max((value for value in values if value is not None), default=0.0)
        lines.append(title)
        for level, value in zip(levels, values, strict=True):
            bar = _bar((value or 0) / most * width) if most else ""
            lines.append(f"  {level.label.rjust(label_width)} {bar} {number(value)}")
    return "\n".join(lines)


def _median(level: Level, name: str) -> float | None:
    summary = (level.summary or {}).get(name)
    return summary.median if summary else None


def _bar(length: float) -> str:
    whole, eighths = divmod(round(length * 8), 8)
    return "█" * whole + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths]


def progress_line(progress: Progress, *, cells: int) -> str:
    """Return one line: how far the level is, and live figures."""
    load = progress.load
    if load.requests is not None:
        share, of = progress.done / load.requests, f"{progress.done}/{load.requests}"
    else:
        duration = load.duration_s or 0.0
        share, of = progress.elapsed_s / duration if duration else 0.0, f"{progress.elapsed_s:.0f}/{duration:.0f} s"
    parts = [f"{load.label} {_bar(min(share, 1.0) * cells).ljust(cells, '·')} {of}", f"{progress.running} running"]
    if progress.ttft_ms is not None:
        parts.append(f"TTFT {number(progress.ttft_ms)} ms")
    if progress.characters_per_s is not None:
        parts.append(f"{number(progress.characters_per_s)} char/s")
    if progress.errors:
        parts.append(f"{progress.errors} errors")
    return "  ".join(parts)
