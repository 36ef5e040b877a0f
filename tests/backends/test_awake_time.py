"""The awake time bounds how long a thread that sleeps in `select` can have left data unread."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

from chatapp.backends import awake_time
from chatapp.backends.awake_time import awake_ns, sleeps

counted = pytest.mark.skipif(awake_ns() is None, reason="this OS does not count it")


@counted
def test_sleeping_is_not_awake_and_working_is():
    begin = awake_ns()
    wall = time.monotonic_ns()
    time.sleep(0.05)
    slept_awake, slept = awake_ns() - begin, time.monotonic_ns() - wall
    assert slept_awake <= slept - 45_000_000  # what is beyond the 50 ms was the waiting for a processor
    begin = time.thread_time_ns()
    before = awake_ns()
    while time.thread_time_ns() - begin < 10_000_000:
        pass
    assert awake_ns() - before >= 10_000_000


@counted
def test_a_sleep_is_counted():
    before = sleeps()
    time.sleep(0.001)
    assert sleeps() > before


@counted
def test_each_thread_has_its_own():
    found = []
    thread = threading.Thread(target=lambda: found.append(awake_ns()))
    thread.start()
    thread.join()
    assert found[0] is not None
    assert found[0] < awake_ns()


@pytest.mark.parametrize("found", [None, "0 0 0", "nonsense"])
def test_where_it_is_not_counted_nothing_is_said(tmp_path, monkeypatch, found):
    monkeypatch.setattr(awake_time, "_local", threading.local())
    path = tmp_path / "schedstat"
    if found is not None:
        path.write_text(found)
    real = os.open
    monkeypatch.setattr(os, "open", lambda _path, flags: real(path, flags))
    known = awake_ns() is not None
    assert known == (found == "0 0 0")
    if known:
        os.close(awake_time._local.fd)


def test_other_systems_have_no_such_file():
    assert sys.platform == "linux" or awake_ns() is None
