"""The headless half of `chatapp compare`: progress on stderr, a table on stdout, files where they were asked for."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec

from chatapp.bench.cost import FREE, OUTPUT_UNLIMITED
from chatapp.bench.plan import RecordingObserver, price_of, stopping_on_interrupt
from chatapp.bench.request import Observer
from chatapp.bench.workloads import Workload, single_prompt
from chatapp.cli.opening import read_system
from chatapp.cli.output import check_distinct, check_output, check_recording, write_output
from chatapp.compare import report
from chatapp.compare.contest import Contest, Contestant, MeasuredRun, distinct_names
from chatapp.config import Settings
from chatapp.errors import ChatappError, UsageError
from chatapp.redaction import REDACTOR
from chatapp.stream.tokens import count_tokens, load_encoding
from chatapp.text.sanitize import sanitize, sanitize_line
from chatapp.timer import PreciseClock

KINDS = ("json", "csv", "markdown", "html")


def run_headless(settings: Settings, names: list[str], prompt: str, options: dict[str, Any]) -> int:
    """Run a contest and report it; exit code 0 where every backend gave a whole answer, else 1; 130 interrupted.

    Raises:
        UsageError: a backend, an output or a limit that cannot be.
    """
    check_options(options)
    files = {kind: options[f"{kind}_file"] for kind in KINDS}
    for target in files.values():
        check_output(target)
    check_recording(options["record"])
    check_distinct(**files, record=options["record"])
    if options["gateway"] is not None:
        raise UsageError("--gateway is for the screen: without one, requests leave from here", hint="leave it out")
    workload = single_prompt(prompt, output_tokens=options["max_tokens"])
    system = options["system"] if options["system"] is not None else ""
    if system:
        workload = msgspec.structs.replace(workload, instructions=read_system(system))
    contestants = enter(settings, names, options)
    agree_to_cost(contestants, workload, settings, options)
    contest = asyncio.run(carry_out(contestants, workload, options))
    return _write(contest, prompt, options)


def check_options(options: dict[str, Any]) -> None:
    """Refuse numbers that cannot be meant.

    Raises:
        UsageError: one of them is not finite, or too small.
    """
    for name, least in (("timeout", 0.001), ("cooldown", 0.0), ("max_cost", 0.0)):
        value = options.get(name)
        if value is not None and not (math.isfinite(value) and value >= least):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} must be a number of at least {least:g}, not {value:g}")


def enter(settings: Settings, names: list[str], options: dict[str, Any]) -> list[Contestant]:
    """Resolve the backends; those given twice are named apart.

    Raises:
        UsageError: one of them cannot be used.
    """
    from chatapp.backends.registry import resolve

    contestants = []
    for name, distinct in zip(names, distinct_names(names), strict=True):
        own = {"pace": options.get("pace"), "load": options.get("load")} if name.startswith("sim:") else {}
        backend = resolve(name, settings, seed=options.get("seed"), **own)
        label = backend.info.label + distinct.removeprefix(name)
        contestants.append(Contestant(distinct, label, backend, price_of(backend.info, settings)))
    return contestants


def agree_to_cost(
    contestants: list[Contestant], workload: Workload, settings: Settings, options: dict[str, Any]
) -> None:
    """Say what paid backends may cost and get consent: a stated limit, `--yes`, or a word on the terminal.

    Raises:
        UsageError: the estimate exceeds `--max-cost`, its price is unknown, or nobody is there to agree.
    """
    paid = [c for c in contestants if c.price != FREE]
    if not paid:
        return
    requests = options["runs"] + options["warmup"]
    costs = [estimate_usd(c, workload, requests) for c in paid]
    total = sum(cost for cost in costs if cost is not None)
    unknown = None in costs
    said = "an unknown cost" if unknown and not total else f"about ${total:.2f}" + (" and an unknown part" * unknown)
    assumed = "" if workload.output_tokens else f" ({OUTPUT_UNLIMITED:,} output tokens each are assumed)"
    click.echo(f"{len(paid)} paid backends, {requests} requests each: {said}{assumed}", err=True)
    limit = options["max_cost"]
    if limit is not None and (unknown or total > limit):
        raise UsageError(f"--max-cost ${limit:g} cannot be kept: {said}", hint="fewer runs, or --max-tokens")
    small = not unknown and total <= settings.max_cost_usd
    if options["yes"] or small or limit is not None:
        return
    if not sys.stdin.isatty():
        raise UsageError("a run that may cost money needs consent", hint="--yes, or --max-cost USD")
    click.confirm("Go on?", abort=True, err=True)


def estimate_usd(contestant: Contestant, workload: Workload, requests: int) -> float | None:
    """Return what so many requests may cost, in US dollars; None where the price is not known."""
    request = workload.request(0, run="estimate")
    input_tokens = count_tokens(request.prompt) + count_tokens(request.instructions or "")
    return contestant.price.of(input_tokens * requests, (workload.output_tokens or OUTPUT_UNLIMITED) * requests)


async def carry_out(
    contestants: list[Contestant],
    workload: Workload,
    options: dict[str, Any],
    *,
    title: str = "compare",
    budget_tokens: bool = False,
) -> Contest:
    """Run the contest, recording it where that was asked for; Ctrl-C ends it early and keeps what was measured.

    Args:
        contestants: already resolved; their backends are closed at the end.
        workload: what is asked.
        options: of the command line.
        title: of the recording.
        budget_tokens: `max_tokens` bounds the whole contest, instead of each answer.

    Raises:
        UsageError: the recording cannot be created.
    """
    load_encoding()  # before anything is timed
    clock = PreciseClock()
    with ExitStack() as stack:
        stack.callback(clock.close)
        observer: Observer | None = None
        if options["record"]:
            from chatapp.recording.writer import Recorder

            path = Path(options["record"])
            recorder = stack.enter_context(Recorder.open(path, title=title, on_problem=_problem))
            observer = RecordingObserver(recorder)
        contest = Contest(
            contestants,
            workload,
            clock,
            timeout_s=options["timeout"],
            observer=observer,
            max_usd=options["max_cost"],
            max_tokens=options["max_tokens"] if budget_tokens else None,
        )
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
        click.echo(sanitize_line(REDACTOR.text(f"run {run.number}: {contestant.label}: {figures.error}")), err=True)
        return
    speed = f"{figures.output_speed_tps:,.0f} tok/s" if figures.output_speed_tps else "no speed"
    first = f"TTFT {figures.ttft_ms:,.0f} ms" if figures.ttft_ms is not None else "no TTFT"
    click.echo(sanitize_line(f"run {run.number}: {contestant.label}: {speed}, {first}"), err=True)


def _problem(line: str) -> None:
    click.echo(sanitize_line(line), err=True)


def _write(contest: Contest, prompt: str, options: dict[str, Any]) -> int:
    """Print the table, then write the files: what was measured is seen even where a disk is full."""
    files = {kind: options[f"{kind}_file"] for kind in KINDS}
    click.echo(sanitize(REDACTOR.text(report.to_text(contest))), err="-" in files.values())
    made: dict[str, Any] = {}
    if files["json"] or files["html"]:
        made = REDACTOR.value(report.to_json(contest, prompt))
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
        return 130 if contest.stop.is_set() else 1
    return 0 if all(c.good and len(c.good) == len(c.runs) for c in contest.contestants) else 1
