"""Predicted against measured, for every row, in the open.

Every prediction is computed when asked for, from the stored parameters; nothing here is a stored figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chatapp.hardware.facts import FactBook, load_facts
from chatapp.hardware.holdout import held_out
from chatapp.hardware.measurements import Measurement, Unmapped, load_measurements
from chatapp.hardware.parameters import KINDS, ParameterFile, load_parameters
from chatapp.hardware.quantities import WIDTH_OF, predicted

Use = Literal["fitted", "held out", "claim", "faulty", "unseen"]
"""What a row was used for. `unseen`: from a file the user gave."""

CAVEAT = (
    "The parameters have not seen the held-out rows; the people who chose the form of the model had all published rows "
    "in view. Only a file given with --against is wholly new to it."
)

WIDTH = 0.90
"""Nominal coverage of every interval."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measurement and the model's figure for it."""

    row: Measurement
    use: Use
    predicted: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Predicted over measured, less 1."""
        return self.predicted / self.row.value - 1

    @property
    def covered(self) -> bool:
        """Whether the measured value lies in the interval."""
        return self.low <= self.row.value <= self.high


@dataclass(frozen=True, slots=True)
class Summary:
    """How good the predictions of some rows are."""

    n: int
    median_error: float
    """Median of |predicted / measured - 1|."""
    p90_error: float
    coverage: float
    """Share of rows in their 90 % interval."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The whole comparison."""

    comparisons: tuple[Comparison, ...]
    unmapped: tuple[Unmapped, ...]
    parameters: ParameterFile

    def of(self, use: Use, *, family: str | None = None, kind: str | None = None) -> list[Comparison]:
        """Return the rows of one use; of one family, or one kind of figure (speed, ttft, throughput), where asked."""
        return [
            c
            for c in self.comparisons
            if c.use == use and family in (None, c.row.setup.system.family) and kind in (None, WIDTH_OF[c.row.kind])
        ]


def summarize(comparisons: Iterable[Comparison]) -> Summary | None:
    """Return the summary of some rows, or None of none."""
    rows = list(comparisons)
    if not rows:
        return None
    errors = sorted(abs(c.error) for c in rows)
    middle = len(errors) // 2
    median = errors[middle] if len(errors) % 2 else (errors[middle - 1] + errors[middle]) / 2
    return Summary(
        n=len(errors),
        median_error=median,
        p90_error=errors[min(len(errors) - 1, math.ceil(0.9 * len(errors)) - 1)],
        coverage=sum(c.covered for c in rows) / len(errors),
    )


def calibrate(against: Path | None = None, facts: FactBook | None = None) -> Calibration:
    """Compare the model with the shipped measurements, or with those of a file.

    Raises:
        FileFormatError: the file is no list of measurements.
    """
    facts = facts or load_facts()
    parameters = load_parameters()
    rows, unmapped = load_measurements(facts, against)
    held = held_out(rows) if against is None else set()
    network_s = facts.section("assumptions").number("network_round_trip")
    comparisons = tuple(_compare(row, _use(row, held, against), parameters, network_s) for row in rows)
    return Calibration(comparisons, tuple(unmapped), parameters)


def _use(row: Measurement, held: set[str], against: Path | None) -> Use:
    if row.claim:
        return "claim"
    if row.faulty:
        return "faulty"
    if against is not None:
        return "unseen"
    return "held out" if row.id in held else "fitted"


def _compare(row: Measurement, use: Use, parameters: ParameterFile, network_s: float) -> Comparison:
    family = parameters.families[row.setup.system.family]
    value = predicted(row, family, network_s)
    factor = math.exp(family.half_width[WIDTH_OF[row.kind]])
    return Comparison(row, use, value, value / factor, value * factor)


def as_json(calibration: Calibration) -> dict[str, Any]:
    """Return the report of `chatapp hardware calibration --json`."""
    uses: tuple[Use, ...] = ("fitted", "held out", "unseen", "claim", "faulty")
    return {
        "schema": "chatapp.hardware/1",
        "rule": calibration.parameters.rule,
        "fitted": calibration.parameters.fitted,
        "caveat": CAVEAT,
        "interval": WIDTH,
        "measurements": [_row_json(c) for c in calibration.comparisons],
        "unmapped": [{"id": u.id, "reason": u.reason, "line": u.line} for u in calibration.unmapped],
        "summary": {use.replace(" ", "_"): _summary_json(summarize(calibration.of(use))) for use in uses},
        "kinds": {
            kind: {use.replace(" ", "_"): _summary_json(summarize(calibration.of(use, kind=kind))) for use in uses[:3]}
            for kind in KINDS
        },
        "families": {
            family: {
                "parameters": p.values,
                "fitted": _summary_json(summarize(calibration.of("fitted", family=family))),
                "held_out": _summary_json(summarize(calibration.of("held out", family=family))),
            }
            for family, p in calibration.parameters.families.items()
        },
    }


def _summary_json(summary: Summary | None) -> dict[str, float] | None:
    if summary is None:
        return None
    return {
        "n": summary.n,
        "median_error": summary.median_error,
        "p90_error": summary.p90_error,
        "coverage": summary.coverage,
    }


def _row_json(c: Comparison) -> dict[str, Any]:
    row = c.row
    return {
        "id": row.id,
        "predicted": c.predicted,
        "measured": row.value,
        "unit": row.unit,
        "held_out": c.use == "held out",
        "source": row.source,
        "use": c.use,
        "claim": row.claim or None,
        "metric": row.metric,
        "error": c.error,
        "low": c.low,
        "high": c.high,
        "system": row.setup.system.name,
        "model": row.setup.model.name,
        "chips": row.setup.chips,
        "precision": row.setup.precision.name,
        "batch": row.workload.batch,
        "input_tokens": row.workload.input_tokens,
        "output_tokens": row.workload.output_tokens,
        "tokens_per_step": row.workload.tokens_per_step,
        "family": row.setup.system.family,
        "date": row.date,
        "measured_by": row.measured_by,
        "mapping": row.mapping or row.faulty,
    }
