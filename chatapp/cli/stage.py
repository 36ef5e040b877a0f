"""Opening the app for what is shown rather than asked: replays and demos."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatapp.client.link import Link, Speaker
    from chatapp.client.session import Session
    from chatapp.clock import Clock
    from chatapp.config import Settings
    from chatapp.demo.runner import Report, Runner
    from chatapp.demo.script import Script
    from chatapp.recording.reader import Recording
    from chatapp.ui.stage import AppStage


class NoLink:
    """The way to no gateway: a replay asks nobody."""

    async def connect(self) -> Speaker:
        """Refuse.

        Raises:
            GatewayError: always.
        """
        from chatapp.errors import GatewayError

        raise GatewayError("a replay asks no backend")

    async def aclose(self) -> None:
        """Hold nothing open, so release nothing."""


def open_session(link: Link, settings: Settings, *, backend: str = "", clock: Clock | None = None) -> Session:
    """Return a session that saves nothing."""
    from chatapp.client.saver import Saver
    from chatapp.client.session import Session
    from chatapp.config import data_folder

    saver = Saver(data_folder() / "conversations.db", enabled=False)
    return Session(link, backend=backend, saver=saver, settings=settings, clock=clock)


def run_replay(recording: Recording, *, speed: float | None, idle_limit_s: float | None) -> int:
    """Show a recording on the screen until the viewer leaves."""
    from chatapp.cli.opening import require_terminal, run_app
    from chatapp.config import load_settings
    from chatapp.recording.player import Player
    from chatapp.ui.screens.replay import open_replay

    require_terminal()
    session = open_session(NoLink(), load_settings())
    return run_app(session, lambda _session: open_replay(Player(recording, speed=speed, idle_limit_s=idle_limit_s)))


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Keep drafts, prompt history and logs of a demo in a folder that is deleted with it."""
    before = os.environ.get("CHATAPP_STATE_DIR")
    with tempfile.TemporaryDirectory(prefix="chatapp-demo-") as folder:
        os.environ["CHATAPP_STATE_DIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["CHATAPP_STATE_DIR"]
            else:
                os.environ["CHATAPP_STATE_DIR"] = before


def play_script(script: Script, *, hands: bool, loop: bool, idle_reset_s: float | None) -> int:
    """Play a demo on the terminal until the presenter leaves."""
    import asyncio

    from chatapp.cli.opening import require_terminal, start_link
    from chatapp.clock import MonotonicClock
    from chatapp.config import load_settings
    from chatapp.demo.requirements import check_requirements
    from chatapp.demo.runner import Runner
    from chatapp.demo.watch import Watch, WatchedLink

    require_terminal()
    settings = load_settings()
    check_requirements(script, settings)
    with nothing_kept():
        link = start_link(None, seed=settings.seed)

        async def run() -> int:
            from chatapp.ui.presenter import PresenterApp

            clock = MonotonicClock()
            session = open_session(link(), settings, backend=first_backend(script), clock=clock)
            watch = Watch(clock, info=session.info)
            session.link = WatchedLink(session.link, watch)

            def make_runner(stage: AppStage) -> Runner:
                return Runner(script, stage, watch, clock, live=True, hands=hands)

            app = PresenterApp(session, make_runner=make_runner, loop=loop, idle_reset_s=idle_reset_s)
            try:
                await app.run_async(mouse=settings.mouse)
            finally:
                await session.aclose()
            return app.return_code or 0

        return asyncio.run(run())


async def check_script(script: Script, *, size: tuple[int, int] | None = None, update: bool = False) -> Report:
    """Run a demo on a virtual clock, on the real screens, without a terminal.

    Args:
        script: what to run.
        size: columns and rows; None takes the script's.
        update: write the script's pictures instead of comparing them.

    Raises:
        ChatappError: something the script requires is not there.
    """
    from chatapp.clock import VirtualClock
    from chatapp.config import Settings
    from chatapp.demo.inprocess import InProcessLink
    from chatapp.demo.requirements import check_requirements
    from chatapp.demo.runner import Runner
    from chatapp.demo.watch import Watch, WatchedLink
    from chatapp.ui.presenter import PresenterApp

    settings = Settings(following="smooth")  # what is shown must not depend on where it is checked
    check_requirements(script, settings)
    clock = VirtualClock(10**12, autojump=True, settle=6)
    session = open_session(InProcessLink(settings, clock=clock), settings, backend=first_backend(script), clock=clock)
    watch = Watch(clock, info=session.info)
    session.link = WatchedLink(session.link, watch)
    app = PresenterApp(session)
    own = (script.pace.cols, script.pace.rows)
    with nothing_kept():
        async with app.run_test(size=size or own):
            goldens = size is None or size == own
            runner = Runner(script, app.stage, watch, clock, live=False, goldens=goldens, update=update)
            report = await runner.run()
            await app.stage.reset()
            runner.close_recordings()
        await session.aclose()
    return report


def first_backend(script: Script) -> str:
    """Return the first backend that a script names, so that the first screen shows what it is about."""
    from chatapp.cli.opening import NEUTRAL_DEFAULT
    from chatapp.demo.script import Backend, Compare

    for step in script.steps:
        if isinstance(step, Backend):
            return step.name
        if isinstance(step, Compare):
            return step.backends[0]
    return NEUTRAL_DEFAULT
