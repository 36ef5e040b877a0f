"""What chat, compare, replay and demo share: the gateway on its way, a session over it, the app on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from chatapp.config import Settings, config_folder, data_folder, prompt_files
from chatapp.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from textual.screen import Screen

    from chatapp.client.connection import Connection
    from chatapp.client.link import Link
    from chatapp.client.session import Session
    from chatapp.gateway.process import ChildGateway

GATEWAY_TOKEN = "CHATAPP_GATEWAY_TOKEN"
"""The variable that holds the token of a gateway given by `--gateway`."""

NEUTRAL_DEFAULT = "sim:cs3/kimi-k2.6"
"""What answers where nothing is configured and the extra `local` is not installed: needs neither keys nor network."""


class ChildLink:
    """Connects to a gateway of our own, and starts it again when it has ended."""

    def __init__(self, child: ChildGateway) -> None:
        self.child = child

    async def connect(self) -> Connection:
        """Return a connection to the running child."""
        from chatapp.client.link import open_connection

        endpoint = await self.child.ready()
        again = "the next prompt starts the gateway again"
        return await open_connection(endpoint.url, endpoint.token, when_lost=again)

    async def aclose(self) -> None:
        """End the child."""
        self.child.stop()


class StartingLink:
    """A gateway on its way. Called, it gives the link; `stop` ends a gateway of ours that is not needed after all."""

    def __init__(self, *, child: ChildGateway | None = None, url: str = "") -> None:
        self._child = child
        self._url = url

    def __call__(self) -> Link:
        """Return the link, once everything is imported."""
        if self._child is not None:
            return ChildLink(self._child)
        from chatapp.client.link import FixedLink
        from chatapp.redaction import Secret

        token = os.environ.get(GATEWAY_TOKEN)
        return FixedLink(self._url, Secret(GATEWAY_TOKEN, token) if token else None)

    def stop(self) -> None:
        """End a gateway of ours. Idempotent."""
        if self._child is not None:
            self._child.stop()


def start_link(
    gateway: str | None,
    *,
    own: dict[str, dict[str, str]] | None = None,
    pace: str | None = None,
    load: int | None = None,
    seed: int | None = None,
) -> StartingLink:
    """Begin to start a gateway.

    The child's start and the import of the screen take about as long as each other, so they run side by side.

    Args:
        gateway: the address of a running one; none is started then.
        own: backends given on the command line by URL: name to `{base_url, model}`.
        pace: where `sim:` takes its pace from.
        load: concurrent users that a simulated system serves.
        seed: of simulated timing.
    """
    if gateway is not None:
        return StartingLink(url=gateway)
    from chatapp.gateway.process import ChildGateway, ChildOptions

    child = ChildGateway(ChildOptions(own=own or {}, pace=pace, load=load, seed=seed))
    child.spawn()
    return StartingLink(child=child)


def default_backend(settings: Settings) -> str:
    """Return what answers at first: the configured backend, else `local` where it is installed, else a simulation.

    A key in the environment never changes it: nothing that costs money is chosen for anybody.
    """
    if settings.backend:
        return settings.backend
    from chatapp.backends.local import why_not

    return NEUTRAL_DEFAULT if why_not() else "local"


def read_system(name: str) -> str:
    """Return a system prompt by name; empty for an empty name.

    Raises:
        UnknownNameError: there is none of that name.
        FileFormatError: the file cannot be read, or its front matter is broken.
    """
    if not name:
        return ""
    files = {path.stem: path for path in prompt_files("systems", "*.md")}
    if name not in files:
        raise UnknownNameError("system prompt", name, files, hint=f"your own: {config_folder() / 'prompts/systems'}")
    from chatapp.promptfile import read_prompt_file

    return read_prompt_file(files[name]).text.strip()


def open_session(
    link: Link, settings: Settings, *, backend: str, system: str = "", save: bool | None = None
) -> Session:
    """Return a session that saves in the data folder, if the settings or `save` say so."""
    from chatapp.client.saver import Saver
    from chatapp.client.session import Session

    saver = Saver(data_folder() / "conversations.db", enabled=settings.save if save is None else save)
    return Session(link, backend=backend, saver=saver, settings=settings, instructions=read_system(system))


def require_terminal() -> None:
    """Refuse to open a screen where there is none.

    Raises:
        UsageError: input or output is no terminal, and no browser either.
    """
    if os.environ.get("TEXTUAL_DRIVER"):
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "no terminal to show the chat on", hint="use --plain --prompt TEXT, or --plain --prompt - to read a pipe"
        )
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise UsageError("this terminal (TERM=dumb) cannot show the chat", hint="use --plain")


def run_app(session: Session, first: Callable[[Session], Screen[None]] | None = None) -> int:
    """Show the app until it is left, close everything, and return the exit code.

    Raises:
        Exception: whatever ended the app, for the command line to report as it reports everything else.
    """
    import asyncio

    from chatapp.ui.app import ChatApp

    app = ChatApp(session, first=first)

    async def run() -> None:
        try:
            await app.run_async(mouse=session.settings.mouse)
        finally:
            await session.aclose()

    asyncio.run(run())
    if app.crash is not None:
        session.saver.close()
        raise app.crash
    if not session.saver.close() and session.saver.problem:
        print(f"chatapp: {session.saver.problem}", file=sys.stderr)
        return 1
    return app.return_code or 0
