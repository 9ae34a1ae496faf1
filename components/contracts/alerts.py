"""Alerts: who is notified of them."""

from __future__ import annotations

from dataclasses import dataclass

from components.contracts.credentials import Credential


@dataclass(frozen=True, kw_only=True)
class AlertReceiver:
    """Something that a Prometheus sends its alerts to, by Alertmanager's API (``POST <path_prefix>/api/v2/alerts``).

    Attributes:
        name: Name of it, and of the password's file.
        workload: Its pods (for egress NetworkPolicies).
        srv: SRV name that lists every pod: Prometheus sends to each of them.
        port: Port number.
        server_name: Name to verify in the certificates.
        path_prefix: In front of the API's path; ``/`` for none.
        credential: Login of Prometheus.
        access_label: Label that a client pod needs.
    """

    name: str
    workload: str
    srv: str
    port: int
    server_name: str
    path_prefix: str
    credential: Credential
    access_label: str


@dataclass(frozen=True, kw_only=True)
class AlertEventsEndpoint:
    """Where Alertmanager tells what it notified, so that Kafka has it (requirement A3).

    Attributes:
        url: URL of the webhook inside the cluster.
        server_name: Name to verify in the certificate.
        workload: Its pods (for egress NetworkPolicies).
        port: Port number.
        credential: Login of Alertmanager.
        access_label: Label that a client pod needs.
    """

    url: str
    server_name: str
    workload: str
    port: int
    credential: Credential
    access_label: str


@dataclass(frozen=True, kw_only=True)
class AlertmanagerEndpoint:
    """The Alertmanager cluster as people and tools see it.

    Attributes:
        url: URL outside the cluster (any member: silences spread to all).
        internal_url: URL inside the cluster.
        members: Name of every pod.
        port: Port number of a member's API.
        server_name: Name to verify in the members' certificates.
        access_label: Label that a client pod needs.
        operator: May read and silence.
    """

    url: str
    internal_url: str
    members: tuple[str, ...]
    port: int
    server_name: str
    access_label: str
    operator: Credential
