"""A small compliant platform: one query server with a load balancer, and everything that belongs to it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from policy.model import UNKNOWN, Resource, Rule
from policy.rules import RULES

GONE: Final = object()
"""Stands for a setting that is taken away."""

NAMESPACE = "obs"
HASH = "$2b$12$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
LABELS = {"app": "query"}
POD = "spec.template.spec"

WEB = f"""tls_server_config:
  cert_file: /etc/tls/tls.crt
  key_file: /etc/tls/tls.key
basic_auth_users:
  reader: {HASH}
"""


def k8s(token: str, name: str, *, labels: dict[str, str] | None = None, **rest: Any) -> Resource:
    """A Kubernetes object of the fixture's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
    return Resource(f"kubernetes:{token}", name, {"metadata": metadata, **rest})


def namespace() -> Resource:
    """A namespace for restricted pods."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return Resource("kubernetes:core/v1:Namespace", NAMESPACE, {"metadata": {"name": NAMESPACE, "labels": levels}})


def container(**changes: Any) -> dict[str, Any]:
    """A container with everything that is asked of it."""
    return {
        "name": "query",
        "image": "registry.lab.internal/thanosio/thanos:v0.42.0",
        "command": [
            *("/bin/thanos", "query", "--http-address=0.0.0.0:9090", "--http.config=/etc/web/web.yml"),
            "--query.max-concurrent=4",
        ],
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "GOMEMLIMIT", "value": "100MiB"}],
        "ports": [{"name": "https", "containerPort": 9090}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"tcpSocket": {"port": 9090}},
        "livenessProbe": {"tcpSocket": {"port": 9090}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "securityContext": {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/query", "readOnly": True},
            {"name": "web", "mountPath": "/etc/web", "readOnly": True},
            {"name": "tls", "mountPath": "/etc/tls", "readOnly": True},
        ],
        **changes,
    }


def pod(*containers: dict[str, Any]) -> dict[str, Any]:
    """A pod with everything that is asked of it."""
    return {
        "serviceAccountName": "query",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {"topologyKey": key, "maxSkew": 1, "labelSelector": {"matchLabels": dict(LABELS)}}
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "containers": list(containers) or [container()],
        "volumes": [
            {"name": "config", "configMap": {"name": "query"}},
            {"name": "web", "secret": {"secretName": "query-web", "defaultMode": 0o440}},
            {"name": "tls", "secret": {"secretName": "query-tls", "defaultMode": 0o440}},
        ],
    }


def deployment() -> Resource:
    """The query server."""
    return k8s(
        "apps/v1:Deployment",
        "query",
        spec={
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": LABELS, "annotations": {"obs.config/checksum": "0123456789abcdef"}},
                "spec": pod(),
            },
        },
    )


def stateful_set() -> Resource:
    """A server with a volume."""
    return k8s(
        "apps/v1:StatefulSet",
        "store",
        spec={
            "replicas": 3,
            "updateStrategy": {"type": "RollingUpdate"},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "template": {"metadata": {"labels": {"app": "store"}}, "spec": pod()},
        },
    )


def config_map(**files: str) -> Resource:
    """A ConfigMap with the query server's files."""
    return k8s("core/v1:ConfigMap", "query", data=files or {"stores.yml": "- targets: [store:10901]\n"})


def service() -> Resource:
    """The load balancer of the query server."""
    return k8s(
        "core/v1:Service",
        "query",
        spec={
            "type": "LoadBalancer",
            "selector": {**LABELS, "apps.kubernetes.io/pod-index": "0"},
            "ports": [{"name": "https", "port": 443, "targetPort": 9090}],
            "loadBalancerSourceRanges": ["10.20.0.0/16"],
            "externalTrafficPolicy": "Local",
        },
    )


def ingress(**changes: Any) -> Resource:
    """An Ingress for the query server."""
    backend = {"service": {"name": "query", "port": {"number": 443}}}
    spec = {
        "tls": [{"hosts": ["query.example.com"], "secretName": "query-tls"}],
        "rules": [{"host": "query.example.com", "http": {"paths": [{"path": "/", "backend": backend}]}}],
        **changes,
    }
    return k8s("networking.k8s.io/v1:Ingress", "query", spec=spec)


def policy(name: str = "query", selector: dict[str, Any] | None = None, **rules: Any) -> Resource:
    """A NetworkPolicy."""
    return k8s(
        "networking.k8s.io/v1:NetworkPolicy",
        name,
        spec={"podSelector": selector or {}, "policyTypes": ["Ingress", "Egress"], **rules},
    )


def query_policy() -> Resource:
    """What the query server may receive and send."""
    dns = {"namespaceSelector": {"matchLabels": {"name": "kube-system"}}, "podSelector": {"matchLabels": {"k": "dns"}}}
    return policy(
        selector={"matchLabels": LABELS},
        ingress=[
            {
                "from": [{"podSelector": {"matchLabels": {"reads": "true"}}}, {"ipBlock": {"cidr": "10.20.0.0/16"}}],
                "ports": [{"port": 9090, "protocol": "TCP"}],
            }
        ],
        egress=[{"to": [dns], "ports": [{"port": 53, "protocol": "UDP"}]}],
    )


def certificate(**changes: Any) -> Resource:
    """The query server's certificate."""
    spec = {
        "secretName": "query-tls",
        "commonName": "query",
        "dnsNames": ["query.obs.svc", "*.query-headless.obs.svc.cluster.local", "*.query-headless"],
        "duration": "2160h",
        "renewBefore": "720h",
        "usages": ["digital signature", "server auth", "client auth"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "issuerRef": {"name": "platform", "kind": "Issuer"},
        **changes,
    }
    return k8s("cert-manager.io/v1:Certificate", "query", spec=spec)


def authority() -> list[Resource]:
    """The authority: its own issuer, its certificate, and the issuer that signs with it."""
    spec = {
        "secretName": "platform-ca",
        "isCA": True,
        "duration": "43800h",
        "renewBefore": "8760h",
        "usages": ["cert sign", "crl sign", "digital signature"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
        "issuerRef": {"name": "bootstrap", "kind": "Issuer"},
    }
    return [
        k8s("cert-manager.io/v1:Issuer", "bootstrap", spec={"selfSigned": {}}),
        k8s("cert-manager.io/v1:Certificate", "platform-ca", spec=spec),
        k8s("cert-manager.io/v1:Issuer", "platform", spec={"ca": {"secretName": "platform-ca"}}),
    ]


def platform() -> list[Resource]:
    """The whole fixture."""
    return [
        namespace(),
        policy("default-deny"),
        query_policy(),
        *authority(),
        certificate(),
        k8s("core/v1:ServiceAccount", "query", automountServiceAccountToken=False),
        config_map(),
        k8s("core/v1:Secret", "query-web", stringData={"web.yml": WEB}),
        k8s("core/v1:Service", "query-headless", spec={"clusterIP": "None", "selector": LABELS}),
        service(),
        k8s("policy/v1:PodDisruptionBudget", "query", spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}),
        deployment(),
    ]


def changed(resource: Resource, path: str, value: Any) -> Resource:
    """A copy in which one place is new or gone.

    Args:
        resource: What it is a copy of.
        path: Keys with ``/`` between them; numbers are positions in lists, ``~`` stands for a ``/`` in a key.
        value: What to put there, or ``GONE``.
    """
    props = copy.deepcopy(dict(resource.props), {id(UNKNOWN): UNKNOWN})
    place: Any = props
    *keys, last = [int(key) if key.isdigit() else key for key in _keys(path)]
    for key in keys:
        place = place.setdefault(key, {}) if isinstance(key, str) else place[key]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return Resource(resource.type, resource.name, props, resource.urn)


def _keys(path: str) -> list[str]:
    return [key.replace("~", "/") for key in path.split("/")]


def swapped(resources: Sequence[Resource], *new: Resource) -> list[Resource]:
    """The resources with some of them in a changed version, or more of them."""
    names = {(resource.type, resource.object_name): resource for resource in new}
    kept = [names.pop((resource.type, resource.object_name), resource) for resource in resources]
    return [*kept, *names.values()]


def without(resources: Sequence[Resource], kind: str, name: str) -> list[Resource]:
    """The resources without one of them."""
    left = [resource for resource in resources if (resource.kind, resource.object_name) != (kind, name)]
    assert len(left) == len(resources) - 1
    return left


def rule(rule_id: str) -> Rule:
    """The rule of that id."""
    return next(known_rule for known_rule in RULES if known_rule.id == rule_id)


def said(rule_id: str, seen: Resource | Sequence[Resource], **options: Any) -> list[str]:
    """What a rule says about a resource or a stack: ``label, where: problem -> fix``."""
    checked_rule = rule(rule_id)
    chosen = {**checked_rule.defaults(), **options}
    if checked_rule.resource is not None:
        assert isinstance(seen, Resource)
        assert not checked_rule.kinds or seen.kind in checked_rule.kinds
        findings = list(checked_rule.resource(seen, chosen))
    else:
        assert checked_rule.stack is not None
        assert not isinstance(seen, Resource)
        findings = list(checked_rule.stack(seen, chosen))
    return [
        f"{finding.resource.label if finding.resource else 'stack'}, {finding.where}: {finding.problem} -> "
        f"{finding.fix}"
        for finding in findings
    ]


def place(path: str) -> str:
    """A path of ``changed`` as messages write it."""
    text = ""
    for key in _keys(path):
        plain = key.replace("_", "").replace("-", "").isalnum()
        text += f"[{key}]" if key.isdigit() else f".{key}" if plain else f'."{key}"'
    return text.removeprefix(".")
