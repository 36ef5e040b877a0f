"""`chatapp doctor`: look at this installation and say what is missing."""

from __future__ import annotations

import click

MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "problem": ("✗", "red")}


@click.command()
@click.option("--json", "json_file", metavar="FILE", help="Write the findings as JSON; - is stdout.")
def doctor(json_file: str | None) -> int:
    """Look at this installation and say what is missing. Keys are named, never shown."""
    import asyncio

    return asyncio.run(_examine(json_file))


async def _examine(json_file: str | None) -> int:
    import msgspec

    from chatapp.cli.output import check_output, write_output
    from chatapp.doctor import SCHEMA, Check, examine

    check_output(json_file)
    found: list[Check] = []
    group = ""
    async for check in examine():
        found.append(check)
        if json_file == "-":
            continue
        if check.group != group:
            group = check.group
            click.echo(click.style(group, bold=True))
        mark, colour = MARKS[check.status]
        click.echo(f"  {click.style(mark, fg=colour)} {check.name:<22} {check.detail}")
        if check.hint and check.status != "ok":
            click.echo(f"    {'':<22} {click.style(check.hint, dim=True)}")
    problems = sum(check.status == "problem" for check in found)
    if json_file is not None:
        report = {"schema": SCHEMA, "problems": problems, "checks": found}
        write_output(json_file, msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    if json_file != "-":
        click.echo(f"\n{problems} problems" if problems else "\nall well")
    return 1 if problems else 0
