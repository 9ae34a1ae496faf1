"""Surroundings of a component that is made alone."""

from __future__ import annotations

from components.k8s import CertificatePolicy, Site
from components.versions import ImageCatalogue


def site(*, platform: str = "p", region: str = "r", namespace: str = "ns", storage_class: str = "fast") -> Site:
    """A platform in a namespace that is there already."""
    return Site(
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
