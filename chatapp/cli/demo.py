"""`chatapp demo`: scripted demos, played live or checked on a virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from chatapp.demo.script import Script


@click.group()
def demo() -> None:
    """Play a scripted demo, or check it."""


@demo.command("list")
@click.option("--names", is_flag=True, help="Only the names, one a line.")
def list_demos(names: bool) -> None:
    """List the demos: the shipped ones and yours in CONFIG/prompts/demos."""
    from chatapp.config import prompt_files
    from chatapp.demo.parsing import read_script
    from chatapp.text.sanitize import sanitize_line

    for path in prompt_files("demos", "*.yaml"):
        if names:
            click.echo(sanitize_line(path.stem))
            continue
        script = read_script(path)
        click.echo(sanitize_line(f"{script.name:<28} {script.title}"))
        if script.summary:
            click.echo(f"  {sanitize_line(script.summary)}")


@demo.command()
@click.argument("name")
@click.option("--hands", is_flag=True, help="You type: any key types the next character of the script's text.")
@click.option("--loop", is_flag=True, help="For a booth: begin again after the end, clean each time.")
@click.option(
    "--idle-reset", type=str, metavar="S", help="Begin again where a visitor has left it alone for so long: 120, 2m."
)
def play(name: str, hands: bool, loop: bool, idle_reset: str | None) -> int:
    """Play the demo NAME (or a script's path) with the presenter's keys.

    \b
    space goes on or pauses     . next step       ] [ next, previous chapter
    t by hand, F12 returns      f fallback        + - speed
    h hides the presenter row   r again           q leave
    """  # noqa: D301 - \b keeps click from wrapping the lines
    from chatapp.cli.quantities import parse_seconds
    from chatapp.cli.stage import play_script

    return play_script(find_script(name), hands=hands, loop=loop, idle_reset_s=parse_seconds(idle_reset))


@demo.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--size", metavar="COLSxROWS", help="Another screen than the script's own, for example 80x24.")
@click.option("--update", is_flag=True, help="Write the golden pictures instead of comparing them.")
def check(names: tuple[str, ...], size: str | None, update: bool) -> int:
    """Run demos on a virtual clock, all shipped ones by default, and fail where one is not as its script says."""
    import asyncio
    import time

    from chatapp.cli.quantities import parse_size
    from chatapp.cli.stage import check_script
    from chatapp.config import prompt_files
    from chatapp.text.sanitize import sanitize_line

    wanted = [find_script(name) for name in names or [path.stem for path in prompt_files("demos", "*.yaml")]]
    columns_rows = parse_size(size) if size else None
    failed = 0
    for script in wanted:
        begun = time.monotonic()
        report = asyncio.run(check_script(script, size=columns_rows, update=update))
        took = time.monotonic() - begun
        for miss in report.misses:
            failed += 1
            where = f"{script.path}:{miss.step.place.line}:{miss.step.place.column}"
            click.echo(sanitize_line(f"{where}: {miss.message}"), err=True)
        for golden in report.written:
            click.echo(sanitize_line(f"{script.name}: wrote {golden}"))
        if not report.misses:
            length = report.duration_ns / 1e9
            click.echo(sanitize_line(f"{script.name}: {report.steps} steps, {length:.0f} s in {took:.1f} s"))
    return 1 if failed else 0


def find_script(name: str) -> Script:
    """Return a demo by its name or path.

    Raises:
        UnknownNameError: there is none; offers the nearest.
        FileFormatError: it is broken.
    """
    from chatapp.config import prompt_files
    from chatapp.demo.parsing import read_script
    from chatapp.errors import UnknownNameError

    known = {path.stem: path for path in prompt_files("demos", "*.yaml")}
    if name in known:
        return read_script(known[name])
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return read_script(Path(name).expanduser())
    raise UnknownNameError("demo", name, known, hint="chatapp demo list shows them")
