"""The web server: textual-serve's, with our page and a look at where a request comes from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from aiohttp import web
from textual_serve.server import Server

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class WebServer(Server):
    """Serves chatapp to browsers.

    Args:
        command: the shell command that runs one chatapp.
        host: the address listened on.
        port: the port listened on.
    """

    def __init__(self, command: str, *, host: str, port: int) -> None:
        super().__init__(command, host=host, port=port, title="chatapp", templates_path=Path(__file__).parent.resolve())
        names = {host, *LOOPBACK} if host in LOOPBACK else {host}
        self.allowed = {f"{name}:{port}" for name in names} | (names if port == 80 else set())

    def initialize_logging(self) -> None:
        """Leave logging as it is: to a file."""
        logging.getLogger("textual-serve").setLevel(logging.WARNING)

    async def on_startup(self, app: web.Application) -> None:
        """Say where the page is."""
        print(f"chatapp is at {self.public_url}   Ctrl+C ends it", flush=True)

    def refuse_strangers(self, request: web.Request) -> None:
        """Refuse requests that another site's page sent, or that came under another name (DNS rebinding).

        Raises:
            HTTPForbidden: Host or Origin is not ours.
        """
        origin = request.headers.get("Origin")
        if request.host not in self.allowed:
            raise web.HTTPForbidden(text=f"this server is {self.public_url}\n")
        if origin is not None and origin.partition("://")[2] not in self.allowed:
            raise web.HTTPForbidden(text="requests of other sites are refused\n")

    async def handle_index(self, request: web.Request) -> Any:
        """Serve the page."""
        self.refuse_strangers(request)
        # The socket's address must be the one in the browser's address bar, or the Origin check refuses our own page.
        self.public_url = f"http://{request.host}"
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run one chatapp for one page."""
        self.refuse_strangers(request)
        return await super().handle_websocket(request)

    async def handle_download(self, request: web.Request) -> web.StreamResponse:
        """Serve a file that the app offered."""
        self.refuse_strangers(request)
        return await super().handle_download(request)
