"""How much may be on its way to one client, so that what is said last is not heard late.

TCP bounds nothing here: the kernels of both ends hold megabytes for a reader that is slow (3.8 MiB on loopback before
a send waits, measured), and a cancel or an error stands behind all of it. What a client has really read is known only
by asking it, and every WebSocket library answers one question by itself, in order: a ping. So bytes count as delivered
when the pong of a ping behind them has come, and what may be undelivered follows from how long pongs take, as in
TCP Vegas: while they come promptly the limit doubles, when they come late by more than `TARGET_NS` it shrinks to what
the client read in that time. The same pong, when it does not come at all, tells that a client has stalled or is gone.
"""

from __future__ import annotations

TARGET_NS = 50_000_000
"""How late, beyond the path's own time, what is sent now may be read."""

FIRST = 4 * 1024
LEAST = 512
MOST = 64 * 1024
QUANTUM = 8 * 1024
"""Bytes after which a ping is sent even where the window is far from full: one in two seconds of a usual stream."""


class Window:
    """The bytes on their way to one client, and their limit."""

    def __init__(self, *, target_ns: int = TARGET_NS, first: int = FIRST, least: int = LEAST, most: int = MOST) -> None:
        self.limit = first
        self._target_ns = target_ns
        self._least = least
        self._most = most
        self._sent = 0
        self._delivered = 0
        self._pinged_at_ns: int | None = None
        self._mark = 0
        """Bytes sent before the ping that is on its way."""
        self._on_way = 0
        """Bytes undelivered when it was sent, the client's work until it answers."""
        self._number = 0
        self._base_ns: int | None = None
        """The shortest time a pong has taken: the path's own."""

    @property
    def fresh(self) -> bool:
        """Whether nothing was asked yet: the first ping goes before the first bytes, to learn the path's own time."""
        return self._number == 0

    @property
    def undelivered(self) -> int:
        """Bytes sent whose reading has not been confirmed."""
        return self._sent - self._delivered

    @property
    def room(self) -> int:
        """Bytes that may be sent now; at most 0 where the window is closed."""
        return self.limit - self.undelivered

    @property
    def waiting_since_ns(self) -> int | None:
        """When the oldest question was put that the client has not answered; None where it owes no answer."""
        return self._pinged_at_ns

    def sent(self, size: int) -> bool:
        """Note that bytes were sent; return whether a ping should follow them."""
        self._sent += size
        if self._pinged_at_ns is not None:
            return False
        return self.undelivered >= min(QUANTUM, self.limit // 2)

    def ping(self, now_ns: int) -> bytes:
        """Return the payload of a ping that is being sent."""
        self._pinged_at_ns = now_ns
        self._mark = self._sent
        self._on_way = self.undelivered
        self._number += 1
        return self._number.to_bytes(4, "big")

    def pong(self, payload: bytes | bytearray | memoryview, now_ns: int) -> bool:
        """Note a pong; return whether more should be asked now. One that answers no question of ours is ignored."""
        asked_ns = self._pinged_at_ns
        if asked_ns is None or bytes(payload) != self._number.to_bytes(4, "big"):
            return False
        self._pinged_at_ns = None
        self._delivered = self._mark
        took_ns = now_ns - asked_ns
        self._base_ns = took_ns if self._base_ns is None else min(self._base_ns, took_ns)
        late_ns = took_ns - self._base_ns
        if late_ns > self._target_ns:
            self.limit = max(self._least, self._on_way * (self._base_ns + self._target_ns) // took_ns)
        elif self._on_way * 2 >= self.limit:  # the limit was felt: only then is there reason to raise it
            self.limit = min(self._most, self.limit * 2)
        return self.undelivered >= min(QUANTUM, self.limit // 2)
