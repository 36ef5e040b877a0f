"""Who may use the gateway, and how much: one token for all, or a file of named tokens with limits.

A file holds one bare token, or TOML:

    [tokens.stage]
    token = "..."               # at least 16 ASCII characters
    connections = 4             # open at once; each limit may be left out
    streams = 8                 # answers in flight, over all its connections
    requests_per_minute = 60
    backends = ["sim:*", "local"]

The file is read again when it changes. Answers in flight go on; a token that is gone opens nothing new. A file that has
become wrong changes nothing, and the log says why.
"""

from __future__ import annotations

import hmac
import logging
import os
import stat
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from chatapp.errors import UsageError
from chatapp.redaction import Secret
from chatapp.tomlfile import TomlFile

SHORTEST = 16
_MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
_LIMITS = ("connections", "streams", "requests_per_minute")

_log = logging.getLogger(__name__)


class Grant(msgspec.Struct, frozen=True):
    """What one token allows. None is no limit of its own."""

    name: str
    token: Secret
    connections: int | None = None
    streams: int | None = None
    requests_per_minute: int | None = None
    backends: tuple[str, ...] = ("*",)
    """Names, or patterns with `*`."""

    def allows(self, backend: str) -> bool:
        """Whether a backend may be asked."""
        return any(fnmatchcase(backend, pattern) for pattern in self.backends)


class Tokens:
    """The tokens that are valid now."""

    def __init__(self, grants: Sequence[Grant]) -> None:
        self.grants = tuple(grants)

    @property
    def limited(self) -> list[str]:
        """The names of those with limits that are counted."""
        return [grant.name for grant in self.grants if any(getattr(grant, limit) is not None for limit in _LIMITS)]

    @classmethod
    def single(cls, token: Secret) -> Tokens:
        """Return the one token that allows everything."""
        return cls([Grant("gateway", token)])

    def find(self, value: str) -> Grant | None:
        """Return what a token allows. Looks at all of them, so that the time does not tell which one was nearest."""
        given = value.encode("utf-8", "surrogateescape")
        found: Grant | None = None
        for grant in self.grants:
            if hmac.compare_digest(given, grant.token.reveal().encode()):
                found = grant
        return found

    def refresh(self) -> bool:
        """Read the source again where it has changed; return whether it had."""
        return False


class TokenFile(Tokens):
    """Tokens from a file.

    Raises:
        UsageError: it cannot be read, or holds no token.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = _state(path)
        super().__init__(read_tokens(path))

    def refresh(self) -> bool:
        """Read the file again where it has changed. What is wrong with it then is logged and changes nothing."""
        state = _state(self.path)
        if state == self._seen:
            return False
        self._seen = state
        try:
            self.grants = tuple(read_tokens(self.path))
        except UsageError as exc:
            _log.error("the tokens stay as they were: %s", exc.message)
            return False
        _log.info("tokens read again: %s", ", ".join(grant.name for grant in self.grants))
        return True


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        now = path.stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size, now.st_ino


def open_to_all(path: Path) -> bool:
    """Whether every user of this machine may read a file of secrets. Systems without such permissions say no."""
    try:
        return os.name == "posix" and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def read_tokens(path: Path) -> list[Grant]:
    """Return what a token file grants.

    Raises:
        UsageError: it cannot be read, or what it holds is neither one token nor a table of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        hint = f"{_MAKE}; in the file, alone, readable by you only" if isinstance(exc, FileNotFoundError) else ""
        raise UsageError(f"token file {path} cannot be read: {exc.strerror or exc}", hint=hint) from None
    except UnicodeDecodeError as exc:
        raise UsageError(f"token file {path} is not UTF-8 text (byte {exc.start})") from None
    if "[tokens" not in text:
        return [Grant("gateway", _secret("gateway token", text.strip(), f"token file {path}"))]
    document = TomlFile(path, text)
    table = document.data.get("tokens")
    if not isinstance(table, dict) or not table or set(document.data) != {"tokens"}:
        raise document.fail((), "must hold tables [tokens.NAME] and nothing else")
    grants = [_grant(document, name, entry) for name, entry in table.items()]
    if len({grant.token.reveal() for grant in grants}) < len(grants):
        raise document.fail(("tokens",), "two names have the same token")
    return grants


def _grant(document: TomlFile, name: str, entry: Any) -> Grant:
    key = ("tokens", name)
    if not isinstance(entry, dict):
        raise document.fail(key, "must be a table")
    known = {"token", "backends", *_LIMITS}
    for unknown in entry.keys() - known:
        raise document.fail((*key, unknown), f"is not known; there are {', '.join(sorted(known))}")
    for limit in _LIMITS:
        value = entry.get(limit)
        if value is not None and (type(value) is not int or value < 1):
            raise document.fail((*key, limit), "must be a whole number from 1")
    backends = entry.get("backends", ["*"])
    if not isinstance(backends, list) or not backends or not all(isinstance(each, str) for each in backends):
        raise document.fail((*key, "backends"), "must be a list of names or patterns")
    try:
        token = _secret(f"token {name}", entry.get("token", ""), "it")
    except UsageError as exc:
        raise document.fail((*key, "token"), exc.message, hint=exc.hint) from None
    return Grant(
        name,
        token,
        connections=entry.get("connections"),
        streams=entry.get("streams"),
        requests_per_minute=entry.get("requests_per_minute"),
        backends=tuple(backends),
    )


def _secret(name: str, text: Any, where: str) -> Secret:
    whole = (
        isinstance(text, str) and len(text) >= SHORTEST and text.isascii() and text.isprintable() and " " not in text
    )
    if not whole:
        raise UsageError(f"{where} must hold a token of at least {SHORTEST} ASCII characters", hint=_MAKE)
    return Secret(name, text)
