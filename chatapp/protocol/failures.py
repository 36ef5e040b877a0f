"""What servers say when they fail, as one vocabulary: error bodies and status numbers in, `Failed` out.

The codes are those of `chatapp.errors.BackendError`. Everything quoted from a server is redacted, made safe for a
terminal and cut: it may be a whole HTML page, and it may repeat the key that was sent.
"""

from __future__ import annotations

import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from chatapp.errors import BackendError
from chatapp.redaction import REDACTOR
from chatapp.stream.events import Failed
from chatapp.text.sanitize import sanitize_line

QUOTED = 200
"""Characters quoted of a server's own words."""

_BY_STATUS = {
    400: "bad_request",
    401: "auth",
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "bad_request",
    422: "bad_request",
    429: "rate_limited",
    504: "timeout",
}

_BY_WORD = (
    # (found in the error's type or code, our code); the first match counts
    ("rate_limit", "rate_limited"),
    ("too_many", "rate_limited"),
    ("quota", "rate_limited"),
    ("auth", "auth"),
    ("api_key", "auth"),
    ("permission", "auth"),
    ("not_found", "not_found"),
    ("timeout", "timeout"),
    ("overloaded", "server_error"),
    ("context_length", "bad_request"),
    ("invalid", "bad_request"),
)

HINTS = {
    "auth": "check the key: chatapp backends list names its variable",
    "not_found": "check the model's name and the base URL; chatapp backends check NAME tries it",
    "rate_limited": "wait, or lower the concurrency",
    "bad_request": "the server refused this request; a shorter conversation or another model may help",
    "server_error": "try again; the provider's status page may know more",
    "unreachable": "is the server running, and is the address right?",
    "dns": "check the host's name and the network",
    "tls": "check the certificate, the clock of this machine, and whether the server speaks HTTPS at all",
    "timeout": "try again; the server may be loading a model or be overloaded",
    "stalled": "try again; what arrived is kept",
    "truncated": "try again; what arrived is kept",
    "bad_stream": "is this the base URL of an OpenAI-compatible API? It usually ends in /v1",
}

_RETRYABLE = frozenset({"rate_limited", "server_error", "timeout", "unreachable"})


def code_of_status(status: int) -> str:
    """Return our code for an HTTP status that is an error."""
    return _BY_STATUS.get(status, "server_error" if status >= 500 else "bad_request")


def failed(
    code: str,
    message: str,
    *,
    at_ns: int,
    status: int | None = None,
    hint: str = "",
    retryable: bool | None = None,
    retry_after_s: float | None = None,
) -> Failed:
    """Return a `Failed` whose message is safe to show, with the code's usual hint where none is given."""
    return Failed(
        at_ns=at_ns,
        code=code,
        message=clean(message, limit=3 * QUOTED),
        hint=hint or HINTS.get(code, ""),
        status=status,
        retryable=code in _RETRYABLE if retryable is None else retryable,
        retry_after_s=retry_after_s,
    )


def failure_from_body(
    body: bytes, *, at_ns: int, status: int | None = None, retry_after_s: float | None = None, where: str = ""
) -> Failed:
    """Return the failure that an error body describes: of a refused request, or of an `error` inside a stream.

    Args:
        body: JSON in any of the usual shapes, HTML, or anything.
        at_ns: when it arrived.
        status: the HTTP status, where the response itself was the error.
        retry_after_s: as the headers say.
        where: what was asked, put before the server's words.
    """
    error = _error_of(body)
    words = " ".join(str(error.get(name) or "") for name in ("type", "code")).lower()
    inner = status
    if inner is None and isinstance(error.get("code"), int):
        inner = error["code"]  # OpenRouter: the upstream's HTTP status as `code`
    code = next((ours for word, ours in _BY_WORD if word in words), "")
    if inner is not None and inner >= 400:
        # The status decides; the words may only refine a plain "bad request".
        by_status = code_of_status(inner)
        code = code if by_status == "bad_request" and code else by_status
    said = str(error.get("message") or "") or page_text(body)
    prefix = f"{where}: " if where else ""
    said = said or "the server gave no reason"
    if inner is not None:
        prefix += f"HTTP {inner}: "
    return failed(
        code or "server_error",
        prefix + clean(said, limit=QUOTED),
        at_ns=at_ns,
        status=inner,
        retryable=False if "insufficient_quota" in words else None,  # 429 as well, but waiting does not help
        retry_after_s=retry_after_s,
    )


def says_error(body: bytes) -> bool:
    """Return whether a body describes an error in words, in any of the known shapes."""
    return bool(_error_of(body).get("message"))


def _error_of(body: bytes) -> dict[str, Any]:
    """Return {type, code, message} of any known shape of error body."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(raw, list) and raw:  # Google's compatible endpoint answers with a list of one
        raw = raw[0]
    if not isinstance(raw, dict):
        return {}
    error = raw.get("error", raw)
    if isinstance(error, str):  # Ollama, TGI
        return {"message": error, "type": raw.get("error_type") or ""}
    if not isinstance(error, dict):
        return {}
    if not error.get("message") and isinstance(error.get("detail"), str):  # FastAPI
        return {**error, "message": error["detail"]}
    return error


def as_error(failure: Failed) -> BackendError:
    """Return a failure as an exception, for who waits instead of iterating."""
    return BackendError(
        failure.code,
        failure.message,
        hint=failure.hint,
        status=failure.status,
        retryable=failure.retryable,
        retry_after_s=failure.retry_after_s,
    )


def page_text(body: bytes, *, limit: int = QUOTED) -> str:
    """Return the readable beginning of an HTML page or of any other body, cleaned."""
    text = body[: 64 << 10].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1\s*>", " ", text)
    text = re.sub(r"(?s)<[^>]*>", " ", text)
    return clean(text, limit=limit)


def clean(text: str, *, limit: int) -> str:
    """Return foreign text as one safe line: redacted, without control characters, white space joined, cut."""
    # The whole is redacted before it is cut: half a key is no longer recognised as one.
    return sanitize_line(" ".join(REDACTOR.text(text).split()), limit=limit)


def retry_after(headers: dict[str, str], *, now_s: float) -> float | None:
    """Return the seconds that a refused request should wait.

    As `retry-after-ms` or `retry-after` (seconds, or an HTTP date) say; without them, until the limits that are used up
    begin anew: `x-ratelimit-reset-tokens` and its like, of tokens and requests, a minute or a day.

    Args:
        headers: names in lower case.
        now_s: the wall clock now, seconds since 1970, for the date form.
    """
    try:
        if "retry-after-ms" in headers:
            return _sensible(float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after", "")
        if value.strip().replace(".", "", 1).isdigit():
            return _sensible(float(value))
        if value:
            return _sensible(parsedate_to_datetime(value).astimezone(UTC).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
    return _until_reset(headers)


_RESET = "x-ratelimit-reset-"
_REMAINING = "x-ratelimit-remaining-"
_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


def _until_reset(headers: dict[str, str]) -> float | None:
    """Return when the last of the used-up limits begins anew; of those that do not say what remains, all count."""
    waits = []
    for name, value in headers.items():
        if name.startswith(_RESET) and headers.get(_REMAINING + name.removeprefix(_RESET), "0").strip() == "0":
            seconds = _span(value.strip())
            if seconds is not None:
                waits.append(seconds)
    return _sensible(max(waits)) if waits else None


def _span(text: str) -> float | None:
    """Read `33.01` (seconds, Cerebras) or `6m0s`, `1.2s`, `59ms` (OpenAI, Groq)."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    found = _SPAN.fullmatch(text)
    if not text or found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _sensible(seconds: float) -> float | None:
    return max(0.0, seconds) if seconds < 86_400 * 7 else None  # false for NaN, too
