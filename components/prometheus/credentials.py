"""Where a replica is, and who may use the web APIs of it and of its sidecar."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import Credential, PrometheusEndpoint
from components.k8s import DeploymentContext, credential
from components.prometheus.config import WEB_PORT
from components.prometheus.thanos import GRPC_PORT, STORE_NAME
from components.shards import server_name


@dataclass(frozen=True, kw_only=True)
class Users:
    """Who may use the web API of one replica. Prometheus knows users, not rights: each of them may read and write."""

    reader: Credential
    writer: Credential
    sidecar: Credential
    scrape: Credential
    sidecar_scrape: Credential

    def all(self) -> tuple[Credential, ...]:
        """Those of Prometheus itself."""
        return (self.reader, self.writer, self.sidecar, self.scrape)


def workload_name(server: str) -> str:
    """Workload (and Service) of a server."""
    return f"prometheus-{server}"


def sidecar_name(server: str) -> str:
    """Scrape job of a server's Thanos sidecar."""
    return f"thanos-sidecar-{server}"


def prometheus_endpoint(
    parent: pulumi.Resource, context: DeploymentContext, replica: str, shard: int = 0
) -> PrometheusEndpoint:
    """Where a server will be, with the passwords of its writer and its readers.

    Args:
        parent: Component that owns the passwords.
        context: Deployment context.
        replica: Name of the replica.
        shard: Its part of the layers' series.
    """
    server = server_name(replica, shard)
    workload = workload_name(server)

    def new_credential(username: str) -> Credential:
        return credential(parent, name=f"{workload}-{username}", username=username)

    return PrometheusEndpoint(
        replica=replica,
        shard=shard,
        server=server,
        workload=workload,
        url=f"https://{context.host(workload)}:{WEB_PORT}",
        server_name=context.host(workload),
        port=WEB_PORT,
        grpc=f"{context.host(naming.headless(workload))}:{GRPC_PORT}",
        store_name=context.host(STORE_NAME),
        access_label=naming.access_label(workload),
        writer=new_credential("writer"),
        reader=new_credential("reader"),
    )
