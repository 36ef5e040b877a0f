"""An OpenTelemetry collector in the test's own process: takes OTLP over HTTP on loopback and decodes it."""

from __future__ import annotations

import gzip
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


def plain(value):
    """The Python value of an OTLP AnyValue."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    return getattr(value, kind)


def attributes(of):
    return {each.key: plain(each.value) for each in of.attributes}


class Collector:
    """What has come, decoded, and as bytes."""

    def __init__(self, url):
        self.url = url
        self.refuses_with = None
        """A status to answer with instead of taking anything."""
        self.paths = []
        self.headers = []
        self.raw = []
        self.messages = []
        self.came = threading.Condition()

    def take(self, path, headers, body):
        with self.came:
            self.paths.append(path)
            if self.refuses_with is None:
                self.headers.append(dict(headers))
                body = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
                self.raw.append(body)
                self.messages.append(KINDS[path].FromString(body))
            self.came.notify_all()
            return self.refuses_with or 200

    def _resources(self, kind, name):
        return [each for message in self.messages if isinstance(message, kind) for each in getattr(message, name)]

    @property
    def traced(self):
        return self._resources(ExportTraceServiceRequest, "resource_spans")

    @property
    def measured(self):
        return self._resources(ExportMetricsServiceRequest, "resource_metrics")

    @property
    def spans(self):
        return [span for each in self.traced for scope in each.scope_spans for span in scope.spans]

    def span(self, response_id):
        """The one span of a response, and its attributes."""
        (found,) = (span for span in self.spans if attributes(span)["gen_ai.response.id"] == response_id)
        return found, attributes(found)

    def points(self, name):
        """The newest data points of an instrument, each with its attributes."""
        return [(point, attributes(point)) for point in self.instruments[name].histogram.data_points]

    @property
    def instruments(self):
        """By name; of several exports the newest, for all are cumulative."""
        return {m.name: m for each in self.measured for scope in each.scope_metrics for m in scope.metrics}


@contextmanager
def collecting():
    """A collector that listens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(collector.take(self.path, self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def black_hole():
    """The URL of a collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def nobody():
    """The URL of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"
