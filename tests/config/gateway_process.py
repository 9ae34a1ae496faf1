"""A real gateway on free ports, with Kafka out of reach, and OTLP clients for it."""

from __future__ import annotations

import base64
import os
import re
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.collector.config import KafkaClient, rendered
from components.collector.pods import htpasswd
from components.gateway.component import speakers
from components.gateway.config import DRAIN, GatewayConfig, exporter_name, gateway_config
from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import LAYER_NAMES, Signal
from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port, port_is_open, running
from tests.support.kafka_broker import Broker

MIB = 2**20
NOWHERE = "127.0.0.1:1"
PASSWORDS = {name: f"{name}-password" for name in LAYER_NAMES}
SCRAPE = ("scrape-gateway", "scrape-password")
PEAK: Mapping[Signal, float] = {Signal.METRICS: 120_000, Signal.TRACES: 60_000, Signal.LOGS: 40_000}
HASH_KEY = "a key for tests, of at least thirty-two bytes"


def kafka_user(folder: Path, broker: Broker | None) -> KafkaClient:
    """The only user of a test's broker, with the files that a pod would mount; or of no broker at all."""
    authority = folder / "kafka-ca.crt"
    authority.write_text(broker.ca if broker else (folder / "ca.crt").read_text())
    (folder / "kafka-password").write_text(broker.password if broker else "kafka-secret")
    return KafkaClient(
        brokers=(broker.bootstrap if broker else NOWHERE,),
        user=broker.username if broker else "gateway",
        name=broker.username if broker else "gateway",
        password_file=str(folder / "kafka-password"),
        ca_file=str(authority),
    )


def gateway_data(
    folder: Path,
    *,
    broker: Broker | None = None,
    volume: int = 512 * MIB,
    memory: int = 512 * MIB,
    open_layers: Collection[str] = LAYER_NAMES,
    peak: Mapping[Signal, float] = PEAK,
) -> dict[str, Any]:
    """Files and configuration of a gateway whose folders are all below ``folder``.

    Args:
        folder: Of everything.
        broker: Where Kafka is; None: out of reach, and the queue on disk takes its place at once.
        volume: Size of the volume that the queues are said to be on.
        memory: Memory limit that its container is said to have.
        open_layers: Layers of which names pass that the catalogue does not have.
        peak: Items a second of all layers together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tls.crt").exists():
        write_certificates(folder)
    (folder / "clients").write_text(htpasswd(PASSWORDS))
    (folder / "scrape").write_text(htpasswd(dict([SCRAPE])))
    (folder / "hash-key").write_text(HASH_KEY)
    (folder / "catalogue.yaml").write_text(rendered(gate_catalogue(speakers(), open_layers=open_layers)))
    config = gateway_config(
        GatewayConfig(
            kafka=kafka_user(folder, broker),
            volume_bytes=volume,
            memory_bytes=memory,
            max_message_bytes=4 * MIB,
            peak=peak,
            gateways=2,
            tls_directory=str(folder),
            client_htpasswd=str(folder / "clients"),
            scrape_htpasswd=str(folder / "scrape"),
            hash_key_file=str(folder / "hash-key"),
            catalogue_file=str(folder / "catalogue.yaml"),
            queue_directory=str(folder / "data"),
        )
    )
    if broker is None:
        for signal in Signal:
            config["exporters"][exporter_name(signal)]["timeout"] = "200ms"
    return config


def move_own_metrics(config: dict[str, Any]) -> int:
    """Give a collector's own listeners free ports; returns the port of its metrics."""
    metrics, health, own = (free_port() for _ in range(3))
    config["exporters"]["prometheus/self"]["endpoint"] = f"127.0.0.1:{metrics}"
    config["extensions"]["health_check"]["endpoint"] = f"127.0.0.1:{health}"
    config["receivers"]["otlp/self"]["protocols"]["http"]["endpoint"] = f"127.0.0.1:{own}"
    reader = config["service"]["telemetry"]["metrics"]["readers"][0]["periodic"]
    reader["interval"] = 500
    reader["timeout"] = 400
    reader["exporter"]["otlp"]["endpoint"] = f"http://127.0.0.1:{own}"
    return metrics


@dataclass(frozen=True)
class GatewayProcess:
    """Addresses of a running gateway."""

    folder: Path
    grpc_port: int
    http_port: int
    metrics_port: int
    drain_port: int
    pid: int
    session: requests.Session

    def post(
        self, signal: str, body: bytes, user: str | None, password: str = "", *, timeout: float = 60
    ) -> requests.Response:
        """Send OTLP over HTTP."""
        return self.session.post(
            f"https://localhost:{self.http_port}/v1/{signal}",
            data=body,
            auth=(user, password) if user else None,
            headers={"content-type": "application/x-protobuf"},
            verify=str(self.folder / "ca.crt"),
            timeout=timeout,
        )

    def accept(self, signal: str, body: bytes, layer: str) -> None:
        """Send OTLP over HTTP as ``layer`` and insist that it is acknowledged."""
        answer = self.post(signal, body, layer, PASSWORDS[layer])
        assert answer.status_code == 200, answer.text

    def peak_memory(self) -> int:
        """The most bytes that the process has had in memory so far."""
        [line] = [line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if "VmHWM" in line]
        return int(line.split()[1]) * 1024

    def call(self, request: ExportMetricsServiceRequest, user: str | None, password: str = "") -> grpc.StatusCode:
        """Send OTLP over gRPC; returns the status."""
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        credentials = grpc.ssl_channel_credentials((self.folder / "ca.crt").read_bytes())
        with grpc.secure_channel(f"localhost:{self.grpc_port}", credentials) as channel:
            try:
                MetricsServiceStub(channel).Export(
                    request, metadata=[("authorization", f"Basic {token}")] if user else [], timeout=60
                )
            except grpc.RpcError as error:
                status: grpc.StatusCode = error.code()
                return status
        return grpc.StatusCode.OK

    def scrape(self, auth: tuple[str, str] | None = SCRAPE) -> requests.Response:
        """Read the gateway's own metrics."""
        return self.session.get(
            f"https://localhost:{self.metrics_port}/metrics",
            auth=auth,
            verify=str(self.folder / "ca.crt"),
            timeout=60,
        )

    def value(self, metric: str, **labels: str) -> float:
        """Sum of a metric's series that carry these labels."""
        total = 0.0
        for line in self.scrape().text.splitlines():
            match = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line)
            if match and match[1] == metric and all(f'{key}="{value}"' in match[2] for key, value in labels.items()):
                total += float(match[3])
        return total

    def counts(self, expected: float, metric: str, **labels: str) -> None:
        """Wait until a metric has this value: the collector hands its own metrics on twice a second."""
        eventually(lambda: self.value(metric, **labels) == expected, 30, f"{metric}{labels} is {expected}")


@contextmanager
def gateway_process(
    folder: Path, config: dict[str, Any], *, certificates: Path | None = None
) -> Iterator[GatewayProcess]:
    """Run a gateway or an agent with its ports moved to free ones; at the end it is killed.

    Args:
        folder: Of its configuration and its log.
        config: Its configuration.
        certificates: Folder with the authority of its certificate, where that is another one.
    """
    metrics, grpc_port, http_port, drain_port = move_own_metrics(config), free_port(), free_port(), free_port()
    if DRAIN in config["extensions"]:
        config["extensions"][DRAIN]["endpoint"] = f"127.0.0.1:{drain_port}"
    protocols = config["receivers"]["otlp"]["protocols"]
    protocols["grpc"]["endpoint"] = f"127.0.0.1:{grpc_port}"
    protocols["http"]["endpoint"] = f"127.0.0.1:{http_port}"
    path = folder / "config.yaml"
    path.write_text(rendered(config))
    command = [str(tools.path("otelcol")), f"--config={path}"]
    with running(command, folder / "otelcol.log", http_port, kill=True) as process:
        eventually(lambda: port_is_open(metrics), 15, "the collector's own metrics are served")
        with requests.Session() as session:
            gateway = GatewayProcess(
                certificates or folder, grpc_port, http_port, metrics, drain_port, process.pid, session
            )
            eventually(lambda: gateway.value("otelcol_process_memory_rss_bytes") > 0, 15, "it has measured itself")
            yield gateway


def ended(gateway: GatewayProcess) -> None:
    """Tell a gateway to end, as Kubernetes does, and wait until it has."""
    os.kill(gateway.pid, signal.SIGTERM)
    eventually(lambda: not port_is_open(gateway.metrics_port), 60, "the gateway has ended")


def metrics_request(
    layer: str | None, *, points: int = 1, padding: int = 0, name: str = "battery", **changed: str
) -> ExportMetricsServiceRequest:
    """``points`` data points of one device; ``changed`` resource attributes are written with ``__`` for a dot."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    attributes = {
        "layer": layer,
        "service.name": "recorder",
        "service.instance.id": "recorder-1",
        "device_id": "d-1",
        "obs.client": "forged",
        "user.email": "a@example.org",
        **{key.replace("__", "."): value for key, value in changed.items()},
    }
    for key, value in attributes.items():
        if value is not None:
            attribute = resource.resource.attributes.add(key=key)
            attribute.value.string_value = value
    metric = resource.scope_metrics.add().metrics.add(name=name, description="x" * padding)
    for _ in range(points):
        metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=1)
    return request


def trace_request(layer: str) -> ExportTraceServiceRequest:
    """One span."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add()
    for key, value in {"layer": layer, "service.name": "recorder", "service.instance.id": "recorder-1"}.items():
        spans.resource.attributes.add(key=key).value.string_value = value
    now = time.time_ns()
    spans.scope_spans.add().spans.add(
        trace_id=b"t" * 16, span_id=b"s" * 8, name="work", start_time_unix_nano=now, end_time_unix_nano=now
    )
    return request
