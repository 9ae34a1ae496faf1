"""Traces and logs: where they are kept, and where people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.contracts.credentials import Credential


@dataclass(frozen=True, kw_only=True)
class TracesEndpoint:
    """Where samplers send the traces that are kept, and where SDKs ask how much to sample.

    Attributes:
        grpc: ``host:port`` of OTLP over gRPC; mutual TLS with a certificate of the platform.
        server_name: Name to verify in the certificate.
        port: Port of it.
        workload: Workload that serves it (the peer of egress NetworkPolicies).
        access_label: Label that a client pod needs.
        sampling_url: Jaeger's remote sampling over HTTPS; add ``/sampling?service=NAME``.
        sampling_grpc: The same over gRPC, ``host:port``.
        sampling_user: May ask for strategies.
    """

    grpc: str
    server_name: str
    port: int
    workload: str
    access_label: str
    sampling_url: str
    sampling_grpc: str
    sampling_user: Credential


@dataclass(frozen=True, kw_only=True)
class TraceQueryEndpoint:
    """Where the traces of one clearance are read, after a login.

    Attributes:
        clearance: Most restricted class of spans that it shows; it shows the lower ones too.
        workload: Workload that serves it.
        url: URL outside the cluster.
        groups: Groups whose members are let in.
    """

    clearance: str
    workload: str
    url: str
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TraceReaderEndpoint:
    """A Jaeger query that Grafana itself may ask (docs/adr/0023).

    Attributes:
        url: Where it is inside the cluster.
        access_label: Label that a client pod needs.
        user: Login of Grafana; None: it shows people's own tokens, for which they have to come by OpenID Connect.
    """

    url: str
    access_label: str
    user: Credential | None


@dataclass(frozen=True, kw_only=True)
class OidcEndpoint:
    """The OpenID Connect provider that people and tools sign in at.

    Attributes:
        issuer: Issuer URL, as its tokens name it.
        port: Port of it.
        client_id: Client of the trace queries; tokens must have it as their audience.
        client_secret: The client's password (always a secret).
        networks: Where it is (for egress NetworkPolicies).
        authority: PEM of who signs its certificate; empty for a public authority.
    """

    issuer: str
    port: int
    client_id: str
    client_secret: pulumi.Input[str]
    networks: tuple[str, ...]
    authority: str = ""


@dataclass(frozen=True, kw_only=True)
class SearchEndpoint:
    """How clients reach the search cluster.

    Attributes:
        url: ``https://host:port`` inside the cluster.
        port: Port of the API.
        workload: Workload that serves it (the peer of egress NetworkPolicies).
        server_name: Name to verify in the certificate.
        access_label: Label that a client pod needs.
        users: User name -> credential; the user of a client is its workload name.
        ready: Resolves when users, templates, first indices and aliases exist.
        after: Resources that exist from then on, for ``depends_on``.
    """

    url: str
    port: int
    workload: str
    server_name: str
    access_label: str
    users: Mapping[str, Credential]
    ready: pulumi.Output[bool]
    after: tuple[pulumi.Resource, ...]
