"""When bytes arrived: the kernel's receive stamps on CLOCK_MONOTONIC, with what is not known about each.

`SO_TIMESTAMPNS` makes `recvmsg` return the time at which the kernel received the data, whatever this process was doing
then. Three things stand between that stamp and an honest arrival time, and each has its answer here:

* The stamp is CLOCK_REALTIME. It is converted with a pair of clock readings taken at the same read, and discarded
  where it would lie after the read or before the socket was last seen empty: then somebody set the clock.
* Segments that wait in the receive queue are merged and keep only the latest stamp. `TCP_INFO` counts data segments:
  where exactly one came since the socket was last seen empty, the stamp is exact; else the arrivals lie somewhere
  between that moment and the stamp, and that interval is the uncertainty. It is narrowed by how long this thread has
  been awake since it last went to sleep: data that arrived in its sleep would have woken it (see `awake_time`).
* The first segment of a machine's first stamped socket may bear no stamp, since the kernel switches stamping on in the
  background. A socket that is held open keeps it switched on; a missing stamp is answered by the process clock.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from functools import cache
from typing import NamedTuple

from chatapp.backends.awake_time import awake_ns, sleeps
from chatapp.stream.events import ArrivalSource

SO_TIMESTAMPNS = 35
"""Linux, all architectures but sparc and parisc; the `socket` module has no name for it."""

_ANCILLARY_BYTES = 64  # one cmsg header and a struct timespec need 32
_TIMESPEC = struct.Struct("@qq")
_TCP_INFO_BYTES = 160
_BYTES_RECEIVED = struct.Struct("@Q")  # at 128 of struct tcp_info, since Linux 4.1
_DATA_SEGMENTS_IN = struct.Struct("@I")  # at 152, since Linux 4.6


class Segment(NamedTuple):
    """The bytes of one read, and when they arrived."""

    data: bytes
    """Empty: the peer has closed."""
    at_ns: int
    """Arrival of the last of them, CLOCK_MONOTONIC."""
    uncertainty_ns: int = 0
    """The arrival lies between `at_ns - uncertainty_ns` and `at_ns`."""
    source: ArrivalSource = "process"


CLOSE_NS = 20_000
"""Readings of both clocks that lie closer together are taken as one moment."""
MOST_READINGS = 4

FIRST_WAITS = 4
"""Waits after a request before which the awake time is read whenever it was read last: the first text is worth it."""
SAMPLE_NS = 5_000_000
"""How often it is read afterwards: it costs 10 us."""
WAKING_NS = 100_000
"""What the counters of awake time may miss: a sleeping processor is told and wakes before it starts to count. Against
the kernel's stamps up to 44 us were missed in 2,000 waits on a busy virtual machine."""


def supports_kernel_stamps() -> bool:
    """Return whether this OS stamps received TCP data."""
    return sys.platform == "linux"


class ArrivalClock:
    """Reads one TCP socket and stamps what it reads.

    Args:
        sock: connected and non-blocking.
        kernel: ask the kernel for stamps; False for a socket that cannot have them, and to compare in tests.
    """

    def __init__(self, sock: socket.socket, *, kernel: bool = True) -> None:
        self._sock = sock
        self._empty_at_ns = time.monotonic_ns()
        """When the receive queue was last known to be empty: nothing that is read later arrived before."""
        self._last_ns = 0
        """When the last arrival was said to be: bytes of a connection come in order, readings of two clocks may not."""
        self._bytes_read = 0
        self._segments: int | None = 0
        """Data segments received when the queue was last known empty; None where that is not known."""
        self._stamped = kernel and supports_kernel_stamps() and _switch_on(sock)
        self._first_waits = 0
        self._rested_ns = 0
        """When the awake time was read last, and what it was then; None where it is not counted."""
        self._awake_ns: int | None = None
        self._sleeps = 0

    def expect(self, sent_ns: int = 0) -> None:
        """Say that a request was sent: what comes next matters most.

        Args:
            sent_ns: immediately before its last byte was: nothing that answers it can have come earlier. After a long
                wait on a kept connection the last reading is no bound worth saying.
        """
        self._first_waits = FIRST_WAITS
        self._empty_at_ns = max(self._empty_at_ns, sent_ns)

    def rest(self) -> None:
        """Say that the event loop is about to wait for this socket, having read all that it was told of."""
        now_ns = time.monotonic_ns()
        if self._stamped and (self._first_waits or now_ns - self._rested_ns >= SAMPLE_NS):
            self._first_waits = max(0, self._first_waits - 1)
            self._rested_ns, self._awake_ns, self._sleeps = now_ns, awake_ns(), sleeps()

    def _earliest_ns(self, now_ns: int, at_ns: int) -> int:
        """Return the time before which nothing that is read now can have arrived.

        Args:
            now_ns: when it was read.
            at_ns: when the last of it arrived.
        """
        if self._awake_ns is None or sleeps() == self._sleeps:
            return self._empty_at_ns  # it never slept since: nothing is known of when it would have been woken
        awake = awake_ns()  # after `now_ns`: a processor lost in between widens the bound
        if awake is None:
            return self._empty_at_ns
        woken_ns = now_ns - (awake - self._awake_ns) - WAKING_NS
        if woken_ns > at_ns:
            return self._empty_at_ns  # the stamp proves that the counters missed something
        return max(self._empty_at_ns, woken_ns)

    def receive(self, max_bytes: int) -> Segment:
        """Read what is there.

        Raises:
            BlockingIOError: nothing is.
            OSError: the connection broke.
        """
        before_ns = time.monotonic_ns()
        if not self._stamped:
            data = self._sock.recv(max_bytes)
            now_ns = time.monotonic_ns()
            segment = Segment(data, now_ns, now_ns - self._empty_at_ns)
            self._note(len(data) < max_bytes, before_ns)
            return segment
        data, ancillary, _flags, _address = self._sock.recvmsg(max_bytes, _ANCILLARY_BYTES)
        now_ns = time.monotonic_ns()
        offset_ns, offset_error_ns = _realtime_offset(now_ns)
        stamp_ns = _stamp_of(ancillary)
        self._bytes_read += len(data)
        alone = self._was_alone(len(data))
        # 20 us: the stamp is taken by another processor, and NTP slews both clocks between the readings.
        if stamp_ns is None or not self._empty_at_ns - 20_000 <= stamp_ns + offset_ns <= now_ns + 20_000:
            segment = Segment(data, now_ns, now_ns - self._empty_at_ns)
        else:
            stamped_ns = min(max(stamp_ns + offset_ns, self._empty_at_ns), now_ns)
            at_ns = max(stamped_ns, self._last_ns)
            earliest_ns = stamped_ns if alone else min(stamped_ns, self._earliest_ns(now_ns, stamped_ns))
            segment = Segment(data, at_ns, at_ns - earliest_ns + offset_error_ns, "kernel")
        self._last_ns = segment.at_ns
        self._note(len(data) < max_bytes, before_ns)
        return segment

    def _note(self, drained: bool, before_ns: int) -> None:
        if drained:
            self._empty_at_ns = before_ns

    def _was_alone(self, length: int) -> bool:
        """Whether the data just read came in one segment, so that the stamp is its very arrival."""
        if not length:
            return False
        info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        if len(info) < _TCP_INFO_BYTES:
            return False  # an old kernel
        segments: int = _DATA_SEGMENTS_IN.unpack_from(info, 152)[0]
        known = self._segments
        # Where more has come since the read, the count covers what is still unread and is no base for the next.
        complete = _BYTES_RECEIVED.unpack_from(info, 128)[0] == self._bytes_read
        self._segments = segments if complete else None
        return known is not None and segments - known == 1


def _stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """Return the kernel's stamp in ns of CLOCK_REALTIME, None where it gave none."""
    for level, kind, value in ancillary:
        if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(value) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            stamp_ns: int = seconds * 1_000_000_000 + nanoseconds
            return stamp_ns
    return None


def _realtime_offset(first_ns: int) -> tuple[int, int]:
    """Return CLOCK_MONOTONIC minus CLOCK_REALTIME, and by how much that may be wrong (0 where it is a few us).

    The realtime clock is read between two readings of the monotonic one, so the error is under half their gap. A thread
    that loses its processor in between would be wrong by half of that pause (25 ms were seen): it reads again.

    Args:
        first_ns: the monotonic clock just now.
    """
    for _ in range(MOST_READINGS):
        real_ns = time.time_ns()
        second_ns = time.monotonic_ns()
        if second_ns - first_ns <= CLOSE_NS:
            return (first_ns + second_ns) // 2 - real_ns, 0
        offset_ns, error_ns = (first_ns + second_ns) // 2 - real_ns, (second_ns - first_ns) // 2
        first_ns = time.monotonic_ns()
    return offset_ns, error_ns


def _switch_on(sock: socket.socket) -> bool:
    try:
        _keep_stamping_on()
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False  # a sandbox that emulates the kernel
    return True


@cache
def _keep_stamping_on() -> None:
    """Hold one stamped socket open for the life of the process, so that the kernel's stamping stays switched on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        keeper.detach()  # the descriptor is never closed by us: that is its whole purpose
