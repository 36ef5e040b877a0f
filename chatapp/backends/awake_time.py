"""How long this thread has been awake: running, or ready to run and waiting for a processor.

A thread that sleeps in its event loop is woken by whatever arrives. So from the arrival of data to its reading the
thread is awake, and the time it has been awake bounds how long the data can have waited, also where the kernel's stamp
is that of later data. Linux counts both parts: CPU time, and in schedstat the time spent waiting for a processor.

What it does not count: the time until a sleeping processor is awake itself, and time that a hypervisor took. Where it
slept at all is counted exactly, as voluntary switches.

Waiting for a disk or for Python's global lock is no part of either: a thread that does so for long outside its event
loop's own wait makes the bound too tight by that much.
"""

from __future__ import annotations

import os
import sys
import threading
import time

if sys.platform == "linux":
    import resource

_local = threading.local()


def awake_ns() -> int | None:
    """Return the awake time of the calling thread so far, in ns; None where the OS does not count it. 10 us."""
    fd = getattr(_local, "fd", None)
    if fd is None:
        fd = _local.fd = _open()
    if fd < 0:
        return None
    return time.thread_time_ns() + int(os.pread(fd, 64, 0).split()[1])


def sleeps() -> int:
    """Return how often the calling thread has gone to sleep so far; 0 where the OS does not count it. 1 us."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw if sys.platform == "linux" else 0


def _open() -> int:
    """Open the calling thread's counters; they stay open as long as the process."""
    try:
        fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return -1
    try:
        int(os.pread(fd, 64, 0).split()[1])
    except (OSError, ValueError, IndexError):  # a kernel without the counters
        os.close(fd)
        return -1
    return fd
