"""ConfigMaps and Secrets that hold files, each with a checksum so that a changed file rolls its pods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.k8s.deployment_context import DeploymentContext


@dataclass(frozen=True, kw_only=True)
class FileSet:
    """Files in one ConfigMap or Secret.

    Attributes:
        kind: Which of the two.
        name: Name of the object, known once it exists.
        checksum: SHA-256 over names and contents (not a secret: the contents have 32 random characters or are public).
    """

    kind: Literal["ConfigMap", "Secret"]
    name: pulumi.Output[str]
    checksum: pulumi.Output[str]


def checksum(files: Mapping[str, str]) -> str:
    """SHA-256 over file names and contents."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def metadata(context: DeploymentContext, name: str, workload: str) -> k8s.meta.v1.ObjectMetaArgs:
    """Metadata of an object: explicit name, the platform's namespace, the workload's labels."""
    return k8s.meta.v1.ObjectMetaArgs(name=name, namespace=context.namespace_ref, labels=naming.labels(workload))


def config_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    name: str,
    workload: str,
    files: Mapping[str, pulumi.Input[str]],
) -> FileSet:
    """Put public files into a ConfigMap."""
    config_map = k8s.core.v1.ConfigMap(
        name,
        metadata=metadata(context, name, workload),
        data=files,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    contents: pulumi.Output[dict[str, str]] = pulumi.Output.all(**files)
    return FileSet(kind="ConfigMap", name=_name(config_map, name), checksum=contents.apply(checksum))


def secret_files(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    name: str,
    workload: str,
    files: Mapping[str, pulumi.Input[str]],
) -> FileSet:
    """Put files that hold a secret into a Secret."""
    contents: pulumi.Output[dict[str, str]] = pulumi.Output.secret(pulumi.Output.all(**files))
    secret = k8s.core.v1.Secret(
        name,
        metadata=metadata(context, name, workload),
        type="Opaque",
        string_data=contents,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return FileSet(
        kind="Secret",
        name=_name(secret, name),
        checksum=pulumi.Output.unsecret(contents.apply(checksum)),
    )


def _name(resource: pulumi.Resource, name: str) -> pulumi.Output[str]:
    """The plain name, known already in a preview, which a pod gets only after the object exists."""
    return resource.urn.apply(lambda _: name)
