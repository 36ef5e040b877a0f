"""`chatapp hardware`: systems, models, predictions, and how good they are."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from chatapp.cli.output import check_output, write_output

_JSON = click.option("--json", "json_file", metavar="FILE", help="Write it as JSON; - is stdout.")


@click.group()
def hardware() -> None:
    """The sourced hardware model: systems, models, predictions."""


@hardware.command()
@click.option("--model", default="kimi-k2.6", show_default=True, help="The model in the chart of speeds.")
@_JSON
def systems(model: str, json_file: str | None) -> None:
    """List the systems, with a chart of one model's speed on each."""
    from chatapp.hardware import reports
    from chatapp.hardware.facts import load_facts

    check_output(json_file)
    facts = load_facts()
    if json_file is not None:
        _write(json_file, reports.systems_json(facts, model, _today()))
    if json_file != "-":
        _print(reports.systems_lines(facts, model, _today()))


@hardware.command()
@_JSON
def models(json_file: str | None) -> None:
    """List the models and what follows from their shapes."""
    from chatapp.hardware import reports
    from chatapp.hardware.facts import load_facts

    check_output(json_file)
    facts = load_facts()
    if json_file is not None:
        _write(json_file, reports.models_json(facts, _today()))
    if json_file != "-":
        _print(reports.models_lines(facts, _today()))


@hardware.command()
@click.option("--system", required=True, metavar="SYSTEM[xN]", help="E.g. cs3, h100x16; without N the smallest number.")
@click.option("--model", required=True, help="E.g. kimi-k2.6.")
@click.option("--input-tokens", default=1000, show_default=True, help="Length of the prompt.")
@click.option("--output-tokens", default=1000, show_default=True, help="Length of the answer.")
@click.option("--batch", default=1, show_default=True, help="Requests in flight on the system.")
@click.option(
    "--precision", default="", help="Of the weights: bf16, fp8, int8, int4, nvfp4, mxfp4; else the model's own."
)
@click.option("--tokens-per-step", type=float, help="With speculative decoding: mean tokens a step.")
@_JSON
def predict(
    system: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    batch: int,
    precision: str,
    tokens_per_step: float | None,
    json_file: str | None,
) -> None:
    """Predict speed and first token, term by term, with a 90 % interval."""
    from chatapp.hardware import predict as predicting
    from chatapp.hardware import reports
    from chatapp.hardware.explain import explain_prediction

    check_output(json_file)
    prediction = predicting.predict(
        system,
        model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        batch=batch,
        precision=precision,
        tokens_per_step=tokens_per_step,
    )
    explanation = explain_prediction(prediction)
    if json_file is not None:
        _write(json_file, reports.prediction_json(explanation))
    if json_file != "-":
        _print(reports.prediction_lines(explanation))


@hardware.command()
@click.option("--against", metavar="FILE", help="Measurements of your own, in the form of measurements.toml.")
@_JSON
def calibration(against: str | None, json_file: str | None) -> None:
    """Predicted against measured, for every published row: fitted, held out, claims."""
    from chatapp.hardware import reports
    from chatapp.hardware.calibration import as_json, calibrate

    check_output(json_file)
    report = calibrate(Path(against) if against else None)
    if json_file is not None:
        _write(json_file, as_json(report))
    if json_file != "-":
        _print(reports.calibration_lines(report, given=against is not None))


@hardware.command(name="small-or-fast")
@_JSON
def small_or_fast(json_file: str | None) -> None:
    """Smaller models on GPUs against the full one on wafers: speed beside published quality."""
    from chatapp.hardware import reports
    from chatapp.hardware.small_or_fast import tradeoff

    check_output(json_file)
    comparison = tradeoff()
    if json_file is not None:
        _write(json_file, reports.tradeoff_json(comparison, _today()))
    if json_file != "-":
        _print(reports.tradeoff_lines(comparison, _today()))


def _today() -> datetime.date:
    return datetime.datetime.now(tz=datetime.UTC).date()


def _print(lines: list[str]) -> None:
    from chatapp.text.sanitize import sanitize_line

    for line in lines:
        click.echo(sanitize_line(line))


def _write(target: str, value: dict[str, Any]) -> None:
    import json

    write_output(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
