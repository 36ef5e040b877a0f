"""What an operator watches, for Prometheus: `GET /metrics` with a token. Needs the extra `metrics`.

Nothing is counted per token: a response's gaps are observed when it has ended, from the arrivals that its answer keeps.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chatapp.errors import ExtraMissingError
from chatapp.gateway.meter import Ended, Meter, Names

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Where several workers keep their counts together: prometheus-client's own name of the variable."""

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
GAP_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
LAG_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
MOST_GAPS = 2_000
"""Gaps of one response that are observed, spread evenly: enough for a histogram, and bounded."""


class PrometheusMeter(Meter):
    """Counts for Prometheus.

    Args:
        registry: where the counts are kept; its own by default, so that two gateways in one process do not mix.

    Raises:
        ExtraMissingError: prometheus-client is not installed.
    """

    reads_answers = True

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError:
            raise ExtraMissingError("GET /metrics", "metrics") from None
        self.registry = registry or CollectorRegistry()
        self._names = Names()
        backend = ("backend",)
        self.connections = Gauge(
            "chatapp_connections", "Open WebSockets", registry=self.registry, multiprocess_mode="livesum"
        )
        self.streams = Gauge(
            "chatapp_streams", "Responses in flight", registry=self.registry, multiprocess_mode="livesum"
        )
        self._responses = Counter(
            "chatapp_responses", "Responses by how they ended", ("backend", "outcome"), registry=self.registry
        )
        self._errors = Counter(
            "chatapp_upstream_errors", "Upstream failures by code", ("backend", "code"), registry=self.registry
        )
        self._refused = Counter(
            "chatapp_refused_requests", "Requests refused, by code", ("code",), registry=self.registry
        )
        self._fallbacks = Counter(
            "chatapp_fallbacks",
            "Responses that another backend than the asked one answered, by the failure's code",
            ("backend", "fallback", "code"),
            registry=self.registry,
        )
        self._ttft = Histogram(
            "chatapp_time_to_first_token_seconds", "TTFT", backend, buckets=SECONDS, registry=self.registry
        )
        self._gaps = Histogram(
            "chatapp_inter_chunk_seconds", "Time between chunks", backend, buckets=GAP_SECONDS, registry=self.registry
        )
        self._chunks = Counter("chatapp_chunks", "Upstream chunks of text", backend, registry=self.registry)
        self._tokens = Counter(
            "chatapp_output_tokens", "Output tokens that servers reported", backend, registry=self.registry
        )
        self._deltas = Counter("chatapp_deltas_sent", "Deltas sent, joined or not", registry=self.registry)
        self._frames = Counter("chatapp_delta_frames", "Frames they were sent in", registry=self.registry)
        self._dropped = Counter("chatapp_dropped_clients", "Clients dropped", ("reason",), registry=self.registry)
        self._lag = Histogram("chatapp_loop_lag_seconds", "Event loop lag", buckets=LAG_SECONDS, registry=self.registry)

    def ended(self, ended: Ended) -> None:
        """Count a response and its times."""
        answer = ended.answer
        backend = self._names.of(answer.info.name)
        self._responses.labels(backend, answer.outcome or "failed").inc()
        if answer.failure is not None:
            self._errors.labels(backend, answer.failure.code).inc()
        at_ns = answer.timeline.at_ns
        self._chunks.labels(backend).inc(len(at_ns))
        if answer.usage is not None and answer.usage.output_tokens:
            self._tokens.labels(backend).inc(answer.usage.output_tokens)
        if len(at_ns) and answer.sent is not None:
            self._ttft.labels(backend).observe((at_ns[0] - answer.sent.at_ns) / 1e9)
        gaps = self._gaps.labels(backend)
        for at in range(1, len(at_ns), max(1, len(at_ns) // MOST_GAPS)):
            gaps.observe((at_ns[at] - at_ns[at - 1]) / 1e9)

    def refused(self, code: str) -> None:
        """Count a refusal."""
        self._refused.labels(code).inc()

    def fell_back(self, asked: str, answers: str, code: str) -> None:
        """Count a fallback, and the failure that it hides from the responses' outcomes."""
        asked = self._names.of(asked)
        self._errors.labels(asked, code).inc()
        self._fallbacks.labels(asked, self._names.of(answers), code).inc()

    def joined(self, deltas: int, frames: int) -> None:
        """Count what a connection was sent."""
        self._deltas.inc(deltas)
        self._frames.inc(frames)

    def dropped(self, reason: str) -> None:
        """Count a client that was dropped."""
        self._dropped.labels(reason).inc()

    def lag(self, seconds: float) -> None:
        """Observe the loop's lag."""
        self._lag.observe(seconds)

    def stands(self, connections: int, streams: int) -> None:
        """Note what is open, also for another worker that is asked for all of them."""
        self.connections.set(connections)
        self.streams.set(streams)

    def render(self, connections: int, streams: int) -> bytes:
        """Return the page."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        self.stands(connections, streams)
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        # Whichever worker is asked answers for all of them.
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
