"""An OTLP receiver that keeps what it gets, in the place of Kafka."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from components.gateway.config import exporter_name
from components.telemetry.layers import Signal


@dataclass
class Sink:
    """Bodies that arrived, by signal."""

    port: int = 0
    bodies: dict[Signal, list[bytes]] = field(default_factory=lambda: {signal: [] for signal in Signal})


@contextmanager
def sink() -> Iterator[Sink]:
    """A receiver for OTLP over HTTP, until the block ends."""
    kept = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            kept.bodies[Signal(self.path.rpartition("/")[2])].append(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def into_sink(config: dict[str, Any], port: int) -> None:
    """Put the sink in the place of the Kafka exporters; everything before them stays."""
    for signal in Signal:
        del config["exporters"][exporter_name(signal)]
    config["exporters"]["otlp_http/sink"] = {
        "endpoint": f"http://127.0.0.1:{port}",
        "compression": "none",
        "sending_queue": {"enabled": False},
    }
    for name, pipeline in config["service"]["pipelines"].items():
        kafka = exporter_name(Signal(name.partition("/")[0]))
        pipeline["exporters"] = [
            "otlp_http/sink" if exporter == kafka else exporter for exporter in pipeline["exporters"]
        ]
