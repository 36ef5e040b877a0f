"""`chatapp bench`: many requests, one report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from chatapp.bench.plan import Plan
    from chatapp.bench.runner import Progress, Run
    from chatapp.config import Settings

DEFAULT_REQUESTS = 10
DEFAULT_WORKLOAD = "short-chat"
BAR_CELLS = 24


@click.command()
@click.option("--backend", metavar="NAME", help="What to measure; chatapp backends list shows the names.")
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server that needs no entry.")
@click.option("--model", metavar="ID", help="The server's name of the model.")
@click.option("--workload", metavar="NAME", help=f"Shape of the requests (default {DEFAULT_WORKLOAD}).")
@click.option("--prompt", metavar="TEXT", help="One prompt instead of a workload; - reads it from stdin.")
@click.option("--requests", type=int, metavar="N", help=f"Measured requests a level (default {DEFAULT_REQUESTS}).")
@click.option("--duration", type=float, metavar="S", help="Begin requests for so many seconds instead.")
@click.option("--concurrency", metavar="N[,N...]", help="Requests at once; several make a sweep.")
@click.option("--rate", type=float, metavar="R", help="Requests a second, whatever is still running.")
@click.option("--arrivals", type=click.Choice(["poisson", "constant"]), default="poisson", show_default=True)
@click.option("--warmup", type=int, metavar="N", default=1, show_default=True, help="Unmeasured requests first.")
@click.option("--cooldown", type=float, metavar="S", default=1.0, show_default=True, help="Pause between levels.")
@click.option("--seed", metavar="TEXT", help="Repeat a run's prompts and arrivals: the `run` of its JSON.")
@click.option("--max-ttft", type=float, metavar="MS", help="Limit for goodput.")
@click.option("--max-tpot", type=float, metavar="MS", help="Limit for goodput.")
@click.option("--max-e2e", type=float, metavar="MS", help="Limit for goodput.")
@click.option("--min-speed", type=float, metavar="TPS", help="Limit for goodput.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON; - is stdout.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write a row for each response; - is stdout.")
@click.option("--record", "record_file", metavar="FILE", help="Keep every arrival in a recording.")
@click.option("--max-cost", type=float, metavar="USD", help="Refuse, or stop, above this cost.")
@click.option("--max-tokens", type=int, metavar="N", help="Refuse, or stop, above so many tokens.")
@click.option(
    "--cluster", metavar="ADDRESS", help="Share the load among a Dask cluster's workers; local:N starts N here."
)
@click.option("--yes", is_flag=True, help="Do not ask before a run that costs money.")
def bench(json_file: str | None, csv_file: str | None, yes: bool, **options: Any) -> int:
    """Measure a backend: latency, speed, and how sure the figures are."""
    import asyncio

    from chatapp.bench.plan import carry_out
    from chatapp.cli.output import check_distinct, check_output, check_recording
    from chatapp.config import load_settings

    for name in (json_file, csv_file):
        check_output(name)
    check_recording(options["record_file"])
    check_distinct(json=json_file, csv=csv_file, record=options["record_file"])
    settings = load_settings()
    plan = make_plan(settings, options)
    agree_to_cost(plan, settings, yes=yes)
    display = Display(plan)
    told: dict[str, Any] = {
        "on_level": display.level,
        "on_progress": display.progress,
        "on_problem": display.problem,
    }
    try:
        if options["cluster"]:
            from chatapp.bench.cluster import Target, carry_out_together

            target = Target(backend=options["backend"] or "", base_url=options["base_url"], model=options["model"])
            runs = asyncio.run(carry_out_together(plan, target, options["cluster"], **told))
        else:
            runs = asyncio.run(carry_out(plan, **told))
    finally:
        display.close()
    return write(plan, runs, json_file=json_file, csv_file=csv_file)


def make_plan(settings: Settings, options: dict[str, Any]) -> Plan:
    """Turn options into a plan.

    Raises:
        UsageError: they contradict each other, or name something unknown.
    """
    import secrets
    from pathlib import Path

    from chatapp.backends.registry import resolve
    from chatapp.bench.cost import Budget
    from chatapp.bench.plan import Plan, price_of
    from chatapp.bench.schedule import Load, parse_concurrency, sweep
    from chatapp.bench.workloads import load_workload, single_prompt
    from chatapp.errors import UsageError
    from chatapp.stream.metrics import Goodput

    if not options["backend"] and not options["base_url"]:
        raise UsageError("nothing to measure", hint="--backend NAME, or --base-url URL --model ID")
    if options["workload"] and options["prompt"]:
        raise UsageError("--workload and --prompt exclude each other")
    if options["requests"] is not None and options["duration"] is not None:
        raise UsageError("--requests and --duration exclude each other")
    for name in ("cooldown", "max_ttft", "max_tpot", "max_e2e", "min_speed", "max_cost", "max_tokens"):
        if options[name] is not None and not options[name] >= 0:  # written so that NaN is refused too
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} must be a number of at least 0, not {options[name]:g}")
    rate = options["rate"]
    concurrencies = parse_concurrency(options["concurrency"] or "1")
    first = Load(
        requests=DEFAULT_REQUESTS if options["requests"] is None and not options["duration"] else options["requests"],
        duration_s=options["duration"],
        # An open load has no limit of its own unless one is asked for.
        concurrency=0 if rate and not options["concurrency"] else concurrencies[0],
        rate=rate,
        arrivals=options["arrivals"],
        warmup=options["warmup"],
    )
    if options["prompt"]:
        workload = single_prompt(sys.stdin.read() if options["prompt"] == "-" else options["prompt"])
    else:
        workload = load_workload(options["workload"] or DEFAULT_WORKLOAD)
    backend = resolve(options["backend"] or "", settings, base_url=options["base_url"], model=options["model"])
    return Plan(
        backend=backend,
        workload=workload,
        loads=sweep(first, concurrencies) if len(concurrencies) > 1 else (first,),
        run_id=options["seed"] or secrets.token_hex(8),
        limits=Goodput(options["max_ttft"], options["max_tpot"], options["max_e2e"], options["min_speed"]),
        budget=Budget(options["max_cost"], options["max_tokens"]),
        price=price_of(backend.info, settings, base_url=options["base_url"]),
        cooldown_s=options["cooldown"],
        record=Path(options["record_file"]) if options["record_file"] else None,
    )


def agree_to_cost(plan: Plan, settings: Settings, *, yes: bool) -> None:
    """Say what a paid run may cost and get consent: a limit that was stated, `--yes`, or a word on the terminal.

    Raises:
        UsageError: the estimate exceeds a stated limit, or nobody is there to agree.
    """
    from chatapp.bench.cost import FREE, check, estimate
    from chatapp.errors import UsageError
    from chatapp.stream.tokens import count_tokens

    if plan.price == FREE and plan.budget.tokens is None:
        return
    request = plan.workload.request(0, run=plan.run_id)
    input_tokens = count_tokens(request.prompt) + count_tokens(request.instructions or "")
    estimated = estimate(plan.workload, plan.loads, plan.price, input_tokens=input_tokens)
    check(estimated, plan.budget, plan.price)
    if plan.price == FREE:
        return
    click.echo(f"{plan.backend.info.label}: {estimated}", err=True)
    small = estimated.usd is not None and estimated.usd <= settings.max_cost_usd
    if yes or small or plan.budget.usd is not None or plan.budget.tokens is not None:
        return
    if not sys.stdin.isatty():
        raise UsageError("a run that may cost money needs consent", hint="--yes, --max-cost USD or --max-tokens N")
    click.confirm("Go on?", abort=True, err=True)


class Display:
    """Progress on stderr: a line that is rewritten on a terminal, one line a level elsewhere."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._live = sys.stderr.isatty()
        self._shown = False

    def progress(self, progress: Progress | None) -> None:
        """Rewrite the line."""
        if not self._live:
            return
        from chatapp.bench.table import progress_line

        line = progress_line(progress, cells=BAR_CELLS) if progress else "warming up"
        click.echo(f"\r\x1b[2K{line}", err=True, nl=False)
        self._shown = True

    def level(self, run: Run) -> None:
        """Say that a level is over."""
        self.close()
        failed = sum(response.kind_of_error not in (None, "cancelled") for response in run.responses)
        click.echo(f"{run.load.label}: {len(run.good)} whole answers, {failed} failed, {run.lasted_s:.1f} s", err=True)

    def problem(self, line: str) -> None:
        """Say why a recording stopped."""
        from chatapp.text.sanitize import sanitize_line

        self.close()
        click.echo(sanitize_line(line), err=True)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._shown = False


def write(plan: Plan, runs: list[Run], *, json_file: str | None, csv_file: str | None) -> int:
    """Print the table, write the files, and return the exit code."""
    import msgspec

    from chatapp.bench.report import assess, to_csv, to_json
    from chatapp.bench.table import plot, table
    from chatapp.cli.output import write_output
    from chatapp.redaction import REDACTOR
    from chatapp.text.sanitize import sanitize, sanitize_line

    levels = [assess(run, plan.limits) for run in runs]
    to_stderr = "-" in (json_file, csv_file)
    info = plan.backend.info
    title = f"{info.label}{f' ({info.note})' if info.note else ''}, {plan.workload.title}"
    click.echo(sanitize_line(title), err=to_stderr)
    click.echo(sanitize(table(levels)), err=to_stderr)
    if len(levels) > 1:
        click.echo(plot(levels), err=to_stderr)
    if json_file:
        cost = plan.price.of(
            sum(r.figures.input_tokens or 0 for run in runs for r in run.responses),
            sum(r.figures.output_tokens or 0 for run in runs for r in run.responses),
        )
        report = to_json(runs, plan.workload, run_id=plan.run_id, limits=plan.limits, cost_usd=cost)
        text = msgspec.json.format(msgspec.json.encode(REDACTOR.value(report)), indent=2).decode()
        write_output(json_file, text + "\n")
    if csv_file:
        write_output(csv_file, REDACTOR.text(to_csv(runs)))
    if any(level.partial == "interrupted" for level in levels):
        return 130
    unusable = any(level.doubt.fitness == "refused" for level in levels)
    return 1 if unusable or not any(level.succeeded for level in levels) else 0
