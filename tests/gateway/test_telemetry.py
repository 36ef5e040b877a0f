"""What an environment asks for in OpenTelemetry's own variables, and what of it can be had."""

from __future__ import annotations

import os
import sys

import pytest

from chatapp.gateway import telemetry
from chatapp.gateway.telemetry import open_telemetry, wanted
from tests.gateway.collector import nobody


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


async def test_nothing_is_there_where_the_environment_does_not_ask():
    assert open_telemetry({}) == (None, [])
    assert open_telemetry({"OTEL_SERVICE_NAME": "stage", "OTEL_BSP_SCHEDULE_DELAY": "50"}) == (None, [])


OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "traces", "metrics"),
    [
        ({}, False, False),
        (OTLP, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False, False),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"}, False, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, False),
        ({"OTEL_METRICS_EXPORTER": "console, otlp"}, False, True),
        (OTLP | {"OTEL_SDK_DISABLED": "True"}, False, False),
        (OTLP | {"OTEL_SDK_DISABLED": "false"}, True, True),
        (OTLP | {"OTEL_TRACES_EXPORTER": "none"}, False, True),
        (OTLP | {"OTEL_METRICS_EXPORTER": "None"}, True, False),
        (OTLP | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, True),
    ],
)
def test_what_an_environment_asks_for(environment, traces, metrics):
    asked = wanted(environment)
    assert (asked.traces, asked.metrics, asked.warnings) == (traces, metrics, ())


def test_what_cannot_be_had_is_said_once_for_each_signal():
    asked = wanted(OTLP | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_METRICS_EXPORTER": "prometheus"})
    assert not asked.traces
    assert not asked.metrics
    assert [warning.partition(":")[0] for warning in asked.warnings] == [
        "OTEL_EXPORTER_OTLP_PROTOCOL says 'grpc', here there is only http/protobuf (port 4318)",
        "OTEL_METRICS_EXPORTER says 'prometheus', here there is only otlp",
    ]
    own = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert wanted(OTLP | own).traces, "the signal's own variable counts"


def without_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "chatapp.gateway.otlp", raising=False)
    monkeypatch.delattr("chatapp.gateway.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)


async def test_a_missing_extra_is_one_line_and_the_gateway_goes_on(monkeypatch, caplog):
    without_the_extra(monkeypatch)
    meter, said = open_telemetry(OTLP)

    assert meter is None
    assert said == [
        "OpenTelemetry: what OTEL_EXPORTER_OTLP_ENDPOINT asks for needs the extra 'otel'; nothing is exported "
        "(pip install 'chatapp[otel]')"
    ]
    assert [record.getMessage() for record in caplog.records] == said
    assert telemetry.check({}) == (wanted({}), []), "who does not ask is not told"


def test_a_variable_that_the_sdk_cannot_use_costs_the_traces_and_not_the_gateway(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nobody())
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "-1")
    meter, said = open_telemetry(os.environ)

    assert meter is None
    assert len(said) == 1
    assert said[0].startswith("OpenTelemetry cannot be set up, nothing is exported: ValueError")


def test_a_password_that_breaks_the_endpoint_is_in_no_line_about_it(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://bob:HID/DEN@127.0.0.1:9")
    meter, said = open_telemetry(os.environ)

    assert meter is None
    assert said == [
        "OpenTelemetry cannot be set up, nothing is exported: ValueError; one of the OTEL_ variables holds what the "
        "SDK cannot use"
    ]
    assert "HID" not in caplog.text
