"""Real Jaeger processes on free ports, and spans for them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client.parser import text_string_to_metric_families

from components.collector.config import rendered
from components.collector.pods import htpasswd
from components.jaeger.config import (
    CollectorConfig,
    QueryConfig,
    SearchClient,
    Strategies,
    collector_config,
    query_config,
)
from components.telemetry.attributes import ATTRIBUTE
from lab.toolchain import tools
from tests.config.pki import write_certificates
from tests.config.servers import eventually, free_port, listens, running

SCRAPE = ("scrape-jaeger", "scrape-password")
SAMPLING = ("sampling", "sampling-password")


@dataclass(frozen=True)
class JaegerProcess:
    """Addresses of a running Jaeger."""

    folder: Path
    metrics_port: int
    health_port: int
    otlp_port: int = 0
    sampling_port: int = 0
    sampling_grpc_port: int = 0
    query_port: int = 0

    def get(self, port: int, path: str, auth: tuple[str, str] | None = None) -> requests.Response:
        """GET over TLS."""
        url = f"https://localhost:{port}{path}"
        return requests.get(url, auth=auth, verify=str(self.folder / "ca.crt"), timeout=60)

    def scrape(self, auth: tuple[str, str] | None = SCRAPE) -> requests.Response:
        """Its own metrics."""
        return self.get(self.metrics_port, "/metrics", auth)

    def send(
        self, request: ExportTraceServiceRequest, *, certificate: bool = True, timeout: float = 60
    ) -> grpc.StatusCode:
        """Send spans over gRPC; returns the status."""
        own = [(self.folder / name).read_bytes() for name in ("tls.key", "tls.crt")] if certificate else [None, None]
        credentials = grpc.ssl_channel_credentials((self.folder / "ca.crt").read_bytes(), *own)
        with grpc.secure_channel(f"localhost:{self.otlp_port}", credentials) as channel:
            try:
                TraceServiceStub(channel).Export(request, timeout=timeout)
            except grpc.RpcError as error:
                status: grpc.StatusCode = error.code()
                return status
        return grpc.StatusCode.OK


def files(folder: Path, url: str, user: str) -> SearchClient:
    """Files that a pod would mount, and the client of a search cluster that has the same authority."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "tls.crt").exists():
        write_certificates(folder)
    (folder / "scrape").write_text(htpasswd(dict([SCRAPE])))
    (folder / "sampling").write_text(htpasswd(dict([SAMPLING])))
    (folder / "search-password").write_text("search-secret")
    return SearchClient(
        url=url, user=user, password_file=str(folder / "search-password"), ca_file=str(folder / "ca.crt")
    )


def collector_data(folder: Path, search: SearchClient, strategies: Strategies | None = None) -> dict[str, Any]:
    """Files and configuration of a collector."""
    (folder / "strategies.json").write_text(json.dumps((strategies or Strategies()).data()))
    return collector_config(
        CollectorConfig(
            search=search,
            tls_directory=str(folder),
            scrape_htpasswd=str(folder / "scrape"),
            sampling_htpasswd=str(folder / "sampling"),
            strategies=str(folder / "strategies.json"),
        )
    )


def query_data(folder: Path, search: SearchClient, clearance: str) -> dict[str, Any]:
    """Configuration of a query."""
    return query_config(
        QueryConfig(
            search=search, clearance=clearance, tls_directory=str(folder), scrape_htpasswd=str(folder / "scrape")
        )
    )


def in_memory(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A query's configuration with a store in memory, which its own OTLP port fills."""
    name = config["extensions"]["jaeger_query"]["storage"]["traces"]
    config["extensions"]["jaeger_storage"]["backends"] = {name: {"memory": {"max_traces": 1000}}}
    own = {"cert_file": f"{folder}/tls.crt", "key_file": f"{folder}/tls.key", "client_ca_file": f"{folder}/ca.crt"}
    config["receivers"]["otlp"] = {"protocols": {"grpc": {"tls": own}}}
    config["exporters"]["jaeger_storage_exporter"] = {"trace_storage": name}
    config["service"]["pipelines"]["traces"] = {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}
    return config


@contextmanager
def jaeger_process(folder: Path, config: dict[str, Any], name: str = "jaeger") -> Iterator[JaegerProcess]:
    """Run Jaeger with its ports moved to free ones; at the end it is killed."""
    extensions = config["extensions"]
    names = ("metrics", "own", "health", "otlp", "sampling", "sampling_grpc", "query", "query_grpc")
    ports = {key: free_port() for key in names}

    def place(key: str) -> str:
        return f"127.0.0.1:{ports[key]}"

    extensions["healthcheckv2"]["http"]["endpoint"] = place("health")
    config["exporters"]["prometheus/self"]["endpoint"] = place("metrics")
    config["receivers"]["otlp/self"]["protocols"]["http"]["endpoint"] = place("own")
    reader = config["service"]["telemetry"]["metrics"]["readers"][0]["periodic"]
    reader |= {"interval": 500, "timeout": 400}
    reader["exporter"]["otlp"]["endpoint"] = f"http://{place('own')}"
    if "otlp" in config["receivers"]:
        config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = place("otlp")
    for extension, protocols in (
        ("remote_sampling", {"http": "sampling", "grpc": "sampling_grpc"}),
        ("jaeger_query", {"http": "query", "grpc": "query_grpc"}),
    ):
        for protocol, key in protocols.items():
            if extension in extensions:
                extensions[extension][protocol]["endpoint"] = place(key)
    path = folder / f"{name}.yaml"
    path.write_text(rendered(config))
    command = [str(tools.path("jaeger")), f"--config={path}"]
    log = folder / f"{name}.log"
    with running(command, log, ports["health"], kill=True) as process:
        eventually(lambda: listens(process, ports["metrics"], log), 15, "Jaeger's own metrics are served")
        if "otlp" in config["receivers"]:
            eventually(lambda: listens(process, ports["otlp"], log), 15, "Jaeger takes spans")
        yield JaegerProcess(
            folder,
            ports["metrics"],
            ports["health"],
            ports["otlp"],
            ports["sampling"],
            ports["sampling_grpc"],
            ports["query"],
        )


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One span to send; ``parent`` is the index of another one before it.

    Attributes:
        name: Name of the span.
        service: Its service.
        span_class: Class on the span.
        resource_class: Class on the resource.
        parent: Index of its parent.
        error: Whether it failed.
    """

    name: str
    service: str = "recorder"
    span_class: object = None
    resource_class: object = None
    parent: int | None = None
    error: bool = False


def trace(spans: Sequence[Sent], trace_id: bytes | None = None) -> ExportTraceServiceRequest:
    """One trace of these spans."""
    request = ExportTraceServiceRequest()
    identifier = trace_id or os.urandom(16)
    ids = [os.urandom(8) for _ in spans]
    now = time.time_ns()
    for index, sent in enumerate(spans):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = sent.service
        _attribute(group.resource.attributes, sent.resource_class)
        span = group.scope_spans.add().spans.add(
            trace_id=identifier,
            span_id=ids[index],
            parent_span_id=ids[sent.parent] if sent.parent is not None else b"",
            name=sent.name,
            start_time_unix_nano=now + index * 1_000_000,
            end_time_unix_nano=now + 20_000_000 - index * 1_000_000,
        )
        _attribute(span.attributes, sent.span_class)
        if sent.error:
            span.status.code = Status.STATUS_CODE_ERROR
    return request


def _attribute(attributes: Any, value: object) -> None:
    if value is None:
        return
    held = attributes.add(key=ATTRIBUTE).value
    if isinstance(value, str):
        held.string_value = value
    else:
        held.int_value = int(str(value))


def total(text: str, metric: str, labels: Mapping[str, str] | None = None) -> float:
    """Sum of a metric's series that carry these labels."""
    wanted = dict(labels or {}).items()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric and wanted <= sample.labels.items()
    )
