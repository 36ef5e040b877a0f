"""What the SDK and the network raise, as `Failed` events: which step failed, whose fault it is, what to do."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator

import httpx2
import openai

from chatapp.backends.dialing import DialError
from chatapp.protocol.failures import failed, failure_from_body, retry_after
from chatapp.stream.events import Failed


def explain(exc: Exception, *, where: str, key_variable: str = "", key_sent: bool = True) -> Failed:
    """Return the failure that an exception of a request means.

    Args:
        exc: raised by the SDK, or by the transport beneath it.
        where: who was asked, as a person calls it: a provider, or host and port.
        key_variable: named in the hint where the key was refused.
        key_sent: whether there was one to refuse.
    """
    now_ns = time.monotonic_ns()
    if isinstance(exc, openai.APIStatusError):
        return _refused(exc.response, now_ns, where, key_variable, key_sent)
    causes = list(_causes(exc))
    for cause in causes:  # what exactly failed stands deeper than what it is called above
        if isinstance(cause, ssl.SSLError):
            # OpenSSL's own errors carry these; one raised in Python has its message only
            reason = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
            return failed("tls", f"{where}: no secure connection: {reason}", at_ns=now_ns)
        if isinstance(cause, DialError):
            said = str(cause) if str(cause).startswith(where) else f"{where}: {cause}"
            return failed(cause.code, said, at_ns=now_ns, retryable=cause.code == "unreachable")
    root = causes[-1]
    code, said, retryable = _network_failure(exc, causes)
    return failed(code, f"{where}: {said or str(root) or type(root).__name__}", at_ns=now_ns, retryable=retryable)


def _network_failure(exc: Exception, causes: list[BaseException]) -> tuple[str, str, bool | None]:
    """Return (code, message or empty, retryable or None for the code's usual)."""
    for cause in causes:
        if isinstance(cause, httpx2.ConnectTimeout):
            return "unreachable", str(cause), None
        if isinstance(cause, (httpx2.TimeoutException, TimeoutError)):
            return "timeout", "no answer in time", None
        if isinstance(cause, httpx2.ProxyError):
            return "unreachable", f"the proxy refused: {cause}", False
        if isinstance(cause, (httpx2.UnsupportedProtocol, httpx2.InvalidURL)):
            return "unreachable", f"not a usable address: {cause}", False
    if isinstance(exc, openai.APIConnectionError) or any(isinstance(c, httpx2.TransportError) for c in causes):
        return "unreachable", f"the connection broke: {str(causes[-1]) or type(causes[-1]).__name__}", None
    return "bad_stream", "", False


def _refused(response: httpx2.Response, now_ns: int, where: str, key_variable: str, key_sent: bool) -> Failed:
    status = response.status_code
    if 300 <= status < 400:
        # Not followed: a POST may turn into a GET, the key would travel on, and the redirect would be in the TTFT.
        target = response.headers.get("location", "nowhere")
        return failed(
            "bad_request",
            f"{where}: HTTP {status}: the server redirects to {target}",
            at_ns=now_ns,
            status=status,
            hint="use that address as the base URL",
        )
    headers = {name.lower(): value for name, value in response.headers.items()}
    failure = failure_from_body(
        response.content,
        at_ns=now_ns,
        status=status,
        retry_after_s=retry_after(headers, now_s=time.time()),
        where=where,
    )
    if failure.code == "auth" and key_variable:
        wants = (
            f"the key in {key_variable} was not accepted" if key_sent else f"it wants a key: export {key_variable}=..."
        )
        return failed("auth", failure.message, at_ns=now_ns, status=status, hint=wants)
    return failure


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
