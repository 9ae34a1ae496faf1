"""Metrics: who collects them, who keeps them, who reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.contracts.credentials import Credential


@dataclass(frozen=True, kw_only=True)
class PrometheusEndpoint:
    """One Prometheus replica, as its writer and its readers see it.

    Attributes:
        replica: Replica name, for example ``primary``.
        workload: Workload (and Service) name, for example ``prometheus-primary``.
        url: ``https://host:port`` inside the cluster.
        server_name: Name to verify in the certificate.
        port: Port of the web API.
        grpc: ``host:port`` of the Thanos StoreAPI (mutual TLS).
        store_name: Name to verify in the certificate of the StoreAPI; the same for every replica.
        access_label: Label that a client pod needs.
        writer: May send samples.
        reader: May query.
    """

    replica: str
    workload: str
    url: str
    server_name: str
    port: int
    grpc: str
    store_name: str
    access_label: str
    writer: Credential
    reader: Credential


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """One target of the prober that is not found by DNS.

    Attributes:
        name: Value of the labels ``endpoint`` and ``instance``.
        address: What the prober is asked to look at.
        module: How.
        host: Name that the certificate has to carry; empty: the one in ``address``.
    """

    name: str
    address: str
    module: str
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class ProbeJob:
    """One job of Prometheus that asks the prober, which looks at one target for each request.

    Attributes:
        job: Prometheus job; also the name of the password's file.
        address: ``host:port`` of the prober inside the cluster.
        server_name: Name to verify in its certificate.
        workload: Its pods (for egress NetworkPolicies).
        port: Its port.
        credential: Login of this job only.
        interval: How often each target is looked at.
        module: How pods are looked at.
        srvs: SRV names; every pod that they list is a target.
        targets: Further targets.
    """

    job: str
    address: str
    server_name: str
    workload: str
    port: int
    credential: Credential
    interval: str
    module: str
    srvs: Sequence[str] = ()
    targets: Sequence[ProbeTarget] = ()


@dataclass(frozen=True, kw_only=True)
class QueryEndpoint:
    """The one read address over all Prometheus replicas.

    Attributes:
        url: URL outside the cluster.
        internal_url: URL inside the cluster.
        access_label: Label that a client pod needs.
        reader: May query.
    """

    url: str
    internal_url: str
    access_label: str
    reader: Credential


@dataclass(frozen=True, kw_only=True)
class ScrapeTarget:
    """A workload whose metrics Prometheus collects; its pods are found by DNS SRV.

    Attributes:
        job: Prometheus job: the workload name.
        service: Headless Service.
        namespace: Namespace of the Service.
        srv: Full SRV name, ``_metrics._tcp.<service>.<namespace>.svc.<domain>``.
        port: Port number (for egress NetworkPolicies).
        path: Path of the metrics.
        server_name: Name to verify in the certificate.
        credential: Scrape user of this workload only.
    """

    job: str
    service: str
    namespace: str
    srv: str
    port: int
    server_name: str
    credential: Credential
    path: str = "/metrics"
