"""Kafka, and the OTLP endpoint in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.contracts.credentials import Credential


@dataclass(frozen=True, kw_only=True)
class KafkaEndpoint:
    """How clients reach Kafka.

    Attributes:
        bootstrap: ``host:port`` inside the cluster (SASL_SSL, SCRAM-SHA-512).
        port: Port of the client listener.
        external: ``host:port`` of every broker outside the cluster.
        access_label: Label that a client pod needs (value ``"true"``).
        users: User name -> credential; the user of a client is its workload name.
        ready: Resolves when topics, users and ACLs exist; put it into ``depends_on``-like inputs when order matters.
    """

    bootstrap: str
    port: int
    external: tuple[str, ...]
    access_label: str
    users: Mapping[str, Credential]
    ready: pulumi.Output[bool]


@dataclass(frozen=True, kw_only=True)
class OtlpEndpoint:
    """Where the layers send their telemetry.

    Attributes:
        grpc: ``host:port`` of OTLP over gRPC (TLS).
        http: Base URL of OTLP over HTTP.
        credentials: Layer -> credential.
    """

    grpc: str
    http: str
    credentials: Mapping[str, Credential]
