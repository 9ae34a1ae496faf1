"""The access matrix of a rendered platform: Kafka, Kubernetes, network; the rest is read by `stores` and `servers`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from components.gateway.logins import speakers
from components.telemetry.layers import LAYERS
from ops.permissions import servers, stores
from ops.permissions.model import (
    Edge,
    GatewayLogin,
    KafkaGrant,
    KubernetesRule,
    Matrix,
    Outgoing,
    ServiceAccount,
)
from policy.documents import Format, documents
from policy.model import Node, Resource
from policy.rules._kafka import Server, super_users
from policy.rules._servers import pod_of

_NAME: Final = "app.kubernetes.io/name"
_NAMESPACE: Final = "kubernetes.io/metadata.name"
_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"})
EVERYBODY: Final = "every address"
EVERY_POD: Final = "every pod of the namespace"


def matrix(resources: Sequence[Resource]) -> Matrix:
    """Who may do what on a platform.

    Args:
        resources: Everything that the program asks for, passwords known: a rendered platform, or a state that was
            exported with its secrets.
    """
    return Matrix(
        kafka=tuple(sorted(kafka_grants(resources))),
        kafka_users=tuple(
            sorted(str(resource.props["username"]) for resource in _of(resources, "UserScramCredential"))
        ),
        kafka_super_users=tuple(sorted(_super_users(resources))),
        accounts=tuple(service_accounts(resources)),
        database=tuple(stores.database_roles(resources)),
        search=tuple(stores.search_users(resources)),
        http=tuple(sorted(servers.http_servers(resources), key=lambda server: server.label)),
        edges=tuple(sorted(set(edges(resources)))),
        outgoing=tuple(sorted(set(outgoing(resources)))),
        storage=tuple(stores.storage_access(resources)),
        gateway=tuple(gateway_logins()),
    )


def _of(resources: Sequence[Resource], *kinds: str) -> Iterator[Resource]:
    return (resource for resource in resources if resource.kind in kinds)


def kafka_grants(resources: Sequence[Resource]) -> Iterator[KafkaGrant]:
    """Permissions of Kafka's users, from the ACL resources."""
    for resource in _of(resources, "Acl"):
        props = resource.props
        yield KafkaGrant(
            user=str(props["aclPrincipal"]).removeprefix("User:"),
            operation=str(props["aclOperation"]),
            kind=str(props["aclResourceType"]),
            resource=str(props["aclResourceName"]),
            prefixed=props.get("resourcePatternTypeFilter") == "Prefixed",
            denied=props.get("aclPermissionType") == "Deny",
        )


def _super_users(resources: Sequence[Resource]) -> set[str]:
    return {
        principal.removeprefix("User:")
        for resource in _of(resources, "ConfigMap")
        for document in documents(resource, Format.KAFKA_SERVER)
        for principal in super_users(Server(document))
    }


def service_accounts(resources: Sequence[Resource]) -> Iterator[ServiceAccount]:
    """Identities of pods, with what Roles and ClusterRoles bind to them."""
    roles = {
        (resource.kind, resource.object_name): [
            (tuple(rule.get("verbs") or ()), rule) for rule in resource.props.get("rules") or ()
        ]
        for resource in _of(resources, "Role", "ClusterRole")
    }
    rules: dict[str, list[KubernetesRule]] = {}
    for binding in _of(resources, "RoleBinding", "ClusterRoleBinding"):
        role = binding.props["roleRef"]
        namespace = binding.namespace if binding.kind == "RoleBinding" else ""
        # A role that the program does not make, such as `cluster-admin`, is shown by its name.
        given = roles.get((role["kind"], role["name"]), [((f"all of {role['kind']} {role['name']}",), {})])
        for subject in binding.props.get("subjects") or ():
            if subject.get("kind") == "ServiceAccount":
                rules.setdefault(subject["name"], []).extend(
                    KubernetesRule(
                        verbs=verbs,
                        resources=tuple(rule.get("resources") or rule.get("nonResourceURLs") or ()),
                        groups=tuple(rule.get("apiGroups") or ("",)),
                        names=tuple(rule.get("resourceNames") or ()),
                        namespace=namespace,
                    )
                    for verbs, rule in given
                )
    mounts: dict[str, set[str]] = {}
    for workload in _of(resources, *_WORKLOADS):
        pod = pod_of(workload)
        if pod is not None and (pod["automountServiceAccountToken"].value is not False or _has_token(pod)):
            mounts.setdefault(pod["serviceAccountName"].text() or "default", set()).add(workload.object_name)
    names = {resource.object_name for resource in _of(resources, "ServiceAccount")}
    for name in sorted(names | rules.keys() | mounts.keys()):
        yield ServiceAccount(
            name=name, mounted_by=tuple(sorted(mounts.get(name, ()))), rules=tuple(sorted(rules.get(name, ())))
        )


def _has_token(pod: Node) -> bool:
    """Whether a pod mounts a token of its account itself."""
    return any(
        source["serviceAccountToken"].exists
        for volume in pod["volumes"].elements()
        for source in volume["projected"]["sources"].elements()
    )


def edges(resources: Sequence[Resource]) -> Iterator[Edge]:
    """Traffic that is let in, one edge for each source, workload and port."""
    pods = _pod_labels(resources)
    for policy in _of(resources, "NetworkPolicy"):
        spec = policy.props["spec"]
        for rule in spec.get("ingress") or ():
            for source in _peers(rule.get("from"), pods):
                for port in _ports(rule):
                    for target in _selected(spec.get("podSelector") or {}, pods):
                        yield Edge(to=target, port=port, source=source)


def outgoing(resources: Sequence[Resource]) -> Iterator[Outgoing]:
    """Traffic that is let out to networks outside of the cluster."""
    pods = _pod_labels(resources)
    for policy in _of(resources, "NetworkPolicy"):
        spec = policy.props["spec"]
        for rule in spec.get("egress") or ():
            networks = [peer["ipBlock"]["cidr"] for peer in rule.get("to") or () if peer.get("ipBlock")]
            for network in networks if rule.get("to") else [EVERYBODY]:
                for port in _ports(rule):
                    for workload in _selected(spec.get("podSelector") or {}, pods):
                        yield Outgoing(workload=workload, network=network, port=port)


def _pod_labels(resources: Sequence[Resource]) -> dict[str, Mapping[str, str]]:
    """Workload -> labels of its pods."""
    labels: dict[str, Mapping[str, str]] = {}
    for workload in _of(resources, *_WORKLOADS):
        template = "spec.jobTemplate.spec.template" if workload.kind == "CronJob" else "spec.template"
        labels[workload.object_name] = dict(workload.node.at(f"{template}.metadata.labels").value or {})
    return labels


def _selected(selector: Mapping[str, Any], pods: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Workloads that a selector chooses; the selector itself where it chooses none that is known."""
    wanted = selector.get("matchLabels") or {}
    if not wanted and not selector.get("matchExpressions"):
        return [EVERY_POD]
    chosen = [name for name, labels in pods.items() if wanted.items() <= labels.items()]
    return sorted(chosen) or [_labels(selector)]


def _peers(peers: Sequence[Mapping[str, Any]] | None, pods: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    if not peers:
        yield EVERYBODY
    for peer in peers or ():
        if block := peer.get("ipBlock"):
            yield str(block["cidr"])
        elif namespaces := peer.get("namespaceSelector"):
            where = (namespaces.get("matchLabels") or {}).get(_NAMESPACE)
            where = f"namespace {where}" if where else f"namespaces with {_labels(namespaces)}"
            inner = peer.get("podSelector")
            yield f"{where}, pods with {_labels(inner)}" if inner else where
        else:
            yield from _selected(peer.get("podSelector") or {}, pods)


def _labels(selector: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items()))


def _ports(rule: Mapping[str, Any]) -> list[int]:
    return [int(port["port"]) for port in rule.get("ports") or ()] or [0]


def gateway_logins() -> Iterator[GatewayLogin]:
    """Users of the gateway, from the catalogue."""
    signals = {layer.name: tuple(sorted(str(signal) for signal in layer.signals)) for layer in LAYERS}
    for user, layers in sorted(speakers().items()):
        yield GatewayLogin(user=user, layers=tuple((layer, signals[layer]) for layer in layers))
