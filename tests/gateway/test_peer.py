"""How many calls of the kernel frames cost, and that none overtakes another. What comes in is in the fault tests."""

from __future__ import annotations

import asyncio
import time

import pytest

from chatapp.gateway.peer import BURST_AFTER, BURST_NS, Limits, Peer, text_header
from tests.gateway.raw import OPENING, request


class Line:
    """A transport that keeps what is written."""

    def __init__(self):
        self.writes = []
        self.closed = False
        self.ended = False

    def write(self, data):
        self.writes.append(bytes(data))

    def is_closing(self):
        return self.closed

    def set_write_buffer_limits(self, high):
        pass

    def get_write_buffer_size(self):
        return 0

    def get_extra_info(self, _name):
        return None

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.ended = True


class Owner:
    def requested(self, peer, request):
        return None

    def opened(self, peer):
        pass

    def received(self, peer, message):
        pass

    def roomy(self, peer):
        pass

    def lost(self, peer):
        pass


@pytest.fixture
async def opened(monkeypatch):
    """An open peer, its line, and its clock."""
    clock = [1_000_000_000_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock[0])
    peer, line = Peer(Owner(), Limits()), Line()
    peer.connection_made(line)
    peer.data_received(request("/v1/responses", OPENING))
    await asyncio.sleep(0)
    assert peer.is_open
    clock[0] += BURST_NS
    peer.send([b"first"])
    clock[0] += BURST_NS
    line.writes.clear()
    return peer, line, clock


async def flooded(peer, line):
    """Bring a peer to where the next frame is held until the turn's end."""
    for _ in range(BURST_AFTER + 2):
        peer.send([b"x"])
    await asyncio.sleep(0)
    line.writes.clear()


def framed(*payloads):
    return b"".join(text_header(len(payload)) + payload for payload in payloads)


async def test_the_first_frames_are_written_at_once_and_a_flood_of_them_together(opened):
    peer, line, _clock = opened
    frames = [b"%d" % number for number in range(64)]
    for frame in frames:
        peer.send([frame])

    first = BURST_AFTER + 1
    assert line.writes == [framed(frame) for frame in frames[:first]], "the head of an answer waits for nothing"
    assert peer.buffered == len(framed(*frames[first:]))
    await asyncio.sleep(0)
    assert line.writes[first:] == [framed(*frames[first:])]
    assert peer.buffered == 0

    for frame in frames:
        peer.send([frame])
    await asyncio.sleep(0)
    assert line.writes[first + 1 :] == [framed(*frames)], "it goes on"


async def test_frames_of_a_readers_pace_never_wait(opened):
    peer, line, clock = opened
    for payload in (b"a", b"b", b"c"):
        peer.send([payload])
        clock[0] += BURST_NS

    assert line.writes == [framed(b"a"), framed(b"b"), framed(b"c")]


async def test_a_later_frame_does_not_overtake_a_burst(opened):
    peer, line, clock = opened
    await flooded(peer, line)
    peer.send([b"a"])
    peer.send([b"b"])
    clock[0] += BURST_NS
    peer.send([b"c"])
    await asyncio.sleep(0)

    assert b"".join(line.writes) == framed(b"a", b"b", b"c")


async def test_a_close_goes_behind_the_burst_and_nothing_behind_the_close(opened):
    peer, line, _clock = opened
    await flooded(peer, line)
    peer.send([b"a"])
    peer.send([b"b"])
    peer.close(1000, "done")
    peer.send([b"c"])
    peer.eof_received()
    await asyncio.sleep(0)

    sent = b"".join(line.writes)
    assert sent.startswith(framed(b"a", b"b"))
    assert sent.removeprefix(framed(b"a", b"b")) == b"\x88\x06\x03\xe8done"
    assert line.ended


async def test_a_burst_whose_client_is_gone_is_let_go(opened):
    peer, line, _clock = opened
    await flooded(peer, line)
    peer.send([b"a"])
    peer.send([b"b"])
    line.closed = True
    await asyncio.sleep(0)

    assert line.writes == []
