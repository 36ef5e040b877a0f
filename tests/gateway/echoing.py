"""The gateway's socket layer with an echo behind it: what a conformance suite wants to talk to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from chatapp.gateway.peer import Limits, Peer
from chatapp.gateway.window import Window

UNLIMITED = Limits(message_bytes=64 << 20, burst=1 << 40, message_s=120, deadline_s=120, ping_s=120)


class NoQuestions(Window):
    """A window that never asks: the suite compares every frame, pings included."""

    fresh = False

    def sent(self, size):
        return False


class Echo:
    """An owner that sends every message back."""

    def requested(self, peer, request):
        return None

    def opened(self, peer):
        peer.window = NoQuestions()

    def received(self, peer, message):
        if isinstance(message, str):
            peer.send([message.encode()])
        else:
            peer._wire.send_binary(message)
            peer._write_out()

    def roomy(self, peer):
        pass

    def lost(self, peer):
        pass


@asynccontextmanager
async def echoing(limits=UNLIMITED):
    """A listener that echoes; yields its URL."""
    owner = Echo()
    server = await asyncio.get_running_loop().create_server(lambda: Peer(owner, limits), "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
