"""How soon a process that measures gets a processor when what it waits for has come."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

SLICE_NS = 100_000
"""The shortest turn that Linux grants."""

_SYSTEM_CALL = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The number of sched_setattr, for which the C library has no function; from the kernel's tables."""
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")
"""struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, util_min, util_max."""
_RESET_ON_FORK = 1
"""Threads and processes begun from here are scheduled as usual: a local model must not take turns like a clock."""


def ask_for_short_slices() -> bool:
    """Have the calling thread woken at once where it shares a processor, in exchange for shorter turns.

    Since Linux 6.12 a thread of the ordinary policy may ask for the length of its turns (`sched_runtime` in sched(7)).
    One with shorter turns interrupts one with longer turns as soon as it is woken; its share of the processor stays the
    same, and no privilege is needed. A chunk that waits unread behind a screen that is being painted merges with the
    next one, and then its arrival is uncertain. Older kernels take the call and do nothing.

    Returns:
        Whether the kernel took it.
    """
    number = _SYSTEM_CALL.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return False
    if os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK != os.SCHED_OTHER:
        return False  # real-time, batch or idle: somebody has decided otherwise
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, _RESET_ON_FORK, nice, 0, SLICE_NS, 0, 0, 0, 0)
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0) == 0)
