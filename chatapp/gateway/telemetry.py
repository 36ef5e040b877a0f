"""Whether the environment asks for OpenTelemetry, in its own standard variables, and who then reports to it.

Which signals go out is decided here; where to, with which headers, how often and how much is left to the SDK, which
reads its variables itself (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Nothing
of OpenTelemetry is imported where the environment does not ask, or asks for nothing that can be had.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from chatapp.errors import ExtraMissingError
from chatapp.gateway.meter import Meter
from chatapp.text.sanitize import sanitize_line

SIGNALS = ("TRACES", "METRICS")
PROTOCOL = "http/protobuf"
"""The one way to a collector that the extra brings; the specification's default."""

_log = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """What the environment asks for."""

    traces: bool
    metrics: bool
    because: str = ""
    """The variable that asks."""
    warnings: tuple[str, ...] = ()
    """What it asks for and cannot have."""


def wanted(environment: Mapping[str, str]) -> Wanted:
    """Return what an environment asks for; without a word about OpenTelemetry in it, nothing."""
    if _said(environment, "OTEL_SDK_DISABLED") == "true":
        return Wanted(traces=False, metrics=False)
    asked: dict[str, str] = {}
    warnings: list[str] = []
    for signal in SIGNALS:
        because, warning = _asks(environment, signal)
        if warning:
            warnings.append(warning)
        elif because:
            asked[signal] = because
    because = next(iter(asked.values()), "")
    return Wanted("TRACES" in asked, "METRICS" in asked, because, tuple(warnings))


def _asks(environment: Mapping[str, str], signal: str) -> tuple[str, str]:
    """Return the variable that asks for a signal, if one does, and what cannot be had of it."""
    selector = f"OTEL_{signal}_EXPORTER"
    exporters = [name.strip() for name in _said(environment, selector).split(",") if name.strip()]
    endpoints = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    because = next((name for name in endpoints if _said(environment, name)), selector if exporters else "")
    if not because or "none" in exporters:
        return "", ""
    nothing = f"no {signal.lower()} are exported"
    if exporters and "otlp" not in exporters:
        return because, f"{selector} says {sanitize_line(exporters[0], limit=40)!r}, here there is only otlp: {nothing}"
    protocols = (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in protocols:
        protocol = _said(environment, name)
        if protocol and protocol != PROTOCOL:
            said = sanitize_line(protocol, limit=40)
            return because, f"{name} says {said!r}, here there is only {PROTOCOL} (port 4318): {nothing}"
        if protocol:
            break
    return because, ""


def _said(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name, "").strip().lower()


def check(environment: Mapping[str, str]) -> tuple[Wanted, list[str]]:
    """Return what an environment asks for and can have, and one line for the operator about each thing it cannot."""
    asked = wanted(environment)
    lines = [f"OpenTelemetry: {warning}" for warning in asked.warnings]
    if asked.traces or asked.metrics:
        try:
            import chatapp.gateway.otlp  # noqa: F401
        except ImportError:
            missing = ExtraMissingError(f"what {asked.because} asks for", "otel")
            lines.append(f"OpenTelemetry: {missing.message}; nothing is exported ({missing.hint})")
            asked = asked._replace(traces=False, metrics=False)
    return asked, lines


def open_telemetry(environment: Mapping[str, str], *, worker: bool = False) -> tuple[Meter | None, list[str]]:
    """Return what reports to OpenTelemetry, None where it is not asked for or cannot be had, and lines as from `check`.

    Args:
        environment: the process's own, which the SDK reads, too.
        worker: this is one of several processes of one gateway.
    """
    asked, lines = check(environment)
    meter: Meter | None = None
    if asked.traces or asked.metrics:
        from chatapp.gateway.otlp import OtlpMeter

        try:
            meter = OtlpMeter(traces=asked.traces, metrics=asked.metrics, worker=worker)
        except Exception as exc:  # whatever a variable says: a gateway without traces is better than none
            lines.append(  # what it says may be a piece of a key
                f"OpenTelemetry cannot be set up, nothing is exported: {type(exc).__name__}; one of the OTEL_ "
                "variables holds what the SDK cannot use"
            )
        else:
            what = " and ".join(name for name, on in (("traces", asked.traces), ("metrics", asked.metrics)) if on)
            _log.info("OpenTelemetry: %s are exported, as %s asks", what, asked.because)
    for line in lines:
        _log.warning("%s", line)
    return meter, lines
