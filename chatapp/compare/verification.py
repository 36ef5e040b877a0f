"""A claim against measurements: the verdict, what the hardware model says, and how the run differs from the claim's.

The same function judges a run that has just ended and one that is read back from its evidence, so that the two can only
differ where the arrivals do.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from chatapp.bench.report import environment, summarize_figures
from chatapp.bench.table import number
from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim
from chatapp.compare.differences import differences
from chatapp.compare.sample import Sample
from chatapp.compare.verdict import Verdict, decide
from chatapp.errors import ChatappError
from chatapp.hardware.predict import predict
from chatapp.stream.statistics import compare_medians, summarize

SCHEMA = "chatapp.verify/1"

FEW = 6
"""With fewer values than this even their whole range holds the median with less than 95 % certainty: 1 - 2 / 2^n."""

LOWER_IS_FASTER = ("ttft_ms", "ttfa_ms", "e2e_ms")


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    claim: Claim
    samples: tuple[Sample, ...]
    verdict: Verdict
    workload: Workload
    model_says: str
    """The claim beside the hardware model's figure; empty where the model does not cover it."""
    differences: tuple[str, ...]
    remarks: tuple[str, ...]
    partial: str | None = None


def judge(
    claim: Claim,
    samples: Sequence[Sample],
    workload: Workload,
    *,
    partial: str | None = None,
    today: datetime.date | None = None,
) -> Verification:
    """Decide a measured claim.

    Args:
        claim: its kind is not "fit".
        samples: one; of a ratio two, the claimed one first.
        workload: what was asked.
        partial: why the run ended early.
        today: of the run, for the claim's age.
    """
    simulated = any(sample.info.simulated for sample in samples)
    median, ci95, n = _measured(claim, samples)
    verdict = decide(claim, median, ci95, n, simulated=simulated)
    return Verification(
        claim=claim,
        samples=tuple(samples),
        verdict=verdict,
        workload=workload,
        model_says=model_says(claim, workload),
        differences=tuple(differences(claim, samples, workload, today or datetime.date.today())),
        remarks=tuple(_remarks(verdict, samples, partial)),
        partial=partial,
    )


def _measured(claim: Claim, samples: Sequence[Sample]) -> tuple[float | None, tuple[float, float] | None, int]:
    """Return median, interval and n of the claim's figure; of a ratio, how many times as fast the first one is."""
    values = [[getattr(figures, claim.metric) for figures in sample.good] for sample in samples]
    counts = [sum(value is not None for value in column) for column in values]
    if claim.kind == "ratio":
        first, second = values if claim.metric not in LOWER_IS_FASTER else reversed(values)
        ratio = compare_medians(first, second)
        return (None, None, 0) if ratio is None else (ratio.ratio, _whole(ratio.ci95), min(counts))
    summary = summarize(values[0])
    return (None, None, 0) if summary is None else (summary.median, _whole(summary.ci95), summary.n)


def _whole(ci95: tuple[float | None, float | None]) -> tuple[float, float] | None:
    low, high = ci95
    return None if low is None or high is None else (low, high)


def _remarks(verdict: Verdict, samples: Sequence[Sample], partial: str | None) -> list[str]:
    said = []
    if 2 <= verdict.n < FEW and verdict.outcome != "model only":
        coverage = 1 - 2 / 2**verdict.n
        said.append(
            f"only {verdict.n} values: even their whole range holds the true median with {coverage:.0%} certainty, "
            f"not 95 %; {FEW} or more runs are needed for that"
        )
    for sample in samples:
        if sample.failure:
            said.append(f"{sample.info.label} took no further part: {sample.failure}")
        failed = [figures for figures in sample.figures if figures.error is not None]
        if failed:
            said.append(
                f"{sample.info.label}: {len(failed)} of {len(sample.figures)} answers failed and are in no figure; "
                f"the first: {failed[0].error}"
            )
        doubtful = [figures for figures in sample.good if figures.doubtful]
        if doubtful:
            first = max(figures.ttft_uncertainty_ms or 0.0 for figures in doubtful)
            speed = max(figures.speed_uncertainty or 0.0 for figures in doubtful)
            said.append(
                f"{sample.info.label}: {len(doubtful)} of {len(sample.good)} answers have stamps or counts less "
                f"certain than the limits: by up to {first:.2f} ms in TTFT and {speed:.1%} in speed"
            )
    if partial:
        said.append(f"partial: {partial}")
    return said


def model_says(claim: Claim, workload: Workload) -> str:
    """Return the claim beside what the hardware model says of it; empty where the model does not cover it."""
    if claim.kind == "ratio" or claim.metric not in ("output_speed_tps", "ttft_ms"):
        return ""
    many = re.search(r"(\d+)\s*x\s*([A-Za-z0-9-]+)", claim.system)
    system = f"{many[2]}x{many[1]}" if many else re.sub(r"[^A-Za-z0-9]", "", claim.system)
    try:
        prediction = predict(
            system.lower(),
            claim.model,
            input_tokens=workload.input_tokens or 1000,
            output_tokens=workload.output_tokens or 1000,
        )
    except ChatappError:
        return ""
    speed = claim.metric == "output_speed_tps"
    estimate, scale = (prediction.speed, 1.0) if speed else (prediction.ttft, 1000.0)
    unseen = any(
        row.kind == ("speed" if speed else "ttft") and abs(row.value * (1 if speed else 1000) - claim.value) < 0.5
        for row in prediction.claims
    )
    blind = ", not having seen it," if unseen else ""
    figure, low, high = (_rounded(value * scale) for value in (estimate.value, estimate.low, estimate.high))
    return f"claim {number(claim.value)}; model{blind} {figure} ({low} to {high}) {claim.unit}"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else number(value)


def to_json(found: Verification) -> dict[str, Any]:
    """Return the result as plain JSON types (`chatapp.verify/1`)."""
    verdict = msgspec.to_builtins(found.verdict)
    made = {
        "schema": SCHEMA,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "claim": found.claim,
        "verdict": {**verdict, "confirmed": found.verdict.confirmed, "sentence": found.verdict.sentence},
        "metric": found.claim.metric,
        "unit": found.claim.unit,
        "model_says": found.model_says or None,
        "differences": found.differences,
        "remarks": found.remarks,
        "partial": found.partial,
        "simulated": any(sample.info.simulated for sample in found.samples),
        "workload": {
            "name": found.workload.name,
            "title": found.workload.title,
            "source": found.workload.source,
            "input_tokens": found.workload.input_tokens,
            "output_tokens": found.workload.output_tokens,
            "sha256": found.workload.digest,
            "unique_prompts": True,
        },
        "environment": environment(),
        "backends": [
            {
                **msgspec.to_builtins(sample.info),
                "name": sample.name,
                "simulated": sample.info.simulated,
                "requests": len(sample.figures),
                "succeeded": len(sample.good),
                "summary": summarize_figures(sample.good),
            }
            for sample in found.samples
        ],
        "responses": [
            {"backend": sample.name, "run": run, **figures.to_json()}
            for sample in found.samples
            for run, figures in enumerate(sample.figures, start=1)
        ],
    }
    builtins: dict[str, Any] = msgspec.to_builtins(made)
    return builtins


def to_lines(found: Verification) -> list[str]:
    """Return the result for a terminal."""
    claim, verdict = found.claim, found.verdict
    lines = [
        claim.statement,
        f"claimed   {number(claim.value)} {claim.unit} ({claim.measured_by}, {claim.date})",
        f"{'simulated' if verdict.outcome == 'model only' else 'measured '} {_measured_line(found)}",
    ]
    if found.model_says:
        lines.append(f"model     {found.model_says}")
    lines += ["", verdict.sentence]
    if verdict.more_runs is not None:
        lines.append(f"about {verdict.more_runs} more runs would decide, if they spread as these did")
    lines += [f"note: {line}" for line in found.remarks]
    lines += ["", "what differs from the claim's method, or is not known of it:", f"  its method: {claim.method}"]
    lines += [f"  {line}" for line in found.differences]
    lines += [f"source    {claim.source}"]
    return lines


def _measured_line(found: Verification) -> str:
    verdict, claim = found.verdict, found.claim
    who = " against ".join(
        sample.info.label + ("" if sample.info.kind == "live" else f" [{sample.info.kind}]") for sample in found.samples
    )
    if verdict.median is None:
        return f"nothing: no whole answer had this figure ({who})"
    interval = (
        "no interval"
        if verdict.ci95 is None
        else f"95 % interval {number(verdict.ci95[0])} to {number(verdict.ci95[1])}"
    )
    band = f"agrees between {number(verdict.low)} and {number(verdict.high)}"
    return f"{number(verdict.median)} {claim.unit}, {interval}, n = {verdict.n} ({who}); {band}"
