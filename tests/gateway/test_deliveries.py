"""What an operator reads of exports that do not arrive, and what nobody reads."""

from __future__ import annotations

import logging

import pytest

from chatapp.gateway.deliveries import Deliveries, SdkLog, hide_headers, route_sdk_log
from chatapp.redaction import REDACTOR

sdk = logging.getLogger("opentelemetry.sdk.anything")
exporter = logging.getLogger("opentelemetry.exporter.anything")


@pytest.fixture(autouse=True)
def routed(caplog):
    logger = logging.getLogger("opentelemetry")
    before = logger.handlers[:], logger.propagate, logger.level
    logger.handlers[:] = []
    route_sdk_log()
    caplog.set_level(logging.INFO)
    yield
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


def said(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def attempt(deliveries, *messages, arrived):
    with deliveries.attempt():
        for message in messages:
            exporter.warning(message)
    deliveries.note(arrived=arrived)


def test_only_changes_are_said_with_the_first_reason(caplog):
    deliveries = Deliveries("traces", "collector:4318")
    attempt(deliveries, arrived=True)
    attempt(deliveries, "connection refused", "gave up", arrived=False)
    attempt(deliveries, "connection refused", arrived=False)
    attempt(deliveries, arrived=True)
    attempt(deliveries, arrived=False)

    assert said(caplog) == [
        (
            "WARNING",
            "traces do not reach the OpenTelemetry collector at collector:4318; the gateway goes on, and the next line "
            "about it comes when they do: connection refused",
        ),
        ("INFO", "traces reach the OpenTelemetry collector at collector:4318 again"),
        (
            "WARNING",
            "traces do not reach the OpenTelemetry collector at collector:4318; the gateway goes on, and the next line "
            "about it comes when they do: no reason given",
        ),
    ]


def test_what_else_the_sdk_says_is_passed_on_once_and_safely(caplog):
    for number in range(3):
        sdk.warning("Queue full, dropping %d\x1b[2J", number)
    sdk.info("of no interest")

    assert said(caplog) == [("WARNING", "OpenTelemetry: Queue full, dropping 0␛[2J")]
    assert caplog.records[0].name == "chatapp.gateway.deliveries"


def test_loggers_are_routed_once():
    route_sdk_log()
    assert [type(handler) for handler in logging.getLogger("opentelemetry").handlers] == [SdkLog]


def test_headers_are_secrets_in_every_form_and_also_where_they_are_malformed(caplog):
    hide_headers(
        {
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=team%2Dkey%2D1, no-equals-sign-key",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Basic dXNlcjpzZWNyZXQ=",
        }
    )
    sdk.warning("bad headers: team%%2Dkey%%2D1 team-key-1 no-equals-sign-key Basic dXNlcjpzZWNyZXQ=", extra={})

    (_level, text), *_rest = said(caplog)
    for secret in ("team%2Dkey", "team-key-1", "no-equals-sign-key", "dXNlcjpzZWNyZXQ="):
        assert secret not in text
        assert secret not in REDACTOR.text(f"also {text}")
