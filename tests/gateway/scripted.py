"""Backends that do what a test tells them, and a gateway in front of them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

from chatapp.errors import UnknownNameError
from chatapp.gateway.access import Access
from chatapp.gateway.server import Gateway
from chatapp.protocol.responses import PATH, ModelListing
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Sent, Usage

TOKEN = Secret("test token", "token-of-the-tests-0123456789")
HEADERS = {"Authorization": f"Bearer {TOKEN.reveal()}"}


class ScriptedBackend:
    """Yields what `script(request)` yields; counts how often it was closed early."""

    def __init__(self, script, name="scripted", kind="live"):
        self.info = BackendInfo(name, name.title(), kind, "Tests", name)
        self.script = script
        self.requests = []
        self.closed_early = 0
        self.closed_at = None
        self.running = 0

    async def stream(self, request):
        self.requests.append(request)
        self.running += 1
        ended = False
        try:
            async for event in self.script(request):
                ended = isinstance(event, (Finished, Failed))
                yield event
        finally:
            self.running -= 1
            if not ended:
                self.closed_early += 1
                self.closed_at = time.monotonic()

    async def warm(self):
        pass

    async def aclose(self):
        pass


def now():
    return time.monotonic_ns()


async def echo(request):
    """Say how many messages came and what the last one was, word by word, with reasoning where asked for."""
    yield Sent(now(), source="process")
    if "think" in request.prompt:
        yield Delta("let me ", now(), "reasoning", 2)
        yield Delta("think", now(), "reasoning", 1)
    for word in (f"{len(request.messages)} ", "messages: ", request.prompt):
        yield Delta(word, now(), tokens=1)
        await asyncio.sleep(0)
    yield Usage(10, 3, 0, 0)
    yield Finished(now(), "stop", {"request_id": "req_1"})


async def endless(request):
    """Write for ever."""
    yield Sent(now())
    while True:
        yield Delta("word ", now(), tokens=1)
        await asyncio.sleep(0.001)


async def silent(request):
    """Never say anything."""
    yield Sent(now())
    await asyncio.Event().wait()
    yield Finished(now())


@asynccontextmanager
async def serving(*backends, tokens=None, loopback=True, origins=(), tls=None, resolve=None, **options):
    """A gateway on loopback; yields (gateway, websocket URL)."""
    known = {backend.info.name: backend for backend in backends}

    def resolve_known(name):
        if name not in known:
            raise UnknownNameError("backend", name, known)
        return known[name]

    async def models():
        return [ModelListing(id=name, label=b.info.label, kind=b.info.kind) for name, b in known.items()]

    access = Access(tokens or TOKEN.reveal(), loopback=loopback, origins=origins)
    gateway = Gateway(resolve or resolve_known, models, access, **options)
    await gateway.listen("127.0.0.1", 0, tls=tls)
    try:
        yield gateway, f"ws://127.0.0.1:{gateway.port}{PATH}"
    finally:
        await gateway.aclose()


async def until(condition, *, limit_s=5.0):
    """Wait for what another task or the network brings about; fail after `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)
