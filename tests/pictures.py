"""Make the README's pictures from the real app: the real gateway, the simulated systems, real time.

    python tests/pictures.py FOLDER [--only chat] [--size 120x36] [--theme chatapp-dark]

writes one SVG for each scene. Figures in the pictures are those of this run; nothing is drawn by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from chatapp.cli.opening import open_session, start_link
from chatapp.config import Settings
from chatapp.ui.app import ChatApp
from chatapp.ui.screens.conversation import ConversationScreen

CS3 = "sim:cs3/kimi-k2.6"
H100 = "sim:h100x16/kimi-k2.6"
PROMPT = "Write a JSON parser in Python from scratch, with good error messages and tests"

Scene = Callable[[Pilot[object]], Awaitable[None]]


def conversation(pilot: Pilot[object]) -> ConversationScreen:
    """Return the chat screen."""
    return next(screen for screen in pilot.app.screen_stack if isinstance(screen, ConversationScreen))


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the screen has no event for every state a picture may want
            await asyncio.sleep(0.02)


async def ask(pilot: Pilot[object], prompt: str, backend: str, *, characters: int | None = None) -> None:
    """Ask, and wait for the end of the answer, or until so much of it is there."""
    screen = conversation(pilot)
    screen.session.backend = backend
    screen.ask(prompt)
    exchange = screen.exchange
    assert exchange is not None
    if characters is None:
        await until(lambda: exchange.answer.outcome is not None)
    else:
        await until(lambda: len(exchange.answer.text) >= characters)
    await pilot.pause(0.2)


async def welcome(pilot: Pilot[object]) -> None:
    """The first screen."""
    await until(lambda: conversation(pilot).session.listings)
    await pilot.pause(0.2)


async def chat(pilot: Pilot[object]) -> None:
    """A fast system in the middle of an answer, a slower one on the scoreboard."""
    await welcome(pilot)
    for backend in (H100, CS3):
        await ask(pilot, "Why is the sky blue?", backend)
    await ask(pilot, PROMPT, CS3, characters=4200)


async def switcher(pilot: Pilot[object]) -> None:
    """What can answer."""
    await welcome(pilot)
    await pilot.press("f2")
    await pilot.pause(0.6)


async def why(pilot: Pilot[object]) -> None:
    """A speed taken apart."""
    await welcome(pilot)
    await ask(pilot, "Why is the sky blue?", CS3)
    await pilot.press("f7")
    await pilot.pause(1.0)


async def compare(pilot: Pilot[object]) -> None:
    """The race of the fourth starter, a moment after the winner's finish."""
    from chatapp.ui.widgets.lane import Lane

    await welcome(pilot)
    await pilot.press("4")
    await until(lambda: any(lane.answer and lane.answer.outcome for lane in pilot.app.screen.query(Lane)))
    await pilot.pause(0.5)


SCENES: dict[str, Scene] = {"welcome": welcome, "chat": chat, "switcher": switcher, "why": why, "compare": compare}


async def take(scene: Scene, size: tuple[int, int], theme: str) -> str:
    """Play a scene in an app of its own and return its picture."""
    settings = dataclasses.replace(Settings(), theme=theme, discover=False)
    link = start_link(None, seed=settings.seed)
    session = open_session(link(), settings, backend=CS3, save=False)
    app = ChatApp(session)
    try:
        async with app.run_test(size=size) as pilot:
            await scene(pilot)
            picture = app.export_screenshot(title="chatapp")
            await conversation(pilot).cancel_answer()
    finally:
        await session.aclose()
        link.stop()
    return picture


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=SCENES, action="append")
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--theme", default="chatapp-dark")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            os.environ[f"CHATAPP_{name}_DIR"] = f"{folder}/{name.lower()}"
        for name in options.only or SCENES:
            path = options.folder / f"{name}.svg"
            path.write_text(asyncio.run(take(SCENES[name], (width, height), options.theme)), encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
