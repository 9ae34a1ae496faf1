"""Where a replica is, and who may use the web APIs of it and of its sidecar."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import Credential, PrometheusEndpoint
from components.k8s import DeploymentContext, credential
from components.prometheus.config import WEB_PORT
from components.prometheus.thanos import GRPC_PORT, STORE_NAME


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


def workload_name(replica: str) -> str:
    """Workload (and Service) of a replica."""
    return f"prometheus-{replica}"


def sidecar_name(replica: str) -> str:
    """Scrape job of a replica's Thanos sidecar."""
    return f"thanos-sidecar-{replica}"


def prometheus_endpoint(parent: pulumi.Resource, context: DeploymentContext, replica: str) -> PrometheusEndpoint:
    """Where a replica will be, with the passwords of its writer and its readers.

    Args:
        parent: Component that owns the passwords.
        context: Deployment context.
        replica: Name of the replica.
    """
    workload = workload_name(replica)

    def new_credential(username: str) -> Credential:
        return credential(parent, name=f"{workload}-{username}", username=username)

    return PrometheusEndpoint(
        replica=replica,
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
