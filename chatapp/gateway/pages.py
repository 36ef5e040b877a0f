"""What the gateway answers over plain HTTP, and who may open a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from chatapp import __version__
from chatapp.gateway.access import Access, Refusal
from chatapp.gateway.meter import Meter
from chatapp.gateway.tokens import Grant
from chatapp.protocol.responses import MODELS_PATH, PATH, ModelListing
from chatapp.text.sanitize import sanitize_line

METRICS_PATH = "/metrics"
VERSION = "13"
"""Of WebSocket, RFC 6455; the only one there is outside drafts."""

_log = logging.getLogger(__name__)


class State(Protocol):
    """What the pages say of the gateway."""

    @property
    def draining(self) -> bool:
        """Whether it is about to stop."""

    @property
    def streams(self) -> int:
        """Responses in flight."""

    @property
    def connections(self) -> int:
        """Open WebSockets."""


class Pages:
    """The answers to opening requests.

    Args:
        access: who may connect.
        models: what can be chosen.
        state: of the gateway.
        meter: what `/metrics` shows.
    """

    def __init__(
        self,
        access: Access,
        models: Callable[[], Awaitable[Sequence[ModelListing]]],
        state: State,
        meter: Meter,
    ) -> None:
        self._meter = meter
        self._access = access
        self._models = models
        self._state = state
        self._open: dict[str, Callable[[], Response]] = {"/healthz": self._healthy, "/readyz": self._ready}
        """Pages that need no token: they say nothing of what passes."""

    def answer(self, request: Request, address: str) -> Response | asyncio.Future[Response] | Grant | None:
        """Answer a plain request, refuse what may not become a WebSocket, or return what a client is granted.

        None leaves the refusal to the protocol: 405, 505.
        """
        path = request.path.partition("?")[0]
        if request.method != "GET" or request.protocol != "HTTP/1.1":
            return None
        refusal = self._access.check_place(request.headers)
        if refusal is not None:
            return refuse(refusal, request, address)
        if path in self._open:
            return self._open[path]()
        if path not in (PATH, MODELS_PATH, METRICS_PATH):
            known = ", ".join((f"{PATH} (WebSocket)", MODELS_PATH, METRICS_PATH, *self._open))
            return as_json(HTTPStatus.NOT_FOUND, error(f"no such path; there are {known}"))
        grant = self._access.check_token(request.headers)
        if isinstance(grant, Refusal):
            return refuse(grant, request, address)
        if path == MODELS_PATH:
            return asyncio.ensure_future(self._list(grant))
        if path == METRICS_PATH:
            return self._metrics()
        return self._upgrade(request) or grant

    def _upgrade(self, request: Request) -> Response | None:
        headers = request.headers
        version = ", ".join(headers.get_all("Sec-WebSocket-Version"))
        if version not in ("", VERSION):
            said = sanitize_line(version, limit=40)
            response = as_json(
                HTTPStatus.UPGRADE_REQUIRED, error(f"WebSocket version {said} is not spoken here, only {VERSION}")
            )
            response.headers["Sec-WebSocket-Version"] = VERSION
            return response
        if headers.get_all("Sec-WebSocket-Protocol"):
            said = sanitize_line(", ".join(headers.get_all("Sec-WebSocket-Protocol")), limit=80)
            message = f"subprotocol {said} is not spoken here: connect without one"
            return as_json(HTTPStatus.BAD_REQUEST, error(message))
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            message = "this path speaks WebSocket: connect with ws:// or wss://"
            response = as_json(HTTPStatus.UPGRADE_REQUIRED, error(message))
            response.headers["Upgrade"] = "websocket"
            return response
        return None

    def _healthy(self) -> Response:
        return as_json(HTTPStatus.OK, {"status": "ok", "version": __version__})

    def _ready(self) -> Response:
        state = self._state
        status = HTTPStatus.SERVICE_UNAVAILABLE if state.draining else HTTPStatus.OK
        body = {"ready": not state.draining, "connections": state.connections, "streams": state.streams}
        return as_json(status, body)

    def _metrics(self) -> Response:
        data = self._meter.render(self._state.connections, self._state.streams)
        if data is None:
            return as_json(HTTPStatus.NOT_FOUND, error("no metrics here: start the gateway with --metrics"))
        return page(HTTPStatus.OK, data, "text/plain; version=0.0.4; charset=utf-8")

    async def _list(self, grant: Grant) -> Response:
        try:
            models = await self._models()
        except Exception:
            _log.exception("the backends cannot be listed")
            return as_json(HTTPStatus.INTERNAL_SERVER_ERROR, error("the backends cannot be listed; the log says why"))
        data = [
            msgspec.to_builtins(model) | {"simulated": model.simulated} for model in models if grant.allows(model.id)
        ]
        return as_json(HTTPStatus.OK, {"object": "list", "data": data})


def refuse(refusal: Refusal, request: Request, address: str) -> Response:
    """Return the answer to a request that is turned away, and log why."""
    origin = sanitize_line(", ".join(request.headers.get_all("Origin")), limit=200) or "none"
    _log.warning("refused %s with %d: %s (Origin: %s)", address, refusal.status, refusal.message, origin)
    response = as_json(refusal.status, error(refusal.message))
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def unavailable() -> Response:
    """Return the answer of a gateway that takes no more."""
    response = as_json(HTTPStatus.SERVICE_UNAVAILABLE, error("no more connections at the moment"))
    response.headers["Retry-After"] = "5"
    return response


def too_many(message: str) -> Response:
    """Return the answer to a client that has all it may have."""
    response = as_json(HTTPStatus.TOO_MANY_REQUESTS, error(message))
    response.headers["Retry-After"] = "5"
    return response


def error(message: str) -> dict[str, Any]:
    """Return an error's body as the API has it."""
    return {"error": {"type": "invalid_request_error", "message": message}}


def as_json(status: HTTPStatus, body: Any) -> Response:
    """Return an answer as JSON."""
    return page(status, msgspec.json.encode(body), "application/json")


def page(status: HTTPStatus, data: bytes, kind: str) -> Response:
    """Return a whole answer; the connection closes after it."""
    headers = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Server": f"chatapp/{__version__}",
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, data)
