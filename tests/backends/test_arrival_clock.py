"""Kernel stamps against a peer whose send times are known, and against everything that can be wrong with a stamp."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time

import pytest

from chatapp.backends import arrival_clock
from chatapp.backends.arrival_clock import FIRST_WAITS, SO_TIMESTAMPNS, ArrivalClock
from chatapp.backends.awake_time import awake_ns

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps received TCP data")


def wait_for_data(sock):
    assert select.select([sock], [], [], 2)[0]


@linux
def test_stamp_tells_the_arrival_not_the_reading(socket_pair):
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    before_ns = time.monotonic_ns()
    peer.send(b"token")
    after_ns = time.monotonic_ns()
    time.sleep(0.02)  # the process is busy; that must not show
    segment = clock.receive(100)
    assert (segment.data, segment.source) == (b"token", "kernel")
    assert before_ns - 50_000 <= segment.at_ns <= after_ns + 5_000_000
    assert time.monotonic_ns() - segment.at_ns > 14_000_000


@linux
def test_one_segment_since_the_last_read_is_certain_however_late_the_read(socket_pair):
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    for _ in range(3):
        peer.send(b"token")
        time.sleep(0.005)
        assert clock.receive(100).uncertainty_ns == 0


@linux
def test_merged_segments_lie_between_the_last_read_and_the_stamp(socket_pair):
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    peer.send(b"a")
    time.sleep(0.002)
    clock.receive(100)
    first_ns = time.monotonic_ns()
    peer.send(b"b")
    time.sleep(0.005)
    peer.send(b"c")
    time.sleep(0.002)
    merged = clock.receive(100)
    assert merged.data == b"bc"
    assert merged.at_ns - merged.uncertainty_ns <= first_ns <= merged.at_ns
    peer.send(b"d")
    time.sleep(0.002)
    assert clock.receive(100).uncertainty_ns == 0  # and then it is certain again


@linux
def test_a_read_that_leaves_something_is_not_the_bound_of_the_next(socket_pair):
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    before_ns = time.monotonic_ns()
    peer.send(b"abcd")
    peer.send(b"efgh")
    time.sleep(0.005)
    assert clock.receive(3).data == b"abc"
    rest = clock.receive(100)
    assert rest.data == b"defgh"
    assert rest.at_ns - rest.uncertainty_ns <= before_ns


def test_nothing_to_read(socket_pair):
    ours, _peer = socket_pair
    with pytest.raises(BlockingIOError):
        ArrivalClock(ours).receive(10)


@pytest.mark.parametrize("kernel", [True, False])
def test_the_end_is_an_empty_segment(socket_pair, kernel):
    ours, peer = socket_pair
    clock = ArrivalClock(ours, kernel=kernel)
    peer.close()
    wait_for_data(ours)
    assert clock.receive(10).data == b""


def test_the_process_clock_knows_only_that_it_came_since_the_last_read(socket_pair):
    ours, peer = socket_pair
    clock = ArrivalClock(ours, kernel=False)
    before_ns = time.monotonic_ns()
    peer.send(b"a")
    wait_for_data(ours)
    segment = clock.receive(10)
    assert segment.source == "process"
    assert segment.at_ns - segment.uncertainty_ns <= before_ns <= segment.at_ns


class FakeSocket:
    """A socket whose kernel says what the test wants."""

    def __init__(self, stamps, *, info=None, refuse=False):
        self.stamps = list(stamps)
        self.info = info
        self.refuse = refuse
        self.received = 0

    def setsockopt(self, *_option):
        if self.refuse:
            raise OSError("not here")

    def getsockopt(self, _level, _name, size):
        if self.info is not None:
            return self.info
        self.received += 1
        info = bytearray(size)
        struct.pack_into("@Q", info, 128, self.received)
        struct.pack_into("@I", info, 152, self.received)
        return bytes(info)

    def recv(self, _size):
        return b"x"

    def recvmsg(self, _size, _ancillary):
        stamp_ns = self.stamps.pop(0)
        if stamp_ns is None:
            return b"x", [], 0, None
        value = struct.pack("@qq", stamp_ns // 10**9, stamp_ns % 10**9)
        return b"x", [(socket.SOL_SOCKET, SO_TIMESTAMPNS, value)], 0, None


@linux
@pytest.mark.parametrize("step_s", [-3600, -0.5, 0.5, 3600])
def test_a_clock_that_was_set_gives_no_stamp(step_s):
    clock = ArrivalClock(FakeSocket([time.time_ns() + int(step_s * 1e9)]))
    segment = clock.receive(10)
    assert segment.source == "process"
    assert 0 <= time.monotonic_ns() - segment.at_ns < 1_000_000_000


@linux
def test_a_missing_stamp_is_answered_by_the_process_clock():
    segment = ArrivalClock(FakeSocket([None])).receive(10)
    assert segment.source == "process"
    assert segment.uncertainty_ns > 0


@linux
def test_a_stamp_a_moment_after_the_read_is_the_read():
    now_ns = time.time_ns()
    segment = ArrivalClock(FakeSocket([now_ns + 15_000])).receive(10)
    assert segment.at_ns <= time.monotonic_ns()


@linux
def test_bytes_arrive_in_order_whatever_two_readings_of_the_clocks_say():
    sock = FakeSocket([None])
    clock = ArrivalClock(sock)
    time.sleep(0.001)
    late = clock.receive(1)  # a whole buffer: there may be more, that came before this was read
    now_ns = time.time_ns()
    sock.stamps = [now_ns, now_ns - 50_000]
    second, third = clock.receive(1), clock.receive(1)
    assert (late.source, second.source, third.source) == ("process", "kernel", "kernel")
    assert late.at_ns <= second.at_ns <= third.at_ns
    assert third.at_ns - third.uncertainty_ns < third.at_ns


@linux
def test_an_old_kernel_does_not_count_segments():
    clock = ArrivalClock(FakeSocket([time.time_ns()], info=bytes(104)))
    assert clock.receive(10).uncertainty_ns >= 0
    assert clock._segments == 0


def test_a_sandbox_that_refuses_the_option_is_read_by_the_process_clock():
    assert ArrivalClock(FakeSocket([], refuse=True)).receive(10).source == "process"


@linux
def test_a_thread_that_slept_was_woken_by_the_first_of_merged_segments(socket_pair):
    if awake_ns() is None:
        pytest.skip("this kernel does not count awake time")
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    peer.send(b"a")
    wait_for_data(ours)
    clock.receive(100)
    clock.expect()
    clock.rest()
    sent_ns = []

    def send_later():
        time.sleep(0.03)
        sent_ns.append(time.monotonic_ns())
        peer.send(b"b")
        peer.send(b"c")

    sender = threading.Thread(target=send_later)
    sender.start()
    wait_for_data(ours)  # asleep until the first of the two
    sender.join()
    merged = clock.receive(100)
    assert merged.data == b"bc"
    earliest_ns = merged.at_ns - merged.uncertainty_ns
    # The bound excludes the sleep. It may lie after the send by the time a processor took to be woken, and by the
    # sender's hold on Python's global lock.
    assert earliest_ns > sent_ns[0] - 25_000_000
    assert merged.uncertainty_ns < 28_000_000


@linux
def test_without_sleep_the_last_reading_is_the_bound(socket_pair):
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    peer.send(b"a")
    wait_for_data(ours)
    clock.receive(100)
    emptied_ns = time.monotonic_ns()
    peer.send(b"b")
    peer.send(b"c")
    clock.expect()
    clock.rest()
    merged = clock.receive(100)
    assert merged.at_ns - merged.uncertainty_ns <= emptied_ns


@linux
@pytest.mark.parametrize("kernel", [True, False])
def test_what_answers_a_request_cannot_have_come_before_it(socket_pair, kernel):
    ours, peer = socket_pair
    clock = ArrivalClock(ours, kernel=kernel)
    time.sleep(0.02)  # the connection was idle
    sent_ns = time.monotonic_ns()
    clock.expect(sent_ns)
    peer.send(b"b")
    peer.send(b"c")
    wait_for_data(ours)
    merged = clock.receive(100)
    assert sent_ns <= merged.at_ns - merged.uncertainty_ns


def merged_read(socket_pair):
    """Return two segments that were read as one, and when the first of them was sent."""
    ours, peer = socket_pair
    clock = ArrivalClock(ours)
    peer.send(b"a")
    wait_for_data(ours)
    clock.receive(100)
    clock.expect()
    clock.rest()
    first_ns = time.monotonic_ns()
    peer.send(b"b")
    time.sleep(0.002)
    peer.send(b"c")
    return clock.receive(100), first_ns


@linux
def test_time_that_no_counter_saw_is_no_sleep(socket_pair, monkeypatch):
    monkeypatch.setattr(arrival_clock, "awake_ns", lambda: 0)  # a hypervisor took all of it
    monkeypatch.setattr(arrival_clock, "sleeps", lambda: 0)
    merged, first_ns = merged_read(socket_pair)
    assert merged.at_ns - merged.uncertainty_ns <= first_ns


@linux
def test_counters_that_contradict_the_stamp_bound_nothing(socket_pair, monkeypatch):
    counted = iter(range(100))
    monkeypatch.setattr(arrival_clock, "awake_ns", lambda: 0)
    monkeypatch.setattr(arrival_clock, "sleeps", lambda: next(counted))
    monkeypatch.setattr(arrival_clock, "WAKING_NS", -1_000_000_000)
    merged, first_ns = merged_read(socket_pair)
    assert merged.at_ns - merged.uncertainty_ns <= first_ns


@linux
def test_the_waking_of_a_processor_is_part_of_the_bound(socket_pair, monkeypatch):
    counted = iter(range(100))
    monkeypatch.setattr(arrival_clock, "awake_ns", lambda: 0)
    monkeypatch.setattr(arrival_clock, "sleeps", lambda: next(counted))
    monkeypatch.setattr(arrival_clock, "WAKING_NS", 1_000_000_000)
    merged, first_ns = merged_read(socket_pair)
    assert merged.at_ns - merged.uncertainty_ns <= first_ns


@linux
def test_the_awake_time_is_read_rarely(socket_pair, monkeypatch):
    ours, _peer = socket_pair
    clock = ArrivalClock(ours)
    read = []
    monkeypatch.setattr(arrival_clock, "awake_ns", lambda: read.append(1) or 0)
    clock.rest()
    clock.expect()
    for _ in range(50):
        clock.rest()
    assert FIRST_WAITS <= len(read) <= FIRST_WAITS + 3


class Readings:
    """Stands in for the module `time`: two clocks read one after the other, each reading some time after the last."""

    def __init__(self, *steps_ns):
        self.now_ns = 1_000_000_000
        self.steps_ns = list(steps_ns)

    def monotonic_ns(self):
        self.now_ns += self.steps_ns.pop(0) if self.steps_ns else 100
        return self.now_ns

    def time_ns(self):
        self.now_ns += 100
        return self.now_ns + 5_000_000_000


def test_a_thread_that_lost_its_processor_between_two_clocks_reads_them_again(monkeypatch):
    readings = Readings(50_000_000)
    monkeypatch.setattr(arrival_clock, "time", readings)
    offset_ns, error_ns = arrival_clock._realtime_offset(readings.now_ns)
    assert offset_ns == pytest.approx(-5_000_000_000, abs=200)
    assert error_ns == 0


def test_clocks_that_are_never_read_together_say_how_wrong_they_may_be(monkeypatch):
    readings = Readings(*[1_000_000] * 99)
    monkeypatch.setattr(arrival_clock, "time", readings)
    offset_ns, error_ns = arrival_clock._realtime_offset(readings.now_ns)
    assert abs(offset_ns + 5_000_000_000) <= error_ns <= 510_000
