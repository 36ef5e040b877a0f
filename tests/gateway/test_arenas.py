"""One heap for all threads, seen from outside: what the C library itself says of its heaps."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap

import pytest

from chatapp.gateway.arenas import use_one_arena

CODE = """
    import ctypes, sys, threading
    from chatapp.gateway.arenas import use_one_arena
    if sys.argv[1] == "one":
        assert use_one_arena()
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    barrier = threading.Barrier(3)
    def allocate():
        barrier.wait()
        libc.malloc(100_000)
        barrier.wait()
    threads = [threading.Thread(target=allocate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    libc.fopen.restype = ctypes.c_void_p
    libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
    libc.fflush.argtypes = [ctypes.c_void_p]
    out = libc.fopen(b"/dev/stdout", b"w")
    libc.malloc_info(0, out)
    libc.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
def test_threads_share_one_heap():
    def heaps(how):
        command = [sys.executable, "-c", textwrap.dedent(CODE), how]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("<heap nr=")

    assert heaps("many") > 1
    assert heaps("one") == 1


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_elsewhere_nothing_is_asked(monkeypatch, system):
    monkeypatch.setattr("sys.platform", system)
    assert use_one_arena() is False


def test_a_c_library_without_it(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    assert use_one_arena() is False
