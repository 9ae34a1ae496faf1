"""The namespace of a platform, what every object in it has in common, and the provider that makes them."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.k8s import CertificatePolicy, DeploymentContext, default_deny
from components.versions import ImageCatalogue
from stacks.settings import Settings

_ISSUER = "platform"


def providers(settings: Settings) -> list[pulumi.ProviderResource]:
    """The provider for the context that the stack file names, else for the current one.

    ConfigMaps and Secrets are changed in place. Pulumi's default replaces them, and with them (their name being fixed)
    the StatefulSets that mount them: one changed file would stop all brokers at once instead of rolling them.
    """
    return [
        k8s.Provider(
            "cluster",
            context=settings.cluster.context,
            enable_config_map_mutable=True,
            enable_secret_mutable=True,
        )
    ]


def deployment_context(parent: pulumi.Resource, settings: Settings) -> DeploymentContext:
    """The namespace (Pod Security "restricted", everything denied) and the context of its components."""
    namespace = k8s.core.v1.Namespace(
        settings.namespace,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=settings.namespace,
            labels={
                "app.kubernetes.io/part-of": naming.PART_OF,
                "app.kubernetes.io/managed-by": "pulumi",
                **{f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")},
            },
        ),
        opts=pulumi.ResourceOptions(parent=parent, protect=settings.protect),
    )
    context = DeploymentContext(
        platform=settings.platform,
        region=settings.region,
        namespace=settings.namespace,
        # Unknown until the namespace exists, so that a preview does not look for objects in it.
        namespace_ref=namespace.id.apply(lambda _: settings.namespace),
        cluster_domain=settings.cluster.domain,
        issuer=_ISSUER,
        images=ImageCatalogue(registry=settings.images.registry, digests=settings.images.digests),
        certificates=CertificatePolicy(
            duration=settings.certificates.workloads.duration,
            renew_before=settings.certificates.workloads.renew_before,
        ),
        storage_class=settings.storage.storage_class,
    )
    default_deny(parent, context)
    return context
