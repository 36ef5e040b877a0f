"""OpenTelemetry: a real gateway and real clients before a collector, one that is not there, and one of no use."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid

import pytest

from chatapp.client.connection import Connection, ResponseCreate
from chatapp.gateway.meter import MOST_NAMES, Ended
from chatapp.gateway.telemetry import open_telemetry
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Request, Sent, Usage
from tests.gateway.collector import attributes, black_hole, collecting, nobody
from tests.gateway.raw import OPENING, connected
from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, endless, now, serving, until

pytestmark = pytest.mark.timeout(60)

CLIENT = 3
"""SPAN_KIND_CLIENT"""
ERROR = 2
"""STATUS_CODE_ERROR"""
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACE = f"00-{TRACE_ID}-{SPAN_ID}-01"
CANARY = "canary-of-the-prompt-and-the-answer"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    """Ask for nothing, but let batches that a test waits for leave at once."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@pytest.fixture
def collector(monkeypatch):
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


def opened():
    meter, lines = open_telemetry(os.environ)
    assert not lines
    return meter


async def told(request):
    """A whole answer whose times are known to the nanosecond: 250 ms to the first token, 10 ms for each later one."""
    at = now() - 1_000_000_000
    yield Sent(at, "kernel", request_id="req_upstream")
    yield Delta(CANARY, at + 250_000_000, tokens=1)
    for number in range(1, 5):
        yield Delta(" word", at + 250_000_000 + number * 10_000_000, tokens=1)
    yield Usage(7, 5, 0, 2)
    yield Finished(at + 300_000_000, "stop", {"model": "model-2026-11-01", "request_id": "req_upstream"})


async def failing(request):
    yield Sent(now())
    yield Delta("half an ans", now(), tokens=1)
    yield Failed(now(), "server_error", f"cannot answer {request.prompt!r}")


async def unreachable(request):
    yield Failed(now(), "unreachable", f"no connection for {request.prompt!r}")


async def ask(client, end, **fields):
    await client.say(input=CANARY, **fields)
    return (await client.until(end))[-1]["response"]["id"]


async def test_a_whole_answer_is_one_span_with_its_measured_times(collector):
    backend = ScriptedBackend(told, "scripted")
    backend.address = ("api.example.com", 443)
    trace = {"traceparent": TRACE, "tracestate": "vendor=1"}
    async with serving(backend, meter=opened()) as (_gateway, url), connected(url, headers=OPENING | trace) as client:
        response = await ask(client, "response.completed", model="scripted", max_output_tokens=99, temperature=0.5)

    span, found = collector.span(response)
    assert (span.name, span.kind, span.status.code) == ("chat scripted", CLIENT, 0)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE_ID, SPAN_ID, "vendor=1")
    assert span.end_time_unix_nano - span.start_time_unix_nano == 300_000_000
    (event,) = span.events
    assert event.name == "chatapp.first_chunk"
    assert event.time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert abs(time.time_ns() - span.start_time_unix_nano) < 60e9
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tests",
        "gen_ai.request.model": "scripted",
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "model-2026-11-01",
        "gen_ai.response.id": response,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.conversation.id": response,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "server.address": "api.example.com",
        "server.port": 443,
        "chatapp.arrival_source": "kernel",
        "chatapp.backend.kind": "live",
        "chatapp.backend.name": "scripted",
        "chatapp.upstream.request_id": "req_upstream",
    }


async def test_metrics_have_the_names_units_and_buckets_of_the_conventions(collector):
    meter = opened()
    async with serving(ScriptedBackend(told), meter=meter) as (_gateway, url), connected(url) as client:
        await ask(client, "response.completed", model="scripted")
        await ask(client, "response.completed", model="scripted")

    assert set(collector.instruments) == {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
    }
    seconds = [0.01 * 2**power for power in range(14)]
    expected = {
        "gen_ai.client.operation.duration": ("s", seconds, 0.3),
        "gen_ai.client.operation.time_to_first_chunk": ("s", seconds, 0.25),
        "gen_ai.server.time_to_first_token": (
            "s",
            [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
            0.25,
        ),
        "gen_ai.server.time_per_output_token": (
            "s",
            [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5],
            0.01,
        ),
    }
    for name, (unit, bounds, value) in expected.items():
        ((point, found),) = collector.points(name)
        assert collector.instruments[name].unit == unit
        assert list(point.explicit_bounds) == pytest.approx(bounds)
        assert (point.count, point.sum) == (2, pytest.approx(2 * value)), name
        assert found == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "tests",
            "gen_ai.request.model": "scripted",
            "gen_ai.response.model": "model-2026-11-01",
            "chatapp.backend.kind": "live",
        }
        assert {exemplar.trace_id for exemplar in point.exemplars} <= {span.trace_id for span in collector.spans}
    assert collector.instruments["gen_ai.client.token.usage"].unit == "{token}"
    usage = {found["gen_ai.token.type"]: point for point, found in collector.points("gen_ai.client.token.usage")}
    assert {kind: point.sum for kind, point in usage.items()} == {"input": 14, "output": 10}
    assert list(usage["input"].explicit_bounds) == [4.0**power for power in range(14)]


async def test_failures_and_cancels_are_told_apart(collector):
    backends = [
        ScriptedBackend(script, name)
        for name, script in (("failing", failing), ("unreachable", unreachable), ("endless", endless))
    ]
    async with serving(*backends, meter=opened()) as (_gateway, url), connected(url) as client:
        broken = await ask(client, "response.failed", model="failing")
        never = await ask(client, "response.failed", model="unreachable")
        await client.say(model="endless", input=CANARY)
        await client.until("response.output_text.delta")
        await client.say(kind="response.cancel")
        cancelled = (await client.until("response.incomplete"))[-1]["response"]["id"]

    for response, error in ((broken, "server_error"), (never, "unreachable")):
        span, found = collector.span(response)
        assert (span.status.code, span.status.message) == (ERROR, error), "the code alone: messages quote prompts"
        assert found["error.type"] == error
        assert "gen_ai.response.finish_reasons" not in found
        assert span.end_time_unix_nano >= span.start_time_unix_nano
    assert [event.name for event in collector.span(never)[0].events] == []
    span, found = collector.span(cancelled)
    assert span.status.code == 0
    assert found["gen_ai.response.finish_reasons"] == ["cancelled"]
    assert "error.type" not in found
    points = collector.points("gen_ai.client.operation.duration")
    assert {found["gen_ai.request.model"]: found.get("error.type") for _point, found in points} == {
        "failing": "server_error",
        "unreachable": "unreachable",
        "endless": None,
    }
    assert "gen_ai.server.time_to_first_token" not in collector.instruments, "of successful responses only"


async def test_an_answer_cut_off_is_an_error_and_a_fallback_is_told(collector):
    async def cut(_request):
        yield Sent(now())
        yield Delta("half", now())
        yield Finished(now(), "truncated")

    backends = ScriptedBackend(cut, "cut"), ScriptedBackend(unreachable, "down"), ScriptedBackend(echo, "stand-in")
    async with serving(*backends, meter=opened(), fallback="stand-in") as (_gateway, url), connected(url) as client:
        half = await ask(client, "response.incomplete", model="cut")
        replaced = await ask(client, "response.completed", model="down")

    assert collector.span(half)[1]["error.type"] == "truncated"
    span, found = collector.span(replaced)
    assert (span.name, span.status.code) == ("chat stand-in", 0)
    assert found["chatapp.backend.name"] == "stand-in"
    assert (found["chatapp.fallback.asked"], found["chatapp.fallback.code"]) == ("down", "unreachable")


async def test_no_text_and_no_key_leaves_but_to_the_collector_itself(collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team-key=key%2Dof%2Dthe%2Dcollector")
    backends = ScriptedBackend(told), ScriptedBackend(failing, "failing")
    async with serving(*backends, meter=opened()) as (_gateway, url), connected(url) as client:
        await ask(client, "response.completed", model="scripted", instructions=CANARY, metadata={"a": CANARY})
        await ask(client, "response.failed", model="failing")

    assert len(collector.spans) == 2
    everything = b"".join(collector.raw)
    assert CANARY.encode() not in everything
    assert TOKEN.reveal().encode() not in everything
    assert b"key-of-the-collector" not in everything
    assert {headers["x-team-key"] for headers in collector.headers} == {"key-of-the-collector"}


async def test_turns_of_a_conversation_bear_its_name_and_a_simulation_its_kind(collector):
    async with serving(ScriptedBackend(echo, kind="simulated"), meter=opened()) as (_gateway, url):
        connection = await Connection.open(url, TOKEN)
        first = ResponseCreate(model="scripted", input=(Message("user", "one"),))
        assert isinstance([event async for event in connection.respond(first)][-1], Finished)
        await connection.aclose()
        async with connected(url) as client:
            one = await ask(client, "response.completed", model="scripted")
            two = await ask(client, "response.completed", model="scripted", previous_response_id=one)

    assert collector.span(two)[1]["gen_ai.conversation.id"] == one
    assert len({span.trace_id for span in collector.spans}) == 3, "without a traceparent, a trace each"
    for span in collector.spans:
        found = attributes(span)
        assert (found["gen_ai.provider.name"], found["chatapp.backend.kind"]) == ("simulated", "simulated")


async def test_who_exports_is_what_the_environment_says_and_else_has_a_name_of_its_own(collector, monkeypatch):
    async with serving(ScriptedBackend(echo), meter=opened()) as (_gateway, url), connected(url) as client:
        await ask(client, "response.completed", model="scripted")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "stage")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=left,deployment.environment.name=talk")
    async with serving(ScriptedBackend(echo), meter=opened()) as (_gateway, url), connected(url) as client:
        await ask(client, "response.completed", model="scripted")

    first, second = (attributes(each.resource) for each in collector.traced)
    assert first["service.name"] == "chatapp-gateway"
    assert uuid.UUID(first["service.instance.id"])
    assert second["service.name"] == "stage"
    assert second["service.instance.id"] == "left"
    assert second["deployment.environment.name"] == "talk"
    assert [attributes(each.resource) for each in collector.measured] == [first, second]


async def test_one_signal_alone(collector, monkeypatch):
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    async with serving(ScriptedBackend(echo), meter=opened()) as (_gateway, url), connected(url) as client:
        await ask(client, "response.completed", model="scripted")
    assert set(collector.paths) == {"/v1/traces"}

    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    collector.paths.clear()
    meter, headers = opened(), OPENING | {"traceparent": TRACE}
    async with (
        serving(ScriptedBackend(echo), meter=meter) as (_gateway, url),
        connected(url, headers=headers) as client,
    ):
        await ask(client, "response.completed", model="scripted")
    assert set(collector.paths) == {"/v1/metrics"}
    assert len(collector.spans) == 1


async def test_a_client_that_is_not_sampled_is_not_traced_but_measured(collector):
    meter, headers = opened(), OPENING | {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"}
    async with (
        serving(ScriptedBackend(echo), meter=meter) as (_gateway, url),
        connected(url, headers=headers) as client,
    ):
        await ask(client, "response.completed", model="scripted")

    assert collector.spans == []
    assert collector.points("gen_ai.client.operation.duration")[0][0].count == 1


@pytest.mark.parametrize("trace", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 4000])
async def test_a_trace_context_that_is_none_begins_a_trace_of_its_own(collector, trace):
    meter, headers = opened(), OPENING | {"traceparent": trace}
    async with (
        serving(ScriptedBackend(echo), meter=meter) as (_gateway, url),
        connected(url, headers=headers) as client,
    ):
        response = await ask(client, "response.completed", model="scripted")

    assert collector.span(response)[0].parent_span_id == b""


def lines(caplog, word):
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


async def test_a_collector_that_is_not_there_is_said_once_and_again_when_it_is(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    with collecting() as collector:
        collector.refuses_with = 400  # an answer after which the SDK does not try again by itself
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
        async with serving(ScriptedBackend(echo), meter=opened()) as (_gateway, url), connected(url) as client:
            for batches in (1, 2, 3):
                await ask(client, "response.completed", model="scripted")
                await until(lambda batches=batches: len(collector.paths) == batches)
            collector.refuses_with = None
            await ask(client, "response.completed", model="scripted")
            await until(lambda: collector.spans)

    where = collector.url.removeprefix("http://")
    (said,) = lines(caplog, "do not reach")
    assert f"traces do not reach the OpenTelemetry collector at {where}; the gateway goes on" in said
    assert "400" in said
    assert lines(caplog, "again") == [f"traces reach the OpenTelemetry collector at {where} again"]
    assert {record.name.partition(".")[0] for record in caplog.records} <= {"chatapp", "asyncio"}, "the SDK is silent"


async def test_streams_go_on_where_nobody_listens(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nobody())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5")  # all attempts of a batch: the second after 0.8 to 1.2 s
    async with serving(ScriptedBackend(echo), meter=opened()) as (_gateway, url), connected(url) as client:
        for _ in range(3):
            await ask(client, "response.completed", model="scripted")
        await until(lambda: lines(caplog, "traces do not reach"), limit_s=20)

    assert len(lines(caplog, "traces do not reach")) == 1
    assert "refused" in lines(caplog, "traces do not reach")[0]
    assert len(lines(caplog, "metrics do not reach")) == 1


async def test_models_that_clients_make_up_have_spans_but_no_series_of_their_own(collector):
    meter = opened()
    for number in range(MOST_NAMES + 20):
        info = BackendInfo("n", "N", "live", "Tests", f"made-up-{number}")
        answer = Answer(info)
        for event in (Sent(0), Delta("a", 1_000), Finished(2_000)):
            answer.feed(event)
        meter.ended(Ended(f"resp_{number}", "c", Request((Message("user", "hi"),)), answer, 0))
    await meter.aclose()

    models = {found["gen_ai.request.model"] for _point, found in collector.points("gen_ai.client.operation.duration")}
    assert len(models) == MOST_NAMES + 1
    assert "other" in models
    _span, found = collector.span(f"resp_{MOST_NAMES + 19}")
    assert found["gen_ai.request.model"] == f"made-up-{MOST_NAMES + 19}"


async def test_a_collector_that_never_answers_holds_neither_a_stream_nor_the_end(monkeypatch, caplog):
    monkeypatch.setattr("chatapp.gateway.otlp.FLUSH_S", 0.5)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    before = set(threading.enumerate())
    with black_hole() as endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        meter = opened()
        async with serving(ScriptedBackend(echo), meter=meter) as (gateway, url), connected(url) as client:
            for _ in range(20):
                await ask(client, "response.completed", model="scripted")
            async with asyncio.timeout(15):  # the SDK's own patience is 3 s for an attempt here and 30 s for the end
                await gateway.drain()
        assert len(lines(caplog, "did not take within 0.5 s what was left")) == 1
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("Otel", "otlp")):  # they draw random delays, which other tests would notice
            await asyncio.to_thread(thread.join, 40)
            assert not thread.is_alive()
