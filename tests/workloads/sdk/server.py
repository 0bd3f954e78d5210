"""Serves `/ID`, for which it asks a backend for `/ID/call`, and traces both by OpenTelemetry's SDK:
server and client span, context from the request's header, and to the call's.

server.py PORT BACKEND_PORT. `/flush` exports what it has made, and nothing of itself."""

import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PORT, BACKEND = sys.argv[1:]

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("server")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/flush":
            provider.force_flush()
        else:
            context = propagate.extract(dict(self.headers))
            with tracer.start_as_current_span(
                self.path, context, kind=trace.SpanKind.SERVER
            ):
                self.call(self.path + "/call")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def call(self, path):
        with tracer.start_as_current_span(path, kind=trace.SpanKind.CLIENT):
            headers = {}
            propagate.inject(headers)
            url = f"http://127.0.0.1:{BACKEND}{path}"
            request = urllib.request.Request(url, headers=headers)
            urllib.request.urlopen(request, timeout=60).read()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
print("listening", flush=True)
server.serve_forever()
