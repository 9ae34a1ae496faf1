"""OTLP to the gateway, as any client would: small messages, over HTTP or gRPC, with TLS and a login."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Sum
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from components.telemetry.attributes import (
    DEVICE_ID,
    LAYER,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    required_attributes,
)
from components.telemetry.layers import LAYERS
from ops.core.platform import Login, Platform
from ops.core.web import Web

GRPC_SECONDS = 10.0
_PROTOBUF = {"Content-Type": "application/x-protobuf"}


def attributes(values: Mapping[str, str]) -> list[KeyValue]:
    """Attributes with text values."""
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


def resource_of(layer: str, service: str, instance: str, device: str = "") -> dict[str, str]:
    """Resource attributes that every client of ``layer`` sends."""
    values = {LAYER: layer, SERVICE_NAME: service, SERVICE_INSTANCE_ID: instance}
    if not device and any(DEVICE_ID in required_attributes(own) for own in LAYERS if own.name == layer):
        device = instance
    return {**values, DEVICE_ID: device} if device else values


def gauge(
    resource: Mapping[str, str], name: str, points: Iterable[tuple[int, float, Mapping[str, str]]], unit: str = ""
) -> ExportMetricsServiceRequest:
    """A request with one gauge.

    Args:
        resource: Attributes of the resource.
        name: Name of the metric.
        points: Time in nanoseconds since the epoch, value, attributes.
        unit: Its unit, as the catalogue has it; without one, Prometheus keeps the name as it is.
    """
    request = ExportMetricsServiceRequest()
    resource_metrics = request.resource_metrics.add()
    resource_metrics.resource.attributes.extend(attributes(resource))
    metric = resource_metrics.scope_metrics.add().metrics.add(name=name, unit=unit)
    for nanoseconds, value, labels in points:
        metric.gauge.data_points.add(time_unix_nano=nanoseconds, as_double=float(value), attributes=attributes(labels))
    return request


def counter(
    resource: Mapping[str, str], name: str, points: Iterable[tuple[int, float, Mapping[str, str]]], unit: str = ""
) -> ExportMetricsServiceRequest:
    """A request with one counter; arguments as of `gauge`, with what was counted so far as the value."""
    request = gauge(resource, name, points, unit)
    metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
    counted = Sum(
        data_points=metric.gauge.data_points,
        aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
        is_monotonic=True,
    )
    metric.sum.CopyFrom(counted)
    return request


def span(
    resource: Mapping[str, str], name: str, *, milliseconds: int = 1, failed: bool = False
) -> ExportTraceServiceRequest:
    """A request with one span of a new trace, which ends now."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(attributes(resource))
    now = time.time_ns()
    add = resource_spans.scope_spans.add().spans.add(
        trace_id=secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        name=name,
        start_time_unix_nano=now - milliseconds * 1_000_000,
        end_time_unix_nano=now,
    )
    if failed:
        add.status.code = Status.STATUS_CODE_ERROR
    return request


class OtlpClient:
    """Sends to the gateway's load balancer."""

    def __init__(self, platform: Platform, web: Web) -> None:
        self._platform, self._web = platform, web

    def login(self, layer: str) -> tuple[str, str]:
        """The layer's user name and password."""
        return self._platform.otlp_credentials[layer].pair

    def post(self, signal: str, body: bytes, auth: tuple[str, str] | None) -> tuple[int, bytes]:
        """POST a body to ``/v1/<signal>``; status code and answer.

        Raises:
            OpsError: There was no answer.
        """
        url = f"{self._platform.otlp_http}/v1/{signal}"
        with self._web.call("POST", url, auth=auth, data=body, headers=_PROTOBUF) as response:
            return response.status_code, response.content

    def metrics(self, request: ExportMetricsServiceRequest, layer: str) -> tuple[int, int]:
        """Send metrics as ``layer``; status code and the number of points that the gateway says it rejected."""
        status, answer = self.post("metrics", request.SerializeToString(), self.login(layer))
        rejected = 0
        if status == 200:
            rejected = ExportMetricsServiceResponse.FromString(answer).partial_success.rejected_data_points
        return status, rejected

    def traces(self, request: ExportTraceServiceRequest, layer: str) -> tuple[int, int]:
        """Send spans as ``layer``; status code and the number of spans that the gateway says it rejected."""
        status, answer = self.post("traces", request.SerializeToString(), self.login(layer))
        rejected = 0
        if status == 200:
            rejected = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
        return status, rejected

    def grpc_code(self, request: ExportMetricsServiceRequest, login: Login | None) -> str:
        """Send metrics over gRPC; name of the status code, ``OK`` when accepted."""
        roots = grpc.ssl_channel_credentials(self._platform.ca_certificate.encode())
        headers = [("authorization", _basic(login.pair))] if login else []
        with grpc.secure_channel(self._platform.otlp_grpc, roots) as channel:
            try:
                stub: Any = MetricsServiceStub(channel)  # type: ignore[no-untyped-call]
                stub.Export(request, timeout=GRPC_SECONDS, metadata=headers)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"


def _basic(pair: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()
