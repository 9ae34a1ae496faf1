"""Who may use the web APIs of a replica and its sidecar, and how both are scraped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import naming
from components.contracts import Credential, ScrapeTarget
from components.k8s import DeploymentContext, credential
from components.prometheus.config import WEB_PORT, rendered, web_config
from components.prometheus.pods import SIDECAR_PORT_NAME
from components.prometheus.thanos import SIDECAR_HTTP_PORT


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


def users_of(parent: pulumi.Resource, replica: str) -> Users:
    """Make the users of a replica."""

    def new_credential(username: str) -> Credential:
        return credential(parent, name=f"prometheus-{replica}-{username}", username=username)

    return Users(
        reader=new_credential("reader"),
        writer=new_credential("writer"),
        sidecar=new_credential("sidecar"),
        scrape=new_credential(naming.scrape_user(workload_name(replica))),
        sidecar_scrape=new_credential(naming.scrape_user(sidecar_name(replica))),
    )


def workload_name(replica: str) -> str:
    """Workload (and Service) of a replica."""
    return f"prometheus-{replica}"


def sidecar_name(replica: str) -> str:
    """Scrape job of a replica's Thanos sidecar."""
    return f"thanos-sidecar-{replica}"


def web_file(users: Sequence[Credential]) -> pulumi.Output[str]:
    """The web configuration file that lets these users in."""
    hashes = pulumi.Output.all(**{user.username: user.bcrypt for user in users})
    return hashes.apply(lambda known: rendered(web_config(known)))


def own_targets(context: DeploymentContext, replica: str, users: Users) -> tuple[ScrapeTarget, ScrapeTarget]:
    """The metrics of a replica and of its sidecar."""
    workload = workload_name(replica)
    service = naming.headless(workload)
    return (
        context.scrape_target(workload, WEB_PORT, users.scrape),
        ScrapeTarget(
            job=sidecar_name(replica),
            service=service,
            namespace=context.namespace,
            srv=f"_{SIDECAR_PORT_NAME}._tcp.{context.host(service)}",
            port=SIDECAR_HTTP_PORT,
            server_name=context.host(workload),
            credential=users.sidecar_scrape,
        ),
    )
