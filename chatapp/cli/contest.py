"""The headless half of `chatapp compare`: progress on stderr, a table on stdout, files where they were asked for."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from chatapp.bench.cost import FREE
from chatapp.bench.plan import RecordingObserver, price_of, stopping_on_interrupt
from chatapp.bench.workloads import Workload, single_prompt
from chatapp.cli.output import check_output, write_output
from chatapp.compare import report
from chatapp.compare.contest import Contest, Contestant, MeasuredRun, distinct_names
from chatapp.config import Settings
from chatapp.errors import ChatappError, UsageError
from chatapp.redaction import REDACTOR
from chatapp.stream.tokens import count_tokens, load_encoding
from chatapp.text.sanitize import sanitize, sanitize_line
from chatapp.timer import PreciseClock


def run_headless(settings: Settings, names: list[str], prompt: str, options: dict[str, Any]) -> int:
    """Run a contest and report it; exit code 0 where every backend gave a whole answer, else 1; 130 interrupted.

    Raises:
        UsageError: a backend, an output or a limit that cannot be.
    """
    for kind in ("json", "csv", "markdown", "html"):
        check_output(options[f"{kind}_file"])
    workload = single_prompt(prompt, output_tokens=options["max_tokens"])
    contestants = enter(settings, names, options)
    agree_to_cost(contestants, workload, prompt, settings, options)
    contest = asyncio.run(_carry_out(contestants, workload, options))
    return _write(contest, prompt, options)


def enter(settings: Settings, names: list[str], options: dict[str, Any]) -> list[Contestant]:
    """Resolve the backends.

    Raises:
        UsageError: one of them cannot be used.
    """
    from chatapp.backends.registry import resolve

    contestants = []
    for name, distinct in zip(names, distinct_names(names), strict=True):
        chosen = {key: options.get(key) for key in ("seed", "load")}
        pace = options.get("pace") if name.startswith("sim:") else None
        backend = resolve(name, settings, pace=pace, **chosen)
        label = backend.info.label + distinct.removeprefix(name)
        contestants.append(Contestant(distinct, label, backend, price_of(backend.info, settings)))
    return contestants


def agree_to_cost(
    contestants: list[Contestant], workload: Workload, prompt: str, settings: Settings, options: dict[str, Any]
) -> None:
    """Say what paid backends may cost and get consent.

    Raises:
        UsageError: the estimate exceeds `--max-cost`, its price is unknown, or nobody is there to agree.
    """
    paid = [c for c in contestants if c.price != FREE]
    if not paid:
        return
    requests = options["runs"] + options["warmup"]
    input_tokens = count_tokens(prompt) * requests
    output_tokens = (workload.output_tokens or 2000) * requests
    costs = [c.price.of(input_tokens, output_tokens) for c in paid]
    total = sum(cost for cost in costs if cost is not None)
    unknown = None in costs
    said = (
        "unknown cost" if unknown and not total else f"about ${total:.2f}" + (" and an unknown part" if unknown else "")
    )
    click.echo(f"{len(paid)} paid backends, {requests} requests each: {said}", err=True)
    limit = options["max_cost"]
    if limit is not None and (unknown or total > limit):
        raise UsageError(f"--max-cost ${limit:g} cannot be kept: {said}", hint="fewer runs, or --max-tokens")
    small = not unknown and total <= settings.max_cost_usd
    if options["yes"] or small or limit is not None:
        return
    if not sys.stdin.isatty():
        raise UsageError("a run that may cost money needs consent", hint="--yes, or --max-cost USD")
    click.confirm("Go on?", abort=True, err=True)


async def _carry_out(contestants: list[Contestant], workload: Workload, options: dict[str, Any]) -> Contest:
    load_encoding()  # before anything is timed
    clock = PreciseClock()
    with ExitStack() as stack:
        stack.callback(clock.close)
        observer = None
        if options["record"]:
            from chatapp.recording.writer import Recorder

            path = Path(options["record"])
            recorder = stack.enter_context(Recorder.open(path, title="compare", on_problem=_problem))
            observer = RecordingObserver(recorder)
        contest = Contest(contestants, workload, clock, timeout_s=options["timeout"], observer=observer)
        stack.enter_context(stopping_on_interrupt(contest.stop))
        try:
            await contest.run(
                options["runs"], warmup=options["warmup"], cooldown_s=options["cooldown"], on_run=_progress
            )
        finally:
            await asyncio.gather(*(c.backend.aclose() for c in contestants), return_exceptions=True)
    return contest


def _progress(contestant: Contestant, run: MeasuredRun) -> None:
    figures = run.figures
    if figures.error is not None:
        click.echo(sanitize_line(f"run {run.number}: {contestant.label}: {figures.error}"), err=True)
        return
    speed = f"{figures.output_speed_tps:,.0f} tok/s" if figures.output_speed_tps else "no speed"
    first = f"TTFT {figures.ttft_ms:,.0f} ms" if figures.ttft_ms is not None else "no TTFT"
    click.echo(sanitize_line(f"run {run.number}: {contestant.label}: {speed}, {first}"), err=True)


def _problem(line: str) -> None:
    click.echo(sanitize_line(line), err=True)


def _write(contest: Contest, prompt: str, options: dict[str, Any]) -> int:
    """Print the table, then write the files: what was measured is seen even where a disk is full."""
    files = {kind: options[f"{kind}_file"] for kind in ("json", "csv", "markdown", "html")}
    click.echo(sanitize(REDACTOR.text(report.to_text(contest))), err="-" in files.values())
    made = REDACTOR.value(report.to_json(contest, prompt)) if files["json"] or files["html"] else None
    problem: ChatappError | None = None
    for kind, target in files.items():
        if target is None:
            continue
        if kind == "json":
            text = msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"
        elif kind == "csv":
            text = REDACTOR.text(report.to_csv(contest))
        elif kind == "markdown":
            text = REDACTOR.text(report.to_markdown(contest, prompt))
        else:
            from chatapp.compare.page import to_html

            text = to_html(made)
        try:
            write_output(target, text)
        except ChatappError as exc:
            problem = exc
    if problem is not None:
        raise problem
    if contest.partial:
        return 130
    return 0 if all(c.good and len(c.good) == len(c.runs) for c in contest.contestants) else 1
