"""Everything that can go wrong, as one tree.

* ChatappError                  exit code 1
    * UsageError                exit code 2: the call itself was wrong
        * UnknownNameError      a backend, model, system, demo ... that does not exist; names the nearest
        * ConfigError           config.toml or another settings file; names file, line and column
        * FileFormatError       a recording, script, claim, workload or facts file; names file and line
        * MissingKeyError       a backend needs an API key that is not set; names the variable
    * BackendError              what produced tokens failed; carries a stable `code`
    * GatewayError              the gateway could not be started or reached
    * ExtraMissingError         a feature needs an optional extra that is not installed

A message says what was wrong and where; `hint` says what to do about it. No message ever holds a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class ChatappError(Exception):
    """Base of all errors that a user may see.

    Args:
        message: what was wrong, and where, in one line.
        hint: what to do about it, in one line; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ChatappError):
    """The call was wrong: nothing was tried."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not known; the message offers the nearest known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.nearest = nearest_names(name, known)
        near = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        super().__init__(f"unknown {kind} {name!r}{near}", hint=hint)


class SourceError(UsageError):
    """Something wrong in a file a person edits, located as exactly as is known."""

    def __init__(
        self, path: Path | str, message: str, *, line: int | None = None, column: int | None = None, hint: str = ""
    ) -> None:
        self.path = str(path)
        self.line = line
        self.column = column
        where = self.path
        if line is not None:
            where += f":{line}"
            if column is not None:
                where += f":{column}"
        super().__init__(f"{where}: {message}", hint=hint)


class ConfigError(SourceError):
    """A settings file is broken."""


class FileFormatError(SourceError):
    """A recording, script, claim, workload or facts file is broken."""


class MissingKeyError(UsageError):
    """A backend needs an API key that is not set."""

    def __init__(self, backend: str, variable: str) -> None:
        self.variable = variable
        super().__init__(
            f"backend {backend!r} needs an API key and {variable} is not set",
            hint=f"export {variable}=...  or choose another backend: chatapp backends list",
        )


class BackendError(ChatappError):
    """What produces tokens failed.

    `code` is stable and travels on the wire: auth, not_found, rate_limited, bad_request, server_error, unreachable,
    dns, tls, timeout, stalled, truncated, bad_stream, loading_failed, unsupported.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class GatewayError(ChatappError):
    """The gateway could not be started or reached, or ended."""


class ExtraMissingError(ChatappError):
    """A feature needs an optional extra that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}", hint=f"pip install 'chatapp[{extra}]'")


def nearest_names(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Return up to `limit` known names that look like `name`, the likeliest first."""
    from rapidfuzz import fuzz, process  # 20 ms to import, and only errors need it

    found = process.extract(name, list(known), scorer=fuzz.WRatio, processor=str.lower, limit=limit, score_cutoff=55)
    return [match for match, _score, _index in found]
