"""Configurations of the peer's collectors as data: addresses and logins, and beyond them the components' defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.telemetry.layers import Signal

TOPIC = "bench-default"
"""The peer's topic, and the name of the group that reads it."""
USER, PASSWORD = "PEER_KAFKA_USER", "PEER_KAFKA_PASSWORD"
"""Variables of a collector's environment with its login at Kafka."""
Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """Brokers and the file with their authority."""

    addresses: Sequence[str]
    ca_file: str

    def client(self) -> Data:
        """Of the exporter and of the receiver."""
        sasl = {"mechanism": "SCRAM-SHA-512", "username": f"${{env:{USER}}}", "password": f"${{env:{PASSWORD}}}"}
        return {"brokers": list(self.addresses), "tls": {"ca_file": self.ca_file}, "auth": {"sasl": sasl}}


def gateway(signal: Signal, brokers: Brokers, *, port: int, own: int) -> Data:
    """OTLP over HTTP to the topic.

    Args:
        signal: What it takes.
        brokers: Where the topic is.
        port: Of OTLP.
        own: Of its own metrics.
    """
    return {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"batch": {}},
        "exporters": {"kafka": {**brokers.client(), str(signal): {"topic": TOPIC}}},
        "service": _service(own, signal, receivers=["otlp"], processors=["batch"], exporters=["kafka"]),
    }


def consumer(signal: Signal, brokers: Brokers, *, exporter: Mapping[str, Any], own: int) -> Data:
    """The topic to a server of OTLP over HTTP.

    Args:
        signal: What it reads.
        brokers: Where the topic is.
        exporter: Settings of the exporter `otlphttp`.
        own: Port of its own metrics.
    """
    return {
        "receivers": {"kafka": {**brokers.client(), "group_id": TOPIC, str(signal): {"topics": [TOPIC]}}},
        "exporters": {"otlphttp": dict(exporter)},
        "service": _service(own, signal, receivers=["kafka"], exporters=["otlphttp"]),
    }


def jaeger(brokers: Brokers, *, backend: Mapping[str, Any], own: int) -> Data:
    """Jaeger as its own example of an ingester has it: the topic to a store.

    Args:
        brokers: Where the topic is.
        backend: The store.
        own: Port of its own metrics.
    """
    store = "default"
    receiver = {**brokers.client(), "group_id": TOPIC, "initial_offset": "earliest", "traces": {"topic": TOPIC}}
    pipeline = {"receivers": ["kafka"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"]}
    return {
        "extensions": {"jaeger_storage": {"backends": {store: dict(backend)}}},
        "receivers": {"kafka": receiver},
        "processors": {"batch": {}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": store}},
        "service": {"extensions": ["jaeger_storage"], **_service(own, Signal.TRACES, **pipeline)},
    }


def _service(own: int, signal: Signal, **pipeline: list[str]) -> Data:
    """One pipeline; its own metrics are the default's, on a port of its own."""
    exporter = {"prometheus": {"host": "127.0.0.1", "port": own}}
    telemetry = {"metrics": {"readers": [{"pull": {"exporter": exporter}}]}}
    return {"telemetry": telemetry, "pipelines": {str(signal): pipeline}}
