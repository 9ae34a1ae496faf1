"""Small stacks, hand-written, for the tests of the review."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from ops.review.model import Path, Planned, StackPlan
from policy.model import Resource

NAMESPACE = "obs"
STATEFUL_SET, DEPLOYMENT = "kubernetes:apps/v1:StatefulSet", "kubernetes:apps/v1:Deployment"
CONFIG_MAP, SECRET = "kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:Secret"
SERVICE, POLICY = "kubernetes:core/v1:Service", "kubernetes:networking.k8s.io/v1:NetworkPolicy"
TOPIC, ACL, QUOTA = "kafka:index/topic:Topic", "kafka:index/acl:Acl", "kafka:index/quota:Quota"
USER, PASSWORD = "kafka:index/userScramCredential:UserScramCredential", "random:index/randomPassword:RandomPassword"
PROVIDER = "pulumi:providers:kubernetes"


def urn(token: str, name: str) -> str:
    """Identity of a resource in these stacks."""
    return f"urn:pulumi:test::observability::{token}::{name}"


PROVIDER_URN = urn(PROVIDER, "cluster")


def planned(token: str, name: str, props: Mapping[str, Any], **options: Any) -> Planned:
    """One resource."""
    secrets: frozenset[Path] = options.pop("secrets", frozenset())
    needs = tuple(urn(*need) for need in options.pop("needs", ()))
    provider = PROVIDER_URN if token.startswith("kubernetes:") else ""
    resource = Resource(token, name, props, urn(token, name))
    return Planned(resource, "part", dependencies=needs, provider=provider, secrets=secrets, **options)


def manifest(token: str, name: str, content: Mapping[str, Any], **options: Any) -> Planned:
    """One Kubernetes object."""
    return planned(token, name, {"metadata": {"name": name, "namespace": NAMESPACE}, **content}, **options)


def plan(*resources: Planned, **content: Any) -> StackPlan:
    """A stack of some resources, with a provider that changes files in place."""
    provider = planned(PROVIDER, "cluster", {"enableConfigMapMutable": "true", "enableSecretMutable": "true"})
    planned_resources = {resource.urn: resource for resource in (provider, *resources)}
    return StackPlan("test", planned_resources, **content)


def template(image: str = "obs/kafka:1", checksum: str = "a", **spec: Any) -> dict[str, Any]:
    """A pod template."""
    container = {"name": "main", "image": image, "command": ["serve", "--storage.tsdb.retention.time=30d"]}
    volumes = [{"name": "config", "configMap": {"name": "files"}}]
    return {
        "metadata": {"annotations": {"obs.config/checksum": checksum}},
        "spec": {"containers": [container], "volumes": volumes, **spec},
    }


def stateful_set(name: str = "kafka", *, needs: tuple[tuple[str, str], ...] = (), **spec: Any) -> Planned:
    """A StatefulSet of three pods with a volume each."""
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    content = {"replicas": 3, "serviceName": name, "volumeClaimTemplates": [claim], "template": template(), **spec}
    return manifest(STATEFUL_SET, name, {"spec": content}, needs=needs)


def deployment(name: str, *, needs: tuple[tuple[str, str], ...] = (), **spec: Any) -> Planned:
    """A Deployment of two pods that never lacks one."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}
    return manifest(
        DEPLOYMENT, name, {"spec": {"replicas": 2, "strategy": strategy, "template": template(), **spec}}, needs=needs
    )


def files(name: str = "files", **content: Any) -> Planned:
    """A ConfigMap: texts as they are, JSON by its name, all else as YAML; ``__`` in a name stands for a dot."""
    return manifest(CONFIG_MAP, name, {"data": _texts(content)})


def secret_files(name: str = "secret", **content: Any) -> Planned:
    """A Secret of files."""
    return manifest(SECRET, name, {"stringData": _texts(content)}, secrets=frozenset({("stringData",)}))


def _texts(content: Mapping[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in content.items():
        name = key.replace("__", ".")
        dump = json.dumps if name.endswith(".json") else _yaml
        texts[name] = value if isinstance(value, str) else dump(value)
    return texts


def _yaml(value: Any) -> str:
    return str(yaml.dump(value, Dumper=yaml.CSafeDumper))


def topic(name: str = "telemetry-logs", **changes: Any) -> Planned:
    """A topic; ``retention_ms`` and ``min_insync_replicas`` go into its configuration."""
    config = {"retention.ms": str(changes.pop("retention_ms", 1_209_600_000))}
    config["min.insync.replicas"] = str(changes.pop("min_insync_replicas", 2))
    options = {"protect": changes.pop("protect", False)}
    return planned(
        TOPIC, name, {"name": name, "partitions": 6, "replicationFactor": 3, "config": config, **changes}, **options
    )


def acl(user: str, operation: str, kind: str, name: str, **changes: Any) -> Planned:
    """A permission."""
    content = {
        "aclPrincipal": f"User:{user}",
        "aclOperation": operation,
        "aclResourceType": kind,
        "aclResourceName": name,
        "aclPermissionType": "Allow",
        "aclHost": "*",
        "resourcePatternTypeFilter": "Literal",
        **changes,
    }
    return planned(ACL, f"{user}-{operation}-{kind}-{name}".lower(), content)


def rules(**alert: Any) -> dict[str, Any]:
    """A rule file of one alert."""
    rule = {"alert": "Lag", "expr": "lag > 5", "for": "5m", "labels": {"severity": "high"}, **alert}
    rule["for"] = rule.pop("hold", rule["for"])
    return {"groups": [{"name": "kafka", "rules": [rule]}]}
