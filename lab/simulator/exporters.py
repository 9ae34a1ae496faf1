"""The SDK's OTLP exporters, one per layer and signal, with TLS and the layer's password."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData

from components.telemetry.layers import Layer, Signal
from lab.simulator.config import Config

Send = Callable[[Sequence[Any]], bool]
"""Sends items of one signal (`ResourceMetrics`, spans or log records); whether the gateway took them."""


class Exporter:
    """One SDK exporter behind the same two calls for every signal and protocol."""

    def __init__(self, exporter: Any, signal: Signal) -> None:
        self._exporter = exporter
        self._signal = signal

    def send(self, items: Sequence[Any]) -> bool:
        """Export, with the exporter's own retries within its timeout."""
        batch: Any = MetricsData(resource_metrics=items) if self._signal is Signal.METRICS else items
        return bool(self._exporter.export(batch).name == "SUCCESS")

    def close(self) -> None:
        """End the connection and any retry that waits."""
        self._exporter.shutdown()


def create(config: Config, layer: Layer, signal: Signal) -> Exporter:
    """Exporter of one layer and signal."""
    authorization = config.authorization(layer.user)
    maker = _grpc if config.protocol == "grpc" else _http
    return Exporter(maker(config, signal, authorization), signal)


def _http(config: Config, signal: Signal, authorization: str) -> Any:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    make: dict[Signal, Any] = {
        Signal.METRICS: OTLPMetricExporter,
        Signal.TRACES: OTLPSpanExporter,
        Signal.LOGS: OTLPLogExporter,
    }
    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win over certificate_file
    return make[signal](
        session=session,
        endpoint=f"{config.endpoint}/v1/{signal.value}",
        certificate_file=str(config.ca_file),
        headers={"Authorization": authorization},
        timeout=config.timeout_s,
        compression=Compression.Gzip,
    )


def _grpc(config: Config, signal: Signal, authorization: str) -> Any:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    make: dict[Signal, Any] = {
        Signal.METRICS: OTLPMetricExporter,
        Signal.TRACES: OTLPSpanExporter,
        Signal.LOGS: OTLPLogExporter,
    }
    return make[signal](
        endpoint=config.endpoint,
        credentials=grpc.ssl_channel_credentials(config.ca_file.read_bytes()),
        headers=(("authorization", authorization),),
        timeout=config.timeout_s,
        compression=grpc.Compression.Gzip,
    )
