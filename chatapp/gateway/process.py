"""The gateway as a child process: a port and a token of its own, and it never outlives its parent.

The token goes through the child's standard input, so neither the process list nor the environment shows it. The same
pipe is the lifeline: when the parent is gone, however it died, the read ends and the child leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from chatapp.errors import GatewayError
from chatapp.redaction import Secret

READY_S = 20.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a gateway is, and what opens it."""

    url: str
    """`ws://HOST:PORT/v1/responses`"""
    token: Secret


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """What a child gateway is told beyond the settings it reads itself."""

    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Backends given by URL on the command line: name to `{base_url, model}`."""
    pace: str | None = None
    load: int | None = None
    seed: int | None = None


class ChildGateway:
    """A gateway process of ours. `spawn` returns at once; `ready` waits until it listens."""

    def __init__(self, options: ChildOptions | None = None) -> None:
        self._options = options or ChildOptions()
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None
        self._starting = asyncio.Lock()
        self._token = Secret("gateway token", secrets.token_urlsafe(32))

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process is not None and self.alive else None

    def spawn(self) -> None:
        """Start the process without waiting for it.

        Raises:
            GatewayError: the OS cannot start one.
        """
        options = self._options
        told = {
            "token": self._token.reveal(),
            "own": options.own,
            "pace": options.pace,
            "load": options.load,
            "seed": options.seed,
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chatapp.gateway.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # the terminal's Ctrl-C is meant for the screen
            )
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as exc:
            raise GatewayError(f"the gateway could not be started: {exc.strerror or exc}") from None

    async def ready(self) -> Endpoint:
        """Return where it listens, starting it where it does not run.

        Raises:
            GatewayError: it ended or said nothing within `READY_S`; its log says more.
        """
        async with self._starting:  # two panes may find it dead at one time
            return await self._ready()

    async def _ready(self) -> Endpoint:
        if not self.alive:
            self.stop()  # closes what is left of one that died
            self.spawn()
        if self._endpoint is None:
            process = self._process
            assert process is not None
            assert process.stdout is not None
            try:
                async with asyncio.timeout(READY_S):
                    line = await asyncio.to_thread(process.stdout.readline)
                answer = json.loads(line)
            except (TimeoutError, ValueError):
                self.stop()
                raise GatewayError(
                    "the gateway did not start",
                    hint="its log is logs/gateway.log in the state folder; chatapp doctor looks",
                ) from None
            if "error" in answer:
                self.stop()
                raise GatewayError(f"the gateway did not start: {answer['error']}")
            self._endpoint = Endpoint(answer["url"], self._token)
        return self._endpoint

    def stop(self) -> None:
        """End the process: its lifeline first, then by signal. Idempotent."""
        process, self._process, self._endpoint = self._process, None, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, where it can: Linux. The lifeline does it elsewhere."""
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    pr_set_pdeathsig = 1
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:  # it died between the two calls
        sys.exit(0)
