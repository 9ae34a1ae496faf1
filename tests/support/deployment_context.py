"""Stubs for a component that is made alone."""

from __future__ import annotations

from components.k8s import CertificatePolicy, DeploymentContext
from components.versions import ImageCatalogue


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
