"""Traces and metrics to an OpenTelemetry collector, over HTTP. Needs the extra `otel`; only imported where asked for.

Each ended answer is one span with its measured times and a few observations, made in a thread. The SDK's own threads
deliver them in batches. What a collector does, or whether there is one, never reaches a stream: queues are bounded,
what cannot be delivered is dropped, and the end of the gateway waits `FLUSH_S` at most.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chatapp import __version__
from chatapp.addresses import host_and_port
from chatapp.gateway import conventions
from chatapp.gateway.deliveries import Deliveries, hide_endpoints, hide_headers, route_sdk_log
from chatapp.gateway.meter import Ended, Meter, Names
from chatapp.text.sanitize import sanitize_line

SCOPE = "chatapp.gateway"
"""The instrumentation scope of all that is exported."""

FLUSH_S = 3.0
"""How long the end of a gateway waits for what has not been delivered."""

MODELS = ("gen_ai.request.model", "gen_ai.response.model")
"""Attributes that clients and servers choose."""

FIRST_CHUNK_EVENT = "chatapp.first_chunk"

_PROPAGATOR = TraceContextTextMapPropagator()

_log = logging.getLogger(__name__)


class OtlpMeter(Meter):
    """Reports to a collector, as the environment has it.

    Args:
        traces: whether to export them.
        metrics: whether to export them.
        worker: this is one of several processes of one gateway, which must not pass for one instance.

    Raises:
        ValueError: a variable holds what the SDK cannot use.
    """

    reads_answers = True

    def __init__(self, *, traces: bool, metrics: bool, worker: bool = False) -> None:
        route_sdk_log()
        hide_headers(os.environ)
        hide_endpoints(os.environ)
        resource = make_resource(worker=worker)
        self._instruments: dict[str, Histogram] = {}
        self._names = Names()
        self._tracer: Tracer | None = None
        self._shutdowns: list[Callable[[], None]] = []
        self._flushing: list[asyncio.Future[None]] = []
        self._flush_by_s = 0.0
        if metrics:
            reader = PeriodicExportingMetricReader(_Metrics())
            # Never at exit: that would wait for half a minute, after everybody has been told that it is over.
            meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
            meter = meters.get_meter(SCOPE, __version__)
            for name, unit, description, boundaries in conventions.HISTOGRAMS:
                self._instruments[name] = meter.create_histogram(
                    name, unit=unit, description=description, explicit_bucket_boundaries_advisory=boundaries
                )
            self._shutdowns.append(partial(meters.shutdown, timeout_millis=FLUSH_S * 1e3))
        if traces:
            tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            tracers.add_span_processor(BatchSpanProcessor(_Spans()))
            self._tracer = tracers.get_tracer(SCOPE, __version__)
            self._shutdowns.append(tracers.shutdown)

    def ended(self, ended: Ended) -> None:
        """Make the span and the observations of an answer: 0.15 ms of one of 20 chunks, 1 ms of 5,000."""
        shared = conventions.common(ended)
        # One offset for the whole answer: its length is the monotonic clock's, whatever happens to the other.
        offset_ns = time.time_ns() - time.monotonic_ns()
        context = _PROPAGATOR.extract(ended.trace)
        figures = ended.answer.final()
        if self._tracer is not None:
            context = self._trace(
                self._tracer, ended, {**shared, **conventions.describe(ended, figures)}, context, offset_ns
            )
        if self._instruments:
            # A series is held for ever, a span is sent and forgotten: only series need a bound.
            shared |= {name: self._names.of(str(shared[name])) for name in MODELS if name in shared}
            for histogram, value, beside in conventions.observe(ended, figures):
                self._instruments[histogram.name].record(value, {**shared, **beside}, context=context)

    def _trace(
        self, tracer: Tracer, ended: Ended, attributes: conventions.Attributes, parent: Context, offset_ns: int
    ) -> Context:
        """Make a span; return the context in which exemplars find it."""
        answer = ended.answer
        span = tracer.start_span(
            f"{conventions.OPERATION} {attributes['gen_ai.request.model']}",
            parent,
            SpanKind.CLIENT,
            attributes,
            start_time=conventions.started_ns(ended) + offset_ns,
        )
        if len(answer.timeline):
            span.add_event(FIRST_CHUNK_EVENT, timestamp=answer.timeline.at_ns[0] + offset_ns)
        error = conventions.error_type(answer)
        if error is not None:
            span.set_status(StatusCode.ERROR, error)
        span.end(conventions.ended_ns(ended) + offset_ns)
        return set_span_in_context(span, parent)

    async def aclose(self) -> None:
        """Deliver what is left, for `FLUSH_S` at most, however often this is called.

        Not in asyncio's threads: those are waited for at the end of the process, for as long as a collector likes.
        """
        if not self._flushing:
            self._flush_by_s = time.monotonic() + FLUSH_S
            loop = asyncio.get_running_loop()
            for shutdown in self._shutdowns:
                done = loop.create_future()
                self._flushing.append(done)
                threading.Thread(target=_flush, args=(shutdown, loop, done), name="otlp flush", daemon=True).start()
        remaining_s = self._flush_by_s - time.monotonic()
        if remaining_s <= 0:
            return
        _done, late = await asyncio.wait(self._flushing, timeout=remaining_s)
        if late:
            _log.warning("the OpenTelemetry collector did not take within %g s what was left for it", FLUSH_S)


class _Spans(OTLPSpanExporter):
    def __init__(self) -> None:
        super().__init__()
        self._deliveries = Deliveries("traces", collector("TRACES"))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._deliveries.attempt():
            result = super().export(spans)
        self._deliveries.note(arrived=result is SpanExportResult.SUCCESS)
        return result


class _Metrics(OTLPMetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self._deliveries = Deliveries("metrics", collector("METRICS"))

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        with self._deliveries.attempt():
            result = super().export(metrics_data, timeout_millis, **kwargs)
        self._deliveries.note(arrived=result is MetricExportResult.SUCCESS)
        return result


def make_resource(*, worker: bool) -> Resource:
    """Return who exports. What the environment says of it comes first, but several processes are never one instance."""
    given = OTELResourceDetector().detect().attributes
    own = {
        "service.name": "chatapp-gateway",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
    }
    attributes = {name: value for name, value in own.items() if name not in given}
    resource = Resource.create(attributes)
    instance = given.get("service.instance.id")
    if worker and instance is not None:
        resource = resource.merge(Resource({"service.instance.id": f"{instance}-{os.getpid()}"}))
    return resource


def collector(signal: str) -> str:
    """Return where a signal goes, as host and port: what an operator knows it by."""
    names = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    url = next((value for name in names if (value := os.environ.get(name))), "http://localhost:4318")
    host, port = host_and_port(url)
    return sanitize_line(f"{host}:{port}", limit=200)


def _flush(shutdown: Callable[[], None], loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    try:
        shutdown()
    except Exception as exc:
        _log.warning("OpenTelemetry cannot be shut down: %s: %s", type(exc).__name__, exc)
    with suppress(RuntimeError):  # the loop has ended: nobody waits any more
        loop.call_soon_threadsafe(_resolve, done)


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
