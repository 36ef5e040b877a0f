"""A Dask cluster's workers: reached, checked, their clocks compared with ours; or started here, as processes.

Dask runs whatever is sent to a worker. A cluster of ours is therefore behind TLS with certificates made for the
occasion; of one given by address, its owner decides who may reach it.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from chatapp import __version__
from chatapp.bench import share
from chatapp.errors import ChatappError, ExtraMissingError, UsageError
from chatapp.text.sanitize import sanitize_line

REACH_S = 5.0
"""How long a scheduler may take to answer, and its first worker to be there."""
START_S = 60.0
"""How long workers started here may take: Dask's own imports cost 1 s of CPU each."""
ASK_S = 5.0
ROUNDS = 12
MOST_LOCAL = 64
OFF_S = 1.0
"""A wall clock that differs by more is remarked on."""

_ADDRESS = re.compile(r"(?:(?:tcp|tls)://)?(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One worker, and how its clocks stand to ours."""

    name: str
    address: str
    host: str
    offset_ns: int = 0
    """Its monotonic clock minus ours."""
    error_ns: int = 0
    """Half of the shortest round trip: the offset cannot be wrong by more."""
    wall_offset_s: float = 0.0


class Workforce:
    """The workers of one cluster.

    Args:
        client: connected to the scheduler.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._names: dict[str, str] = {}

    async def muster(self) -> list[Member]:
        """Return the workers that are there now; names stay the same from one call to the next.

        Raises:
            ChatappError: one has another version of chatapp, or none.
        """

        def version() -> str:  # nested, so that it travels as code: a worker of another version knows no name of ours
            import chatapp

            return chatapp.__version__

        versions = await self.client.run(version, on_error="return")
        for address, found in versions.items():
            if isinstance(found, ImportError):
                raise ChatappError(f"worker {address} has no chatapp", hint=f"install chatapp {__version__} there")
            if isinstance(found, Exception):
                raise ChatappError(f"worker {address} cannot be used: {type(found).__name__}: {_line(found)}")
            if found != __version__:
                raise ChatappError(
                    f"worker {address} has chatapp {sanitize_line(str(found), limit=40)}, this is {__version__}",
                    hint="the same version must run on all machines",
                )
        hosts = await self.client.run(share.host_name, on_error="return")
        for address in sorted(hosts):
            self._names.setdefault(address, f"worker-{len(self._names) + 1}")
        return [
            await self._compare_clocks(Member(name=self._names[address], address=address, host=str(host)))
            for address, host in sorted(hosts.items())
            if not isinstance(host, Exception)
        ]

    async def _compare_clocks(self, member: Member) -> Member:
        best = member
        for _ in range(ROUNDS):
            begin_ns, begin_wall_ns = time.monotonic_ns(), time.time_ns()
            answer = await self.ask(share.read_clocks, member=member)
            error_ns = (time.monotonic_ns() - begin_ns) // 2
            if isinstance(answer, tuple) and (best.error_ns == 0 or error_ns < best.error_ns):
                best = msgspec.structs.replace(
                    member,
                    offset_ns=answer[0] - begin_ns - error_ns,
                    error_ns=error_ns,
                    wall_offset_s=(answer[1] - begin_wall_ns - error_ns) / 1e9,
                )
        return best

    async def ask(self, function: Callable[..., Any], *arguments: Any, member: Member) -> Any:
        """Call a function in a worker beside its task; return an exception where it is not there any more."""
        try:
            async with asyncio.timeout(ASK_S):
                answers = await self.client.run(function, *arguments, workers=[member.address], on_error="return")
        except (OSError, TimeoutError, ValueError, KeyError) as exc:
            return exc
        return answers.get(member.address)

    async def look(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any] | None:
        """Call a function in all workers that are there; None where somebody does not answer in time."""
        try:
            async with asyncio.timeout(ASK_S):
                return dict(await self.client.run(function, *arguments, on_error="return"))
        except (OSError, TimeoutError):
            return None


def remark_clocks(members: Sequence[Member], say: Callable[[str], None]) -> None:
    """Say whose wall clock is off. No figure comes from it, but logs and certificates do."""
    for member in members:
        if abs(member.wall_offset_s) > OFF_S:
            say(f"{member.name} ({member.host}): its wall clock is off by {member.wall_offset_s:+.1f} s; in no figure")


async def still_there(workforce: Workforce, members: list[Member], say: Callable[[str], None]) -> list[Member]:
    """Compare the clocks anew, since they drift. A worker that joined meanwhile takes no part."""
    known = {member.address for member in members}
    now = await workforce.muster()
    for member in now:
        if member.address not in known:
            say(f"{member.name} at {member.address} joined late: it takes no part in this run")
    return [member for member in now if member.address in known]


@asynccontextmanager
async def open_workforce(address: str) -> AsyncIterator[Workforce]:
    """Reach the cluster at `HOST:PORT`, or start one of N processes here: `local:N`.

    Raises:
        UsageError: that is neither.
        ExtraMissingError: `distributed` is not installed.
        ChatappError: the scheduler cannot be reached within seconds, or has no workers.
    """
    kind, _, number = address.partition(":")
    count = 0
    if kind == "local":
        count = int(number) if number.isdecimal() and len(number) < 9 else 0
        if not 1 <= count <= MOST_LOCAL:
            raise UsageError(f"--cluster local:N takes 1 to {MOST_LOCAL} workers, not {number!r}")
    elif not _ADDRESS.fullmatch(address):
        raise UsageError(f"not the address of a scheduler: {address!r}", hint="like tcp://HOST:8786, or local:2")
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise ExtraMissingError("--cluster", "cluster") from None
    for name in ("distributed", "bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they write to the terminal; what matters is said by us
    async with AsyncExitStack() as stack:
        security = None
        if kind == "local":
            address, security = await stack.enter_async_context(_start(count))
        try:
            client = await stack.enter_async_context(
                distributed.Client(address, asynchronous=True, set_as_default=False, timeout=REACH_S, security=security)
            )
        except (OSError, TimeoutError, TypeError, ValueError) as exc:
            raise ChatappError(
                f"the scheduler at {address} cannot be reached: {_line(exc)}", hint="dask scheduler starts one"
            ) from None
        try:
            await client.wait_for_workers(count or 1, timeout=START_S if count else REACH_S)
        except TimeoutError:
            why = "no worker came" if count else f"the scheduler at {address} has no workers"
            raise ChatappError(why, hint="dask worker ADDRESS --nthreads 1 starts one") from None
        yield Workforce(client)


@asynccontextmanager
async def _start(count: int) -> AsyncIterator[tuple[str, Any]]:
    """Run a scheduler in this process and workers as processes of their own; no trace is left of either."""
    distributed = importlib.import_module("distributed")
    try:
        security = distributed.Security.temporary()
    except ImportError:
        raise ExtraMissingError("--cluster local:N", "cluster") from None
    with tempfile.TemporaryDirectory(prefix="chatapp-cluster-") as folder:
        files = _write_certificates(Path(folder), security)
        workers: list[asyncio.subprocess.Process] = []
        async with distributed.Scheduler(
            host="127.0.0.1", protocol="tls", security=security, dashboard_address="127.0.0.1:0"
        ) as scheduler:
            try:
                for number in range(count):
                    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.address]
                    command += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", *files]
                    command += ["--name", str(number), "--local-directory", folder, "--death-timeout", "20"]
                    workers.append(
                        await asyncio.create_subprocess_exec(
                            *command,
                            stdin=asyncio.subprocess.DEVNULL,
                            stdout=asyncio.subprocess.DEVNULL,
                            stderr=asyncio.subprocess.DEVNULL,
                            start_new_session=True,  # Ctrl-C is for us; workers are told to stop
                        )
                    )
                yield scheduler.address, security
            finally:
                await _end(workers)


def _write_certificates(folder: Path, security: Any) -> list[str]:
    """Return a worker's options that name the certificates of a cluster, written where only we can read them."""
    options: list[str] = []
    tls = security.get_tls_config_for_role("worker")
    for option, name in (("--tls-ca-file", "ca_file"), ("--tls-cert", "cert"), ("--tls-key", "key")):
        path = folder / f"{name}.pem"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(tls[name])
        options += [option, str(path)]
    return options


async def _end(workers: list[asyncio.subprocess.Process]) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.terminate()
    for worker in workers:
        try:
            async with asyncio.timeout(5):
                await worker.wait()
        except TimeoutError:
            worker.kill()
            await worker.wait()


def _line(error: BaseException) -> str:
    return sanitize_line(str(error), limit=200) or type(error).__name__
