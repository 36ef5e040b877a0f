"""What an operator reads of exports that do not arrive, and what nobody reads."""

from __future__ import annotations

import logging

import pytest

from chatapp.gateway.deliveries import TOLD_KEPT, Deliveries, SdkLog, hide_endpoints, hide_headers, route_sdk_log
from chatapp.redaction import REDACTOR, Redactor

sdk = logging.getLogger("opentelemetry.sdk.anything")
exporter = logging.getLogger("opentelemetry.exporter.anything")


@pytest.fixture
def redactor(monkeypatch):
    """One that knows nothing yet: what a test registers is not to be missing in the messages of others."""
    redactor = Redactor()
    monkeypatch.setattr("chatapp.gateway.deliveries.REDACTOR", redactor)
    return redactor


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


def test_a_header_with_a_newline_is_hidden_as_the_exporter_quotes_it(redactor):
    hide_headers({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=HIDDEN%0AVALUE1"})
    value = "HIDDEN\nVALUE1"
    assert redactor.text(f"in header value: {value!r}") == "in header value: '[REDACTED:OpenTelemetry-header]'"


def test_what_a_harmless_header_says_stays_readable(redactor):
    hide_headers({"OTEL_EXPORTER_OTLP_HEADERS": "X-Scope-OrgID=default, content-type =application/json"})
    assert redactor.text("the default is application/json") == "the default is application/json"


@pytest.mark.parametrize("signal", ["", "TRACES_", "METRICS_"])
@pytest.mark.parametrize(
    ("endpoint", "shown", "secrets"),
    [
        ("http://c/v1?apikey=HIDDEN1&dd-api-key=HIDDEN2", "/v1?apikey=HIDDEN1&dd-api-key=HIDDEN2", 2),
        ("http://c/v1?k=HID%2Dde%2fn", "/v1?k=HID-de%2Fn and HID%2Dde%2fn and HID-de/n", 3),
        ("http://c/v1?k=HID den1#x", "/v1?k=HID%20den1", 1),
        ("http://c/v1?HIDDEN1", "/v1?HIDDEN1", 1),
        ("http://bob:HIDDEN@c:9/v1", "HIDDEN at bob:HIDDEN", 2),
        ("http://HIDDEN@c:9/v1", "HIDDEN", 1),
        ("http://bob:HIDDEN/HIDDEN2@c:9", "bob:HIDDEN and /HIDDEN2@c:9 and HIDDEN/HIDDEN2", 3),
        ("http://bob:HIDDEN@c:9/v1/@x?k=1", "HIDDEN", 1),
    ],
)
def test_what_an_endpoint_holds_of_keys_is_hidden_as_it_is_written_and_as_it_is_sent(
    redactor, signal, endpoint, shown, secrets
):
    hide_endpoints({f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT": endpoint})
    text = redactor.text(shown)
    assert "HID" not in text
    assert text.count("[REDACTED:") == secrets


def test_an_endpoint_without_keys_hides_nothing(redactor):
    hide_endpoints({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/v1/traces"})
    assert not redactor.secrets


def test_what_has_been_said_is_not_kept_for_ever(caplog):
    for number in range(TOLD_KEPT + 1):
        sdk.warning(f"bad {number}")
    caplog.clear()
    sdk.warning(f"bad {TOLD_KEPT}")
    assert said(caplog) == [], "the newest are still known"
    sdk.warning("bad 0")
    assert said(caplog) == [("WARNING", "OpenTelemetry: bad 0")], "the oldest no longer"
