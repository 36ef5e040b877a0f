"""Opening connections for httpcore2: name look-up, TCP and TLS timed apart, addresses tried as Happy Eyeballs does."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore2

from chatapp.addresses import is_literal
from chatapp.backends.timed_stream import PlainStream, TcpStream

STAGGER_S = 0.25
"""Wait before the next address is tried beside one that has not answered (RFC 8305, 5: 250 ms)."""

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


class DialError(httpcore2.ConnectError):
    """No connection; `code` says at which step, in the words of `chatapp.errors.BackendError`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TimedBackend(httpcore2.AsyncNetworkBackend):
    """Connects sockets that stamp what they receive.

    Args:
        kernel_stamps: ask the kernel for arrival times; off, the process clock is used.
    """

    def __init__(self, *, kernel_stamps: bool = True) -> None:
        self._kernel_stamps = kernel_stamps

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return a connected stream, which carries the duration of each step in `connect_ns`.

        Raises:
            DialError: with code `dns` or `unreachable`.
            httpcore2.ConnectTimeout: no address answered within `timeout` seconds.
        """
        phases: dict[str, int] = {}
        if not _can_watch_sockets():
            started_ns = time.monotonic_ns()
            inner = await httpcore2.AnyIOBackend().connect_tcp(host, port, timeout, local_address, socket_options)
            plain = PlainStream(inner)
            plain.connect_ns = {"tcp": time.monotonic_ns() - started_ns}
            return plain
        try:
            async with asyncio.timeout(timeout):
                started_ns = time.monotonic_ns()
                addresses = await _look_up(host, port)
                connecting_ns = time.monotonic_ns()
                sock = await _connect_first(addresses, local_address)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host}:{port} did not answer within {timeout:g} s") from None
        except socket.gaierror as exc:
            raise DialError("dns", f"the name {host!r} cannot be found: {exc.strerror or exc}") from exc
        except OSError as exc:
            # asyncio words these its own way; the number says what the system says
            said = os.strerror(exc.errno).lower() if exc.errno else str(exc)
            raise DialError("unreachable", f"{host}:{port} cannot be reached: {said}") from exc
        if not is_literal(host):
            phases["dns"] = connecting_ns - started_ns
        phases["tcp"] = time.monotonic_ns() - connecting_ns
        for option in socket_options or ():
            sock.setsockopt(*option)
        stream = TcpStream(sock, kernel=self._kernel_stamps)
        stream.connect_ns = phases
        return stream

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


def _can_watch_sockets() -> bool:
    """Return whether this loop has add_reader: all but Windows' proactor loop; uvloop has it."""
    proactor = getattr(asyncio, "ProactorEventLoop", None)
    return proactor is None or not isinstance(asyncio.get_running_loop(), proactor)


async def _look_up(host: str, port: int) -> list[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[Address] = [(family, address) for family, _type, _protocol, _name, address in found]
    # Alternate the families, the resolver's first choice first, so that a broken one costs a single stagger.
    first = [a for a in addresses if a[0] == addresses[0][0]]
    other = [a for a in addresses if a[0] != addresses[0][0]]
    mixed = [a for pair in zip(first, other, strict=False) for a in pair]
    shorter = min(len(first), len(other))
    return mixed + first[shorter:] + other[shorter:]


async def _connect_first(addresses: Sequence[Address], local_address: str | None) -> socket.socket:
    """Return the first connection that succeeds; each next address starts when the one before failed or is slow."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError("no address")
    waiting = list(addresses)
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(waiting.pop(0), local_address)))
            done, attempts = await asyncio.wait(
                attempts, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            winner: socket.socket | None = None
            for attempt in done:
                exc = attempt.exception()
                if exc is None and winner is None:
                    winner = attempt.result()
                elif exc is None:
                    attempt.result().close()
                elif isinstance(exc, OSError):
                    failure = exc
                else:
                    raise exc
            if winner is not None:
                return winner
        raise failure
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_late)


async def _connect(address: Address, local_address: str | None) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if local_address is not None:
            sock.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
