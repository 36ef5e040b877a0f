"""Who may connect: the token, the Host and the Origin of a request, and how many at once.

A listener on 127.0.0.1 is reachable from every web page the user opens: a browser sends the page's Origin, and DNS
rebinding makes any name resolve to loopback. So the token is always required, an Origin must be allowed by name, and on
loopback the Host must be a name of loopback (OWASP WebSocket cheat sheet; CVE-2025-52882).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from websockets.datastructures import Headers, MultipleValuesError

from chatapp.gateway.tokens import Grant, Tokens
from chatapp.redaction import Secret

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Refusal(NamedTuple):
    """Why a request is turned away."""

    status: HTTPStatus
    message: str


class Access:
    """The rules of one listener.

    Args:
        tokens: of which `Authorization: Bearer` must carry one; a string is the only one.
        loopback: whether the listener is bound to loopback, where only its names are accepted as Host.
        origins: web origins that may connect, as browsers write them.
    """

    def __init__(self, tokens: Tokens | str, *, loopback: bool, origins: tuple[str, ...] = ()) -> None:
        self.tokens = Tokens.single(Secret("gateway token", tokens)) if isinstance(tokens, str) else tokens
        self._loopback = loopback
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)

    def check_place(self, headers: Headers) -> Refusal | None:
        """Refuse a Host or an Origin that is not ours; for every path."""
        host = _single(headers, "Host")
        if self._loopback and host_name(host) not in LOOPBACK_NAMES:
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "this gateway answers to localhost only")
        origin = _single(headers, "Origin")
        if origin is not None and origin.rstrip("/").lower() not in self._origins:
            return Refusal(
                HTTPStatus.FORBIDDEN, "this web origin is not allowed: start the gateway with --allow-origin"
            )
        return None

    def check_token(self, headers: Headers) -> Grant | Refusal:
        """Return what a request's token allows, or refuse it. Takes the same time for every wrong one."""
        given = _single(headers, "Authorization") or ""
        scheme, _, value = given.partition(" ")
        grant = self.tokens.find(value.strip())
        if grant is None or scheme.lower() != "bearer":
            return Refusal(HTTPStatus.UNAUTHORIZED, "a bearer token is required: Authorization: Bearer TOKEN")
        return grant


def host_name(host: str | None) -> str:
    """Return the name in a Host header, without the port, in lower case."""
    if not host:
        return ""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _single(headers: Headers, name: str) -> str | None:
    try:
        return headers.get(name)
    except MultipleValuesError:  # two Hosts or two Origins: whoever reads the other one is being fooled
        return "multiple"
