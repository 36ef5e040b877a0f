"""Opening the app for what is shown rather than asked: replays and demos."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatapp.client.link import Link, Speaker
    from chatapp.client.session import Session
    from chatapp.clock import Clock
    from chatapp.config import Settings
    from chatapp.recording.reader import Recording


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
    import asyncio

    return asyncio.run(_run_replay(recording, speed=speed, idle_limit_s=idle_limit_s))


async def _run_replay(recording: Recording, *, speed: float | None, idle_limit_s: float | None) -> int:
    from chatapp.config import load_settings
    from chatapp.recording.player import Player
    from chatapp.ui.app import ChatApp
    from chatapp.ui.screens.replay import open_replay

    player = Player(recording, speed=speed, idle_limit_s=idle_limit_s)
    screen = open_replay(player)
    session = open_session(NoLink(), load_settings())
    app = ChatApp(session, first=lambda _session: screen)
    await app.run_async(mouse=session.settings.mouse)
    await session.aclose()
    return app.return_code or 0
