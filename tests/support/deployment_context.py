"""Stubs for a component that is made alone."""

from __future__ import annotations

import pulumi

from components import naming
from components.contracts import ScrapeTarget
from components.k8s import CertificatePolicy, DeploymentContext, scrape_target
from components.versions import ImageCatalogue

OF_WHOLE_STACKS = frozenset({"clients-stay-inside", "file-rights-agreed", "network-agreed"})
"""Rules that compare with the servers and the agreed rights of a whole stack: a component alone has neither, and the
tests of stacks apply them."""


def deployment_context(
    *, platform: str = "p", region: str = "r", namespace: str = "ns", storage_class: str = "fast"
) -> DeploymentContext:
    """A platform in a namespace that is there already."""
    return DeploymentContext(
        platform=platform,
        region=region,
        namespace=namespace,
        namespace_ref=namespace,
        cluster_domain="cluster.local",
        issuer="platform",
        images=ImageCatalogue(registry="registry.example"),
        certificates=CertificatePolicy(duration="2160h", renew_before="720h"),
        storage_class=storage_class,
    )


def metrics(
    where: DeploymentContext,
    workload: str,
    port: int = 8080,
    *,
    job: str | None = None,
    port_name: str = naming.METRICS_PORT,
) -> ScrapeTarget:
    """A workload's metrics endpoint, with a password that the recording engine makes: call it inside of a program."""
    owner = pulumi.ComponentResource("obs:test:Scraper", job or workload)
    return scrape_target(owner, where, workload, port, job=job, port_name=port_name)
