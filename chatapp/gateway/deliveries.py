"""What is said of exports that do not arrive: one line when that begins, one when it is over, in the gateway's own log.

The SDK says it anew for each batch and each attempt, to loggers of its own, and may quote the headers that hold the
collector's key. So its loggers end here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

from chatapp.redaction import REDACTOR
from chatapp.text.sanitize import sanitize_line

SDK = "opentelemetry"
"""The root of the SDK's loggers."""

LONGEST = 400
"""Characters kept of one message."""

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
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first reason of an export; pass on what has not been said before."""
        text = sanitize_line(REDACTOR.text(record.getMessage()), limit=LONGEST)
        if _export.going_on:
            _export.reason = _export.reason or text
        elif str(record.msg) not in self._told:  # messages differ in their arguments: how many, how long, which batch
            self._told.add(str(record.msg))
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
    for signal in ("", "TRACES_", "METRICS_"):
        for header in environment.get(f"OTEL_EXPORTER_OTLP_{signal}HEADERS", "").split(","):
            value = (header.partition("=")[2] or header).strip()
            for form in (value, unquote(value).strip()):
                REDACTOR.add("OpenTelemetry header", form)
