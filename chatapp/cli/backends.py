"""`chatapp backends`: what can be asked, what is missing, and whether it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from chatapp.backends.registry import Listing
    from chatapp.backends.trial import Trial


@click.group()
def backends() -> None:
    """List the backends and what they need; check one."""


@backends.command("list")
@click.option("--json", "json_file", metavar="FILE", help="Write the list as JSON; - is stdout.")
def list_command(json_file: str | None) -> None:
    """List all backends: ready, or what is missing. Servers on this machine are looked for on their default ports."""
    import asyncio

    from chatapp.backends.discovery import discover
    from chatapp.backends.registry import listings
    from chatapp.cli.output import check_output, write_output
    from chatapp.config import load_settings

    check_output(json_file)
    settings = load_settings()
    found = listings(settings)
    found[1:1] = asyncio.run(discover(settings))
    if json_file is not None:
        import msgspec

        document = {"schema": "chatapp.backends/1", "backends": [msgspec.to_builtins(entry) for entry in found]}
        write_output(json_file, msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    if json_file != "-":
        click.echo("\n".join(_table(found)))


def _table(found: list[Listing]) -> list[str]:
    from chatapp.text.sanitize import sanitize_line

    width = max(len(entry.name) for entry in found)
    lines: list[str] = []
    group = ""
    for entry in sorted(found, key=lambda e: [g.group for g in found].index(e.group)):
        if entry.group != group:
            group = entry.group
            lines += ["", group] if lines else [group]
        state = "ready" if entry.ready else entry.why_not
        price = "" if entry.input_usd is None else f"  ${entry.input_usd:g} in, ${entry.output_usd:g} out per M tokens"
        lines.append(sanitize_line(f"  {entry.name:<{width}}  {state}{price if entry.ready else ''}"))
    lines += ["", "Any other model of a provider can be named: PROVIDER/MODEL.  chatapp backends check NAME tries one."]
    return lines


@backends.command()
@click.argument("name", required=False)
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server that is not in the list.")
@click.option("--model", metavar="ID", help="Its model.")
@click.option("--json", "json_file", metavar="FILE", help="Write the figures as JSON; - is stdout.")
def check(name: str | None, base_url: str | None, model: str | None, json_file: str | None) -> int:
    """Ask NAME (default: the default backend) one tiny question and show the figures, or what failed."""
    from chatapp.backends.registry import default_name, resolve
    from chatapp.cli.output import check_output, write_output
    from chatapp.config import load_settings

    check_output(json_file)
    settings = load_settings()
    chosen = name or ("" if base_url else default_name(settings))
    trial = _try(resolve(chosen, settings, base_url=base_url, model=model))
    if json_file is not None:
        import msgspec

        document = {"schema": "chatapp.check/1", **msgspec.to_builtins(trial)}
        write_output(json_file, msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    if json_file != "-":
        click.echo("\n".join(report(trial)))
    return 0 if trial.ok else 1


def _try(backend: object) -> Trial:
    import asyncio
    from typing import cast

    from chatapp.backends.base import Backend
    from chatapp.backends.trial import try_backend

    async def run() -> Trial:
        try:
            return await try_backend(cast("Backend", backend))
        finally:
            await cast("Backend", backend).aclose()

    return asyncio.run(run())


def report(trial: Trial) -> list[str]:
    """Return a trial as lines: what was measured, or which step failed and what to do."""
    from chatapp.text.sanitize import sanitize_line

    lines = [f"{trial.name}: {'answers' if trial.ok else 'does not answer as it should'}"]
    figures = trial.figures
    if figures is not None:
        connect = ", ".join(f"{phase} {ms:.1f} ms" for phase, ms in figures.connect_ms.items())
        lines.append(f"  ready after     {trial.ready_s:.2f} s (connection, key, model; outside every figure)")
        if figures.simulated:
            lines.append(
                "  simulated       timing from a model, text from the bundled library; nothing was asked of a machine"
            )
        else:
            lines.append(
                f"  connection      {'kept from before' if figures.connection_reused else connect or 'unknown'}"
            )
        lines += [
            f"  TTFT            {_figure(figures.ttft_ms, '.2f', 'ms')}",
            f"  output speed    {_figure(figures.output_speed_tps, '.1f', 'tok/s')}",
            f"  E2E             {_figure(figures.e2e_ms, '.1f', 'ms')}",
            f"  tokens          {figures.input_tokens or '-'} in, {figures.output_tokens or '-'} out"
            f" ({figures.token_count_source})",
            f"  arrival times   {figures.arrival_source}",
        ]
        if figures.server_timing is not None and figures.server_timing.decode_tps is not None:
            lines.append(f"  server says     {figures.server_timing.decode_tps:.1f} tok/s")
        lines += [f"  note            {warning}" for warning in figures.warnings]
    if trial.text:
        lines.append(f"  it said         {' '.join(trial.text.split())[:80]}")
    if trial.failure is not None:
        lines.append(f"  failed          {trial.failure.message} [{trial.failure.code}, step: {trial.failed_step}]")
        lines += [f"  what to do      {trial.failure.hint}"] if trial.failure.hint else []
    elif not trial.ok and figures is not None:
        lines.append(f"  failed          the answer ended as {figures.outcome or 'nothing'}")
    return [sanitize_line(line) for line in lines]


def _figure(value: float | None, form: str, unit: str) -> str:
    return "-" if value is None else f"{value:{form}} {unit}"
