"""Short turns for what measures: asked of the real kernel, in processes of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap

import pytest

from chatapp import scheduling

linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the test reads the answer by a system call"
)

ASK = """
    import ctypes, os, struct, sys, threading
    from chatapp.scheduling import ask_for_short_slices
    def told():
        buffer = ctypes.create_string_buffer(56)
        assert ctypes.CDLL(None).syscall(315, 0, buffer, 56, 0) == 0  # sched_getattr
        _size, policy, flags, nice, _priority, runtime, *_rest = struct.unpack("=IIQiIQQQII", buffer.raw)
        return policy, flags, nice, runtime
"""


def run(code):
    command = [sys.executable, "-c", textwrap.dedent(ASK) + textwrap.dedent(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def kernel():
    """Skip where a sandbox stands between the process and the kernel."""
    if run("print(ctypes.CDLL(None).syscall(315, 0, ctypes.create_string_buffer(56), 56, 0))") != ["0"]:
        pytest.skip("no sched_getattr here")


@linux
@pytest.mark.usefixtures("kernel")
def test_the_turns_are_short_and_the_niceness_stays():
    taken, *attributes = run("os.nice(3); print(ask_for_short_slices(), *told())")
    assert taken == "True"
    policy, flags, nice, runtime = map(int, attributes)
    assert (policy, flags, nice) == (os.SCHED_OTHER, 1, 3 + os.getpriority(os.PRIO_PROCESS, 0))
    if tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 12):
        assert runtime == scheduling.SLICE_NS


@linux
@pytest.mark.usefixtures("kernel")
def test_it_may_be_asked_again_and_what_is_begun_from_there_is_as_usual():
    taken, again, flags = run(
        """
        print(ask_for_short_slices(), ask_for_short_slices(), flush=True)
        thread = threading.Thread(target=lambda: print(told()[1]))
        thread.start()
        thread.join()
        """
    )
    assert (taken, again, flags) == ("True", "True", "0")


@linux
@pytest.mark.usefixtures("kernel")
def test_another_policy_is_left_as_it_is():
    batch = "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)); print(ask_for_short_slices(), told()[0])"
    assert run(batch) == ["False", str(os.SCHED_BATCH)]


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "s390x"), ("win32", "AMD64")])
def test_elsewhere_nothing_is_asked(monkeypatch, system, machine):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert scheduling.ask_for_short_slices() is False
