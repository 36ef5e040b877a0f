"""What `chatapp hardware` prints and writes: the same figures as text and as JSON (schema chatapp.hardware/1)."""

from __future__ import annotations

import datetime
from typing import Any

from chatapp.errors import UsageError
from chatapp.hardware.calibration import CAVEAT, Calibration, Comparison, Summary, Use, summarize
from chatapp.hardware.explain import Explanation, text_lines
from chatapp.hardware.facts import Fact, FactBook, Record
from chatapp.hardware.measurements import Measurement
from chatapp.hardware.memory import kv_bytes_per_token, weight_bytes
from chatapp.hardware.models import read_model
from chatapp.hardware.parameters import KINDS
from chatapp.hardware.predict import Estimate, Prediction, predict
from chatapp.hardware.small_or_fast import Tradeoff
from chatapp.hardware.systems import read_system
from chatapp.hardware.tables import bars, si, table

SCHEMA = "chatapp.hardware/1"
STALE = "† holds facts older than 180 days; --json gives the date of each"


def estimate_json(estimate: Estimate) -> dict[str, float]:
    """Return a figure with its interval."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def fact_json(fact: Fact, today: datetime.date) -> dict[str, Any]:
    """Return a fact with everything that is known of it, and whether it is stale."""
    found: dict[str, Any] = {
        "value": fact.value,
        "unit": fact.unit,
        "source": fact.source,
        "date": fact.date,
        "confidence": fact.confidence,
        "stale": fact.stale(today),
    }
    if fact.note:
        found["note"] = fact.note
    if fact.low is not None:
        found |= {"low": fact.low, "high": fact.high}
    return found


def _facts_json(record: Record, today: datetime.date) -> dict[str, Any]:
    return {key: fact_json(fact, today) for key, fact in record.facts.items()}


def systems_json(facts: FactBook, model: str, today: datetime.date) -> dict[str, Any]:
    """Return all systems with their facts, and what each makes of one model."""
    speeds = {p.setup.system.name: p for p in _speeds(facts, model)}
    systems = []
    for name, record in facts.systems.items():
        system = read_system(record)
        row = {"name": name, "label": system.label, "family": system.family, "facts": _facts_json(record, today)}
        if name in speeds:
            p = speeds[name]
            row["prediction"] = {"model": p.setup.model.name, "chips": p.setup.chips, "speed": estimate_json(p.speed)}
        systems.append(row)
    return {"schema": SCHEMA, "systems": systems}


def systems_lines(facts: FactBook, model: str, today: datetime.date) -> list[str]:
    """Return the table of systems, and a chart of one model's speed on each."""
    rows = []
    for name, record in facts.systems.items():
        system = read_system(record)
        old = any(fact.stale(today) for fact in record.facts.values())
        rows.append(
            [
                name,
                system.label + (f" {record.plain['variant']}" if "variant" in record.plain else ""),
                system.family,
                si(system.memory_bytes, "B"),
                si(system.memory_bandwidth, "B/s"),
                si(system.peak[16], "FLOP/s"),
                f"{system.power:,.0f} W" if system.power else "–",
                "†" if old else "",
            ]
        )
    lines = table(["name", "system", "family", "memory", "bandwidth", "16-bit", "power", ""], rows, right=(3, 4, 5, 6))
    return [*lines, "", STALE, "", *speed_chart(facts, model)]


def _speeds(facts: FactBook, model: str) -> list[Prediction]:
    found = []
    facts.model(model)  # an unknown model is an error, one that does not fit some system is not
    for name in facts.systems:
        try:
            found.append(predict(name, model, input_tokens=500, output_tokens=500, facts=facts))
        except UsageError:
            continue
    return sorted(found, key=lambda p: -p.speed.value)


def speed_chart(facts: FactBook, model: str) -> list[str]:
    """Return a chart of tok/s by system, each with the smallest number of chips that holds the model."""
    predictions = _speeds(facts, model)
    if not predictions:
        return [f"no system here holds {model}"]
    label = predictions[0].setup.model.label
    rows = [
        (
            f"{p.setup.chips:>5,} × {p.setup.system.label}",
            p.speed.value,
            f"{p.speed.value:>5,.0f}  ({p.speed.low:,.0f} to {p.speed.high:,.0f})",
        )
        for p in predictions
    ]
    return [f"{label}, one user, output tok/s (90 % interval); as many chips as hold it", *bars(rows)]


def models_json(facts: FactBook, today: datetime.date) -> dict[str, Any]:
    """Return all models with their facts and what follows from them."""
    models = []
    for name, record in facts.models.items():
        model = read_model(record)
        form = model.precision()
        models.append(
            {
                "name": name,
                "label": model.label,
                "kind": model.kind,
                "thinks": model.thinks,
                "precision": form.name,
                "total_params": model.total_params,
                "active_params": model.active_params,
                "weight_bytes": weight_bytes(model, form),
                "kv_bytes_per_token": kv_bytes_per_token(model, form),
                "context": model.context,
                "facts": _facts_json(record, today),
            }
        )
    return {"schema": SCHEMA, "models": models}


def models_lines(facts: FactBook, today: datetime.date) -> list[str]:
    """Return the table of models."""
    rows = []
    for name, record in facts.models.items():
        model = read_model(record)
        form = model.precision()
        rows.append(
            [
                name,
                model.kind,
                form.name,
                f"{model.total_params / 1e9:,.1f} B",
                f"{model.active_params / 1e9:,.1f} B",
                si(weight_bytes(model, form), "B"),
                f"{kv_bytes_per_token(model, form) / 1e3:,.0f} kB",
                f"{model.context:,}",
                "†" if any(fact.stale(today) for fact in record.facts.values()) else "",
            ]
        )
    head = ["name", "kind", "precision", "params", "active", "weights", "cache/token", "window", ""]
    return [*table(head, rows, right=(3, 4, 5, 6, 7)), "", STALE]


def prediction_json(explanation: Explanation) -> dict[str, Any]:
    """Return a prediction with its terms, interval, limit and claims."""
    p = explanation.prediction
    name, share = p.dominating
    return {
        "schema": SCHEMA,
        "system": p.setup.system.name,
        "model": p.setup.model.name,
        "chips": p.setup.chips,
        "chips_given": p.counted,
        "precision": p.setup.precision.name,
        "input_tokens": p.workload.input_tokens,
        "output_tokens": p.workload.output_tokens,
        "batch": p.workload.batch,
        "running": p.timing.running,
        "tokens_per_step": p.timing.tokens_per_step,
        "output_speed_tps": estimate_json(p.speed),
        "ttft_s": estimate_json(p.ttft),
        "throughput_tps": estimate_json(p.throughput),
        "tpot_ms": p.timing.tpot_s * 1e3,
        "e2e_s": p.e2e_s,
        "interval": 0.9,
        "physical_limit_tps": p.limit_tps,
        "dominating": {"term": name, "share": share},
        "token_terms": [_term_json(term) for term in explanation.token],
        "first_token_terms": [_term_json(term) for term in explanation.first],
        "changes": [{"change": change.change, "factor": change.factor} for change in explanation.changes],
        "memory": {
            "weight_bytes": p.fit.weight_bytes,
            "kv_bytes": p.fit.kv_bytes,
            "usable_bytes": p.fit.usable_bytes,
            "smallest_chips": p.fit.smallest,
        },
        "claims": [_claim_json(row) for row in p.claims],
        "assumptions": list(explanation.assumptions),
    }


def _claim_json(row: Measurement) -> dict[str, Any]:
    return {"claim": row.claim, "metric": row.metric, "value": row.value, "unit": row.unit, "date": row.date}


def _term_json(term: Any) -> dict[str, Any]:
    return {
        "term": term.name,
        "seconds": term.seconds,
        "share": term.share,
        "meaning": term.meaning,
        "formula": term.formula,
        "source": term.source,
    }


def prediction_lines(explanation: Explanation) -> list[str]:
    """Return the readable breakdown of a prediction."""
    p = explanation.prediction
    lines = text_lines(explanation)
    users = f"{p.workload.batch} users" if p.workload.batch > 1 else "one user"
    lines.insert(1, f"{p.workload.input_tokens:,} tokens in, {p.workload.output_tokens:,} out, {users}")
    lines.insert(2, p.fit.explanation + ("" if p.counted else ", and is taken"))
    if p.workload.batch > 1:
        lines.insert(4, f"all users together: {p.throughput.value:,.0f} tok/s; {p.timing.running} run at once")
    lines += ["", "Stated assumptions", *(f"  {line}" for line in explanation.assumptions)]
    return lines


def calibration_lines(calibration: Calibration, *, given: bool) -> list[str]:
    """Return the calibration report: every row, then what they come to."""
    uses: tuple[Use, ...] = ("unseen", "claim", "faulty") if given else ("fitted", "held out", "claim", "faulty")
    out: list[str] = []
    for use in uses:
        rows = calibration.of(use)
        if rows:
            out += [_TITLES[use], *_comparison_table(rows), ""]
    if calibration.unmapped:
        out += ["Rows that the model cannot be asked about"]
        out += [f"  {row.id} (line {row.line}): {row.reason}" for row in calibration.unmapped] + [""]
    out += _summary_lines(calibration, uses[:1] if given else uses[:2])
    if not given:
        out += ["", "Rule: " + calibration.parameters.rule, CAVEAT]
    return out


_TITLES: dict[Use, str] = {
    "fitted": "Fitted",
    "held out": "Held out: the model has not seen these",
    "unseen": "From the file: the model has not seen these",
    "claim": "Claims: never fitted, never counted",
    "faulty": "Rows that their own source does not trust: shown, neither fitted nor counted",
}


def _comparison_table(rows: list[Comparison]) -> list[str]:
    head = ["id", "system", "model", "users", "in/out", "metric", "measured", "predicted", "90 % interval", "error", ""]
    cells = [
        [
            c.row.id,
            f"{c.row.setup.system.name}x{c.row.setup.chips}",
            f"{c.row.setup.model.name} {c.row.setup.precision.name}",
            str(c.row.workload.batch),
            f"{c.row.workload.input_tokens}/{c.row.workload.output_tokens}",
            c.row.metric,
            _figure(c.row.value),
            _figure(c.predicted),
            f"{_figure(c.low)} – {_figure(c.high)}",
            f"{c.error:+.0%}",
            c.row.claim or ("" if c.covered else "outside"),
        ]
        for c in sorted(rows, key=lambda c: (c.row.setup.system.family, c.row.id))
    ]
    return table(head, cells, right=(3, 4, 6, 7, 9))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _summary_lines(calibration: Calibration, uses: tuple[Use, ...]) -> list[str]:
    cells = []
    for use in uses:
        cells.append(["all", use, *_summary_cells(summarize(calibration.of(use)))])
        groups = {kind: calibration.of(use, kind=kind) for kind in KINDS}
        groups |= {family: calibration.of(use, family=family) for family in calibration.parameters.families}
        cells += [[name, use, *_summary_cells(summarize(rows))] for name, rows in groups.items() if rows]
    head = ["of", "rows", "n", "median error", "90th percentile", "in 90 % interval"]
    return table(head, cells, right=(2, 3, 4, 5))


def _summary_cells(summary: Summary | None) -> list[str]:
    if summary is None:
        return ["0", "–", "–", "–"]
    return [
        str(summary.n),
        f"{summary.median_error:.1%}",
        f"{summary.p90_error:.0%}",
        f"{summary.coverage:.0%}",
    ]


def tradeoff_lines(tradeoff: Tradeoff, today: datetime.date) -> list[str]:
    """Return the comparison of small against fast."""
    cells = []
    for row in tradeoff.rows:
        p = row.prediction
        cells.append(
            [
                p.setup.model.label,
                "the bar for size" if row.bar else row.kind,
                f"{row.billions:,.0f} B",
                f"{p.setup.chips} × {p.setup.system.label}",
                f"{p.speed.value:,.0f}",
                f"{p.speed.low:,.0f} – {p.speed.high:,.0f}",
                *(score.shown(today) for score in row.scores),
                row.price.shown(today) if row.price else "–",
            ]
        )
    scores = [score.benchmark for score in tradeoff.rows[0].scores]
    head = ["model", "kind", "params", "on", "tok/s", "interval", *scores, "USD / M output tokens"]
    lines = table(head, cells, right=(2, 4, 6, 7))
    return [*lines, "", tradeoff.legend, "", *tradeoff.about_stacks(today)]


def tradeoff_json(tradeoff: Tradeoff, today: datetime.date) -> dict[str, Any]:
    """Return the comparison of small against fast."""
    return {
        "schema": SCHEMA,
        "small_or_fast": [
            {
                "model": row.prediction.setup.model.name,
                "kind": row.kind,
                "bar": row.bar,
                "total_params": row.prediction.setup.model.total_params,
                "system": row.prediction.setup.system.name,
                "chips": row.prediction.setup.chips,
                "output_speed_tps": estimate_json(row.prediction.speed),
                "scores": {s.benchmark: fact_json(s.fact, today) if s.fact else None for s in row.scores},
                "price": {"usd_per_m_output": row.price.usd, "provider": row.price.provider, "date": row.price.date}
                if row.price
                else None,
            }
            for row in tradeoff.rows
        ],
        "stacks": [fact_json(fact, today) for fact in tradeoff.stacks],
    }
