"""Which changes a provider cannot make in place: the resource is deleted and made anew."""

from __future__ import annotations

from collections.abc import Mapping

from ops.review.difference import Change, Kind
from ops.review.model import Path, Planned

_WORKLOAD_SELECTOR = ("spec.selector",)
_FORCE_NEW: Mapping[str, tuple[str, ...]] = {
    "kubernetes:apps/v1:StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "kubernetes:apps/v1:Deployment": _WORKLOAD_SELECTOR,
    "kubernetes:apps/v1:DaemonSet": _WORKLOAD_SELECTOR,
    "kubernetes:batch/v1:Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "kubernetes:core/v1:PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeName",
    ),
    "kubernetes:core/v1:Secret": ("type",),
    "kubernetes:core/v1:Service": ("spec.clusterIP",),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": ("roleRef",),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": ("roleRef",),
    "kubernetes:storage.k8s.io/v1:StorageClass": ("parameters", "provisioner"),
    "kafka:index/topic:Topic": ("name",),
    "kafka:index/acl:Acl": ("",),
    "kafka:index/userScramCredential:UserScramCredential": ("username", "scramMechanism"),
    "random:index/randomPassword:RandomPassword": ("",),
    "pulumi:providers:kubernetes": ("context", "cluster", "kubeconfig"),
}
"""Type -> properties, as the Kubernetes provider (its ``diff.go``) and the Kafka and random providers have them."""
_FILES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "kubernetes:core/v1:ConfigMap": ("enableConfigMapMutable", ("data", "binaryData")),
    "kubernetes:core/v1:Secret": ("enableSecretMutable", ("data", "stringData")),
}
"""Type -> option of the provider without which changed files replace the object (ADR 0005)."""


def replaced_by(change: Change, planned: Mapping[str, Planned]) -> list[str]:
    """The properties that make a provider replace the resource; none when it changes in place.

    Args:
        change: A change of a resource.
        planned: Everything after the change: the provider's options are among it.
    """
    if change.kind is not Kind.CHANGED or change.after is None:
        return []
    resource = change.after.resource
    fixed = [
        *_FORCE_NEW.get(resource.type, ()),
        *(("metadata.name", "metadata.namespace") if resource.kubernetes else ()),
    ]
    option, held = _FILES.get(resource.type, ("", ()))
    if option and (not _allows(planned.get(change.after.provider), option) or resource.props.get("immutable") is True):
        fixed += held
    properties = [
        property_path for entry in change.entries for property_path in fixed if _below(entry.path, property_path)
    ]
    return list(dict.fromkeys(property_path or "any change" for property_path in properties))


def _below(path: Path, prefix: str) -> bool:
    parts = tuple(prefix.split(".")) if prefix else ()
    return path[: len(parts)] == parts and not (path and str(path[0]).startswith("("))


def _allows(provider: Planned | None, option: str) -> bool:
    return provider is not None and str(provider.resource.props.get(option)).lower() == "true"
