"""Several gateway processes on one port, and the small parent that keeps them running.

The kernel deals connections out among listeners that share a port (SO_REUSEPORT, Linux 3.9), so nothing stands between
a client and its worker, and a conversation, which belongs to its connection, is never shared. The parent serves
nobody: it reserves the port, starts workers, starts another where one dies, and passes signals on.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from chatapp.errors import GatewayError, UsageError
from chatapp.gateway.server import cannot_listen

LISTENING = b"listening on "
"""How the line begins with which a worker says that it accepts connections."""

READY_S = 30.0
QUICK_S = 5.0
"""A worker that lives shorter than this has died at once: starting it again may not help."""
MOST_QUICK = 5
"""Deaths at once, one after the other, after which a worker is given up."""
FIRST_WAIT_S = 0.25
"""Before a worker is started again; doubled with each death at once."""
WRONG_USE = 2
"""Exit code of a worker that refuses what it is told: it would refuse again."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus-client keeps counts that several processes share; its own name of the variable."""

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps so many workers running until it is told to stop.

    Args:
        command: starts a worker.
        workers: how many.
        say: takes lines for the operator.
        quick_s: see `QUICK_S`.
        first_wait_s: see `FIRST_WAIT_S`.
    """

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        *,
        say: Callable[[str], None],
        quick_s: float = QUICK_S,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._command = tuple(command)
        self._count = workers
        self._say = say
        self._quick_s = quick_s
        self._first_wait_s = first_wait_s
        self._running: dict[int, Process] = {}
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._ready = asyncio.Semaphore(0)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that run."""
        return [process.pid for process in self._running.values()]

    async def start(self) -> bool:
        """Start all workers; return True when every one of them listens, False where it was told to stop first.

        Raises:
            GatewayError: one cannot; all are stopped.
        """
        self._keepers = [asyncio.create_task(self._keep(number)) for number in range(1, self._count + 1)]
        everyone = asyncio.create_task(self._all_ready())
        await asyncio.wait({everyone, *self._keepers}, return_when=asyncio.FIRST_COMPLETED)
        if everyone.done():
            return True
        everyone.cancel()
        await self.finish()
        return False

    async def _all_ready(self) -> None:
        for _ in range(self._count):
            await self._ready.acquire()

    def signal(self, number: int) -> None:
        """Pass a signal on to every worker; from the first one on none is started again."""
        self._stopping.set()
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def finish(self) -> None:
        """Wait until every worker has ended; where one is given up, end the others.

        Raises:
            GatewayError: a worker was given up.
        """
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_EXCEPTION)
        failure = next((task.exception() for task in done if task.exception() is not None), None)
        if failure is not None:
            self.signal(signal.SIGTERM)
            await asyncio.gather(*self._keepers, return_exceptions=True)
            raise failure

    async def _keep(self, number: int) -> None:
        """Keep one worker running."""
        quick = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            process = self._running[number] = await self._spawn()
            if self._stopping.is_set():  # told to stop while it was being started
                process.terminate()
            listened = await listens(process)
            if listened:
                self._ready.release()
            code = await process.wait()
            del self._running[number]
            forget_counts(process.pid)
            if self._stopping.is_set():
                return
            if code == WRONG_USE and not listened:
                raise GatewayError(f"worker {number} refuses to start; it says why above")
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            quick = quick + 1 if time.monotonic() - begun < self._quick_s else 0
            if quick >= MOST_QUICK:
                raise GatewayError(
                    f"worker {number} ended {quick} times within {self._quick_s:g} s of its start ({how}): giving up",
                    hint="its log is logs/gateway.log in the state folder",
                )
            wait_s = self._first_wait_s * 2**quick
            self._say(f"worker {number} (pid {process.pid}) ended, {how}: another one in {wait_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def _spawn(self) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,  # held open: a worker leaves when it ends, however its parent died
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C comes from us, once, and not from the terminal as well
            )
        except OSError as exc:
            raise GatewayError(f"a worker could not be started: {exc.strerror or exc}") from None


async def listens(process: Process) -> bool:
    """Wait until a worker accepts connections; False where it ends first, or takes too long and is ended."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            return (await process.stdout.readline()).startswith(LISTENING)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        return False


@contextmanager
def reserved(host: str, port: int) -> Iterator[int]:
    """Hold a port for workers to share, by a socket that does not listen; gives its number, chosen where `port` is 0.

    Raises:
        UsageError: the address is in use, not allowed, not of this machine; or the OS cannot share ports.
    """
    if sys.platform != "linux":  # elsewhere the option exists, and the last listener gets every connection
        raise UsageError("--workers above 1 needs Linux", hint="run several gateways behind a load balancer")
    try:
        held = _hold(host, port)
    except (OSError, OverflowError) as exc:
        raise cannot_listen(exc, host, port) from None
    with held:
        yield int(held.getsockname()[1])


def _hold(host: str, port: int) -> socket.socket:
    family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Among processes of one user SO_REUSEPORT would join another gateway's listeners without a word.
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held


@contextmanager
def shared_counts() -> Iterator[None]:
    """Let all workers count in one folder, so that whichever is asked for `/metrics` answers for all of them."""
    with tempfile.TemporaryDirectory(prefix="chatapp-metrics-") as folder:
        before = os.environ.get(METRICS_FOLDER)
        os.environ[METRICS_FOLDER] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[METRICS_FOLDER]
            else:
                os.environ[METRICS_FOLDER] = before


def forget_counts(pid: int) -> None:
    """Take a dead worker out of what is true now (open connections); what it has counted stays counted."""
    if METRICS_FOLDER not in os.environ:
        return
    with suppress(ImportError):
        importlib.import_module("prometheus_client.multiprocess").mark_process_dead(pid)


async def supervise(
    command: Sequence[str], workers: int, *, listening: Callable[[], None], say: Callable[[str], None]
) -> int:
    """Run workers until SIGTERM or SIGINT; both are passed on, so that a second one ends what still drains.

    Args:
        command: starts a worker.
        workers: how many processes.
        listening: called once, when all of them accept connections.
        say: takes lines for the operator.

    Raises:
        GatewayError: a worker cannot serve, or dies at once again and again.
    """
    supervisor = Supervisor(command, workers, say=say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.signal, number)
    if await supervisor.start():
        listening()
        await supervisor.finish()
    return 0


class Lifeline(asyncio.Protocol):
    """A worker's standard input, of which only the end matters: the supervisor is gone.

    Args:
        gone: called once.
    """

    def __init__(self, gone: Callable[[], None]) -> None:
        self._gone = gone

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that the parent is gone."""
        _log.info("the supervisor is gone, leaving")
        self._gone()
