"""`chatapp replay`: a recorded run again, with its exact timing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from chatapp.recording.reader import Recording


@click.command()
@click.argument("file")
@click.option("--speed", default="1", show_default=True, metavar="X|max", help="2 is twice as fast; max does not wait.")
@click.option("--idle-limit", type=click.FloatRange(min=0.0), metavar="S", help="Shorten longer pauses to S seconds.")
@click.option(
    "--as", "repace", metavar="sim:SYSTEM/MODEL", help="Beside it, the same text as fast as a system would be."
)
@click.option("--headless", is_flag=True, help="No screen: recompute the figures and print them.")
@click.option("--json", "json_file", metavar="FILE", help="Write the figures as JSON; - is stdout. Implies --headless.")
@click.option("--force", is_flag=True, help="Read a file that was changed after it was sealed.")
def replay(
    file: str,
    speed: str,
    idle_limit: float | None,
    repace: str | None,
    headless: bool,
    json_file: str | None,
    force: bool,
) -> int:
    """Show the run that is recorded in FILE, as it was."""
    from chatapp.cli.quantities import parse_speed
    from chatapp.recording.reader import Recording

    factor = parse_speed(speed)
    with Recording.open(file, force=force) as recording:
        if repace is not None:
            with _repaced(recording, repace) as both:
                return _show(both, factor, idle_limit, headless=headless, json_file=json_file)
        return _show(recording, factor, idle_limit, headless=headless, json_file=json_file)


def _show(
    recording: Recording, speed: float | None, idle_limit: float | None, *, headless: bool, json_file: str | None
) -> int:
    from chatapp.cli.output import check_output, write_output
    from chatapp.cli.recording import json_text, summary_lines

    if headless or json_file is not None:
        from chatapp.recording.export import summarize

        check_output(json_file)
        summary = summarize(recording)
        if json_file is not None:
            write_output(json_file, json_text(summary))
        if json_file != "-":
            for line in summary_lines(summary):
                click.echo(line)
        return 0
    from chatapp.cli.stage import run_replay

    return run_replay(recording, speed=speed, idle_limit_s=idle_limit)


def _repaced(recording: Recording, name: str) -> Recording:
    import asyncio

    from chatapp.backends.simulated import open_simulated
    from chatapp.config import load_settings
    from chatapp.errors import UsageError
    from chatapp.recording.repacing import ScheduleClock, repace

    if not name.startswith("sim:"):
        raise UsageError(f"--as takes a simulated system, not {name!r}", hint="for example --as sim:cs3/kimi-k2.6")
    clock = ScheduleClock()
    backend = open_simulated(name, load_settings(), clock=clock)
    return asyncio.run(repace(recording, backend.info, backend.stream, clock))
