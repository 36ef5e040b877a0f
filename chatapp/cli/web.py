"""`chatapp web`: the same app in a browser."""

from __future__ import annotations

import shlex
import sys

import click

from chatapp.errors import ExtraMissingError, UsageError

_LOOPBACK = ("127.0.0.1", "localhost")


@click.command()
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535), help="port of the web page")
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on")
@click.option("--insecure-listen", is_flag=True, help="allow an address that others can reach: no password protects it")
@click.option("--backend", help="what answers at first")
def web(port: int, host: str, insecure_listen: bool, backend: str | None) -> None:
    """Serve the app to browsers, on this machine only unless told otherwise. Needs the extra `web`."""
    if host not in _LOOPBACK and not insecure_listen:
        raise UsageError(
            f"{host} can be reached from other machines, and whoever opens the page can chat with your keys",
            hint="--insecure-listen allows it; an SSH tunnel to the loopback address is safer",
        )
    try:
        from chatapp.ui.web.server import WebServer
    except ImportError:
        raise ExtraMissingError("chatapp web", "web") from None
    import errno
    import socket

    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        reason = "is in use" if exc.errno == errno.EADDRINUSE else f"cannot be used: {exc.strerror}"
        raise UsageError(f"{host}:{port} {reason}", hint="--port chooses another port") from None
    command = [sys.executable, "-m", "chatapp", "chat", *(["--backend", backend] if backend else [])]
    WebServer(shlex.join(command), host=host, port=port).serve()
