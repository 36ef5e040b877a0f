"""`chatapp recording`: look into a recording, check its seal, take secrets out, give it to other tools."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import click

from chatapp.cli.output import check_output, write_output

TARGETS = ("cast", "svg", "gif", "html", "csv", "json")


@click.group()
def recording() -> None:
    """Inspect, verify, redact or export a recording."""


@recording.command()
@click.argument("file")
@click.option("--json", "json_file", metavar="FILE", help="Write it as JSON; - is stdout.")
@click.option("--force", is_flag=True, help="Read a file that was changed after it was sealed.")
def info(file: str, json_file: str | None, force: bool) -> None:
    """Say what is in FILE: where it comes from, its answers and their figures, its chapters."""
    from chatapp.recording.export import summarize
    from chatapp.recording.reader import Recording

    check_output(json_file)
    with Recording.open(file, force=force) as opened:
        summary = summarize(opened)
    if json_file is not None:
        write_output(json_file, json_text(summary))
    else:
        for line in summary_lines(summary):
            click.echo(line)


@recording.command()
@click.argument("file")
def verify(file: str) -> int:
    """Check that FILE is whole: every line readable, its seal in place and true. Exit code 1 where it is not."""
    from chatapp.errors import FileFormatError
    from chatapp.recording.answers import read_entries
    from chatapp.recording.reader import Recording
    from chatapp.text.sanitize import sanitize_line

    try:
        with Recording.open(file, force=True) as opened:
            lines = sum(1 for _ in read_entries(opened))
    except FileFormatError as exc:
        if not Path(file).is_file():
            raise
        click.echo(sanitize_line(exc.message), err=True)
        return 1
    for warning in opened.warnings:
        click.echo(f"{sanitize_line(file)}: {sanitize_line(warning)}", err=True)
    if opened.seal != "sealed":
        return 1
    click.echo(f"{sanitize_line(file)}: sealed and unchanged: {opened.events} events, {lines} of them of answers")
    return 0


@recording.command()
@click.argument("file")
@click.option("--output", required=True, metavar="FILE", help="Where the copy goes; never overwritten.")
@click.option("--pattern", "patterns", multiple=True, metavar="REGEX", help="Also take out what matches this.")
@click.option("--secret", "secrets", multiple=True, metavar="VARIABLE", help="Also the value of this variable.")
@click.option("--force", is_flag=True, help="Read a file that was changed after it was sealed.")
def redact(file: str, output: str, patterns: tuple[str, ...], secrets: tuple[str, ...], force: bool) -> None:
    """Write a copy of FILE without secrets, every interval kept, sealed anew."""
    import os

    from chatapp.config import load_settings
    from chatapp.errors import UsageError
    from chatapp.recording.reader import Recording
    from chatapp.recording.rewriting import redact_recording
    from chatapp.redaction import REDACTOR

    redactor = REDACTOR.with_patterns([*load_settings().redaction, *map(_pattern, patterns)])
    for variable in secrets:
        if variable not in os.environ:
            raise UsageError(f"{variable} is not set", hint="name the variable that holds the secret, not its value")
        redactor.add(variable, os.environ[variable])
    with Recording.open(file, force=force) as opened:
        hits = redact_recording(opened, Path(output), redactor)
    click.echo(f"{output}: {hits} redactions")


@recording.command()
@click.argument("file")
@click.option("--to", "target", type=click.Choice(TARGETS), required=True, help="The format.")
@click.option("--output", default="-", metavar="FILE", help="Where it goes; - is stdout.")
@click.option("--size", default="100x30", show_default=True, metavar="COLSxROWS", help="Of the screen that is shown.")
@click.option("--speed", default="1", show_default=True, metavar="X", help="Of what is shown.")
@click.option("--v3", is_flag=True, help="asciicast version 3 instead of 2.")
@click.option("--force", is_flag=True, help="Read a file that was changed after it was sealed.")
def export(file: str, target: str, output: str, size: str, speed: str, v3: bool, force: bool) -> None:
    """Write FILE for other tools: arrivals as csv or json, the screen as cast, svg, gif or html."""
    from chatapp.recording.export import export_json, write_csv
    from chatapp.recording.reader import Recording

    check_output(output)
    with Recording.open(file, force=force) as opened:
        if target == "json":
            write_output(output, json_text(export_json(opened)))
        elif target == "csv":
            table = StringIO()
            write_csv(opened, table)
            write_output(output, table.getvalue())
        else:
            from chatapp.cli.casting import export_screen
            from chatapp.cli.quantities import parse_size, parse_speed

            export_screen(opened, target, output, size=parse_size(size), speed=parse_speed(speed), v3=v3)


def _pattern(text: str) -> Any:
    import re

    from chatapp.errors import UsageError

    try:
        return re.compile(text)
    except re.error as exc:
        raise UsageError(f"--pattern {text!r} is not a regular expression: {exc}") from None


def json_text(document: dict[str, Any]) -> str:
    """Return a JSON document as text, ending with a newline."""
    import json

    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Return a recording's summary as lines for a person."""
    from chatapp.text.sanitize import sanitize_line

    about = summary["recording"]
    seal = {"sealed": "sealed and unchanged", "unsealed": "not sealed", "broken": "CHANGED AFTER IT WAS SEALED"}
    lines = [
        sanitize_line(f"{about['file']}: {about['title'] or 'untitled'}"),
        sanitize_line(
            f"recorded {about['created'] or 'at an unknown time'}, {about['duration_s']:.1f} s, "
            f"{about['events']} events, {seal[about['seal']]}"
        ),
    ]
    if about["redacted"]:
        lines.append(f"{about['redacted']} secrets were taken out")
    lines += [sanitize_line(f"warning: {warning}") for warning in about["warnings"]]
    lines += [sanitize_line(f"chapter at {c['at_s']:.1f} s: {c['label']}") for c in about["chapters"]]
    for response in summary["responses"]:
        lines.append(sanitize_line(f"{response['number']}. {response['label']}: {response['prompt']}", limit=100))
        lines.append("   " + sanitize_line(figures_line(response)))
    return lines


def figures_line(figures: dict[str, Any]) -> str:
    """Return one answer's figures as one line."""

    def shown(key: str, unit: str, digits: int) -> str:
        value = figures[key]
        return f"{value:.{digits}f} {unit}" if value is not None else "-"

    mark = "~" if figures["token_count_source"] == "estimate" else ""
    parts = [
        f"TTFT {shown('ttft_ms', 'ms', 1)}",
        f"{shown('output_speed_tps', 'tok/s', 1)}",
        f"E2E {shown('e2e_ms', 'ms', 0)}",
        f"{mark}{figures['output_tokens']} tokens out",
        figures["outcome"] or "cut short",
    ]
    if figures["simulated"]:
        parts.append("simulated")
    return "  ".join(parts)
