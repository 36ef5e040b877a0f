"""A scripted server with a backend for it, and short words for what came of asking."""

from __future__ import annotations

import contextlib
from contextlib import aclosing

from chatapp.backends.openai_chat import ChatBackend
from chatapp.backends.openai_chat import ChatServer as Where
from chatapp.backends.patience import Patience
from chatapp.clock import NS_PER_S, VirtualClock
from chatapp.stream.events import (
    BackendInfo,
    Delta,
    Message,
    Request,
)
from tests.integration.chat_server import (
    ChatServer,
)

INFO = BackendInfo("test/test-model", "Test", "live", "Test", "test-model")
ASK = Request((Message("user", "Hi"),))
CALM = Patience(connect_s=10.0, first_s=20.0, idle_s=20.0)
"""Longer than a loaded machine ever takes: what ends by itself must not end by a timeout."""
HASTE = Patience(connect_s=10.0, first_s=0.3, idle_s=0.3)
"""For servers that never come to an end."""


class CountingClock(VirtualClock):
    """A virtual clock that notes each wait and is there at once."""

    def __init__(self):
        super().__init__()
        self.waits_s = []

    async def sleep_until(self, deadline_ns):
        self.waits_s.append((deadline_ns - self.now_ns()) / NS_PER_S)


@contextlib.asynccontextmanager
async def asking(*replies, patience=CALM, clock=None, models=("test-model",), **where):
    """Yield a server with these replies, and a backend for it."""
    async with ChatServer(*replies, models=models) as server:
        backend = ChatBackend(INFO, Where(server.base_url, **where), patience=patience, clock=clock or CountingClock())
        try:
            yield server, backend
        finally:
            await backend.aclose()


async def collect(backend, request=ASK):
    async with aclosing(backend.stream(request)) as events:
        return [event async for event in events]


async def events_of(*replies, request=ASK, **options):
    async with asking(*replies, **options) as (_server, backend):
        return await collect(backend, request)


def text(events, channel="answer"):
    return "".join(e.text for e in events if isinstance(e, Delta) and e.channel == channel)


def kinds(events):
    return [type(e).__name__ for e in events]
