"""A real OTLP/HTTP receiver over TLS in a thread, and a configuration that points at it."""

from __future__ import annotations

import base64
import datetime
import gzip
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.telemetry.layers import LAYER_NAMES
from lab.simulator.config import Config

REQUESTS: dict[str, Any] = {
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


@dataclass
class Receiver:
    """What arrived, as (user, password, path, decoded request)."""

    endpoint: str = ""
    ca_file: Path = Path()
    status: int = 200
    refusals: int = 0
    got: list[tuple[str, str, str, Any]] = field(default_factory=list)

    def resources(self, path: str) -> list[tuple[str, dict[str, str], Any]]:
        """(user, resource attributes, resource part) of every resource that arrived on ``path``."""
        part = {"/v1/metrics": "resource_metrics", "/v1/traces": "resource_spans", "/v1/logs": "resource_logs"}[path]
        return [
            (
                user,
                {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes},
                resource,
            )
            for user, _, at, request in self.got
            if at == path
            for resource in getattr(request, part)
        ]


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "ca.crt", folder / "tls.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """An OTLP/HTTP receiver that decodes what it gets, after answering ``status`` to ``refusals`` requests."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            code = 200
            if state.refusals > 0:
                state.refusals -= 1
                code = state.status
            else:
                scheme, _, token = self.headers["Authorization"].partition(" ")
                assert scheme == "Basic"
                user, _, password = base64.b64decode(token).decode().partition(":")
                state.got.append((user, password, self.path, REQUESTS[self.path].FromString(body)))
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test output clean."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

    state.ca_file, key_file = _certificate(tmp_path)
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state.ca_file, key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.endpoint = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join(60)


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """Folder with a password per layer."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    for layer in LAYER_NAMES:
        (folder / layer).write_text(f"pw-{layer}\n")
    return folder


@pytest.fixture
def config(receiver: Receiver, credentials: Path, tmp_path: Path) -> Config:
    """Configuration of a small, quick run."""
    return Config(
        endpoint=receiver.endpoint,
        ca_file=receiver.ca_file,
        credentials_dir=credentials,
        devices=4,
        interval_s=0.2,
        timeout_s=60,
        ready_file=tmp_path / "ready",
    )
