"""What is said of exports that do not arrive: one line when that begins, one when it is over, in the gateway's own log.

The SDK says it anew for each batch and each attempt, to loggers of its own, and may quote the headers that hold the
collector's key. So its loggers end here.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, unquote

from chatapp.redaction import REDACTOR
from chatapp.text.sanitize import sanitize_line

SDK = "opentelemetry"
"""The root of the SDK's loggers."""

LONGEST = 400
"""Characters kept of one message."""

TOLD_KEPT = 256
"""How many of the SDK's messages are remembered as told; some hold a number, so there is no end of them."""

HARMLESS = {
    "accept",
    "accept-encoding",
    "accept-language",
    "content-encoding",
    "content-type",
    "host",
    "stream-name",
    "user-agent",
    "x-axiom-dataset",
    "x-honeycomb-dataset",
    "x-scope-orgid",
}
"""Headers of collectors that say which data it is, or in which form, in words that ordinary messages hold, too."""

_SIGNALS = ("", "TRACES_", "METRICS_")

_log = logging.getLogger(__name__)


class _Export(threading.local):
    """The export that a thread is at, and the first reason it has heard for a failure."""

    going_on = False
    reason = ""


_export = _Export()


class Deliveries:
    """Whether one signal arrives.

    Args:
        what: traces or metrics.
        where: the collector, as an operator knows it.
    """

    def __init__(self, what: str, where: str) -> None:
        self.failing = False
        self._what = what
        self._where = where

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Listen to what the SDK says while it exports."""
        _export.going_on, _export.reason = True, ""
        try:
            yield
        finally:
            _export.going_on = False

    def note(self, *, arrived: bool) -> None:
        """Say so where this is a change."""
        if arrived and self.failing:
            _log.info("%s reach the OpenTelemetry collector at %s again", self._what, self._where)
        elif not arrived and not self.failing:
            _log.warning(
                "%s do not reach the OpenTelemetry collector at %s; the gateway goes on, and the next line about it "
                "comes when they do: %s",
                self._what,
                self._where,
                _export.reason or "no reason given",
            )
        self.failing = not arrived


class SdkLog(logging.Handler):
    """Takes what the SDK logs: reasons for a failed export go to its `Deliveries`, all else on, but once."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, None] = {}  # in the order in which they came

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first reason of an export; pass on what has not been said before."""
        text = sanitize_line(REDACTOR.text(record.getMessage()), limit=LONGEST)
        kind = str(record.msg)[:LONGEST]  # messages differ in their arguments: how many, how long, which batch
        if _export.going_on:
            _export.reason = _export.reason or text
        elif kind not in self._told:
            self._told[kind] = None
            if len(self._told) > TOLD_KEPT:
                del self._told[next(iter(self._told))]
            _log.log(record.levelno, "OpenTelemetry: %s", text, exc_info=record.exc_info)


def route_sdk_log() -> None:
    """Have the SDK's loggers end in ours. Idempotent."""
    logger = logging.getLogger(SDK)
    if not any(isinstance(handler, SdkLog) for handler in logger.handlers):
        logger.addHandler(SdkLog())
    logger.propagate = False
    logger.setLevel(logging.WARNING)


def hide_headers(environment: Mapping[str, str]) -> None:
    """Register what is sent to the collector in headers as secrets: which of them holds its key is not known."""
    for signal in _SIGNALS:
        for header in environment.get(f"OTEL_EXPORTER_OTLP_{signal}HEADERS", "").split(","):
            name, equals, value = header.partition("=")
            if not equals or unquote(name).strip().lower() not in HARMLESS:
                _hide("header", value if equals else header)


def hide_endpoints(environment: Mapping[str, str]) -> None:
    """Register the userinfo and the query values of the collector's addresses as secrets.

    By hand, and rather too much than too little: a password with a slash in it is no userinfo to a URL parser, which
    then says parts of it in its error.
    """
    for signal in _SIGNALS:
        endpoint = environment.get(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", "")
        address, _, query = endpoint.partition("#")[0].partition("?")
        after_scheme = address.rpartition("://")[2]
        for reading in (after_scheme.partition("/")[0], after_scheme):
            userinfo = reading.rpartition("@")[0]
            for part in (userinfo, userinfo.partition(":")[2], *userinfo.split("/")):
                _hide("endpoint", part)
        for field in re.split("[&;]", query):
            _hide("endpoint", field.partition("=")[2] or field)


def _hide(where: str, value: str) -> None:
    """Register a value as it is written, as it is sent, and as an exporter's errors quote it."""
    plain = unquote(value)
    for form in (value, plain, quote(plain, safe=""), quote(value, safe="!#$%&'()*+,/:;=?@[]~")):
        stripped = form.strip()
        for shown in (stripped, repr(stripped)[1:-1], repr(stripped.encode())[2:-1]):
            REDACTOR.add(f"OpenTelemetry-{where}", shown)
