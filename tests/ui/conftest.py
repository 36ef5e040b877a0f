from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from chatapp.client.saver import Saver
from chatapp.client.session import Session
from chatapp.config import Settings
from chatapp.errors import GatewayError
from chatapp.ui.app import ChatApp
from tests.ui.scripted import ScriptedConnection, ScriptedLink, StandingClock, paced

TEXT = "A short answer, told in a few words, with **one** of them strong."


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads or writes the folders of whoever runs it."""
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    for name in ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def make_session(tmp_path, clock):
    """Return a session over a scripted connection; `session.link.connections` are at hand for questions."""
    sessions: list[Session] = []

    def make(
        scripts: Sequence | None = None,
        *,
        backend: str = "sim:cs3/kimi-k2.6",
        hold: bool = False,
        connections: list[ScriptedConnection | GatewayError] | None = None,
        **settings,
    ) -> Session:
        if scripts is None:
            scripts = [paced(TEXT, start_ns=clock.now, ttft_ms=420, tps=980)]
        link = ScriptedLink(connections or [ScriptedConnection(list(scripts), clock, hold=hold)])
        session = Session(
            link,
            backend=backend,
            saver=Saver(tmp_path / "data" / "conversations.db"),
            settings=dataclasses.replace(Settings(), **settings),
            clock=clock,
        )
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.saver.close()


@pytest.fixture
def make_app(make_session) -> Callable[..., ChatApp]:
    def make(*args, **kwargs) -> ChatApp:
        return ChatApp(make_session(*args, **kwargs))

    return make
