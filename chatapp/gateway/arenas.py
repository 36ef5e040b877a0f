"""Memory that stays as it is over days: threads of a Python process need no heaps of their own."""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""


def use_one_arena() -> bool:
    """Have the C library keep one heap for all threads; to be called before there are any.

    glibc gives threads heaps of their own, so that they need not wait for each other. Python's threads wait for each
    other anyway, and what they count at the end of an answer leaves holes in every heap: with 1,000 streams the gateway
    grew by 4 % in 20 minutes without holding anything, by one heap it does not.

    Returns:
        Whether the C library has such heaps.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and one heap only
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, 1) == 1)
