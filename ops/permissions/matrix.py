"""The access matrix of a rendered platform, by the files servers read: Kafka, Kubernetes, network, HTTP, stores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from components.gateway.component import speakers
from components.telemetry.layers import LAYERS
from ops.permissions.model import (
    DatabaseRole,
    Edge,
    GatewayLogin,
    HttpServer,
    HttpUser,
    KafkaGrant,
    KubernetesRule,
    Matrix,
    Outgoing,
    SearchGrant,
    SearchUser,
    ServiceAccount,
    StorageAccess,
)
from policy.documents import Format, documents, files, ini, parse
from policy.model import Node, Resource
from policy.rules._dataplane import Server, super_users
from policy.rules._kubernetes import pod_of
from policy.rules._servers import Container, Mounted, containers
from policy.rules._values import hba, is_hba
from policy.rules.backups import storage_users
from policy.rules.exposure import _WEB, port_of

_GRANT = re.compile(r"^GRANT (?P<what>.+) TO (?P<roles>[a-z_, ]+);$", re.M)


def _files(resources: Sequence[Resource]) -> Iterator[tuple[Resource, str, str]]:
    for resource in resources:
        if resource.kubernetes:
            for name, text in files(resource):
                yield resource, name, text


def database_roles(resources: Sequence[Resource]) -> Iterator[DatabaseRole]:
    """Roles of the platform's own PostgreSQL: ``access.json``, ``access.sql`` and ``pg_hba.conf``."""
    connects: dict[str, list[tuple[str, str]]] = {}
    granted: dict[str, list[str]] = {}
    access: list[Mapping[str, Any]] = []
    for _, name, text in _files(resources):
        if name.endswith(".conf") and is_hba(text):
            for line in hba(text):
                # Only what comes over the network and is not refused; `replication` is no database.
                if line.type != "local" and line.method != "reject":
                    _, database, user, address, *_ = line.text.split()
                    connects.setdefault(user, []).append((database, address))
        elif name.endswith(".sql"):
            for grant in _GRANT.finditer(text):
                for role in grant["roles"].split(","):
                    granted.setdefault(role.strip(), []).append(" ".join(grant["what"].split()))
        elif name == "access.json" and "verifier" in text:
            access.append(json.loads(text))
    for content in access:
        for role in sorted(content["roles"], key=lambda role: str(role["name"])):
            yield DatabaseRole(
                name=role["name"],
                verifier=role["verifier"],
                replication=bool(role.get("replication")),
                owns=tuple(base["name"] for base in content["databases"] if base["owner"] == role["name"]),
                connects=tuple(connects.get(role["name"], ())),
                granted=tuple(granted.get(role["name"], ())),
            )


def search_users(resources: Sequence[Resource]) -> Iterator[SearchUser]:
    """Users of the search cluster, in either engine's form."""
    for resource in resources:
        if resource.kind != "Secret":
            continue
        content = dict(files(resource))
        if "roles.yml" not in content:
            continue
        roles = parse("roles.yml", content["roles.yml"])[1]
        if "users_roles" in content:
            hashes = dict(line.split(":", 1) for line in content["users"].splitlines())
            holders = dict(line.split(":", 1) for line in content["users_roles"].splitlines())
            of_user = {user: [role for role, users in holders.items() if user in users.split(",")] for user in hashes}
        else:
            internal = parse("users.yml", content["internal_users.yml"])[1]
            hashes = {name: entry["hash"] for name, entry in internal.items() if name != "_meta"}
            mapping = parse("mapping.yml", content["roles_mapping.yml"])[1]
            of_user = {
                user: [role for role, entry in mapping.items() if role != "_meta" and user in entry["users"]]
                for user in hashes
            }
        for user in sorted(hashes):
            held = [roles[role] for role in of_user[user]]
            yield SearchUser(
                name=user,
                verifier=hashes[user],
                cluster=tuple(
                    privilege
                    for role in held
                    for privilege in role.get("cluster") or role.get("cluster_permissions") or ()
                ),
                indices=tuple(_grant(entry) for role in held for entry in _entries(role)),
            )


def _entries(role: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return role.get("indices") or role.get("index_permissions") or ()


def _grant(entry: Mapping[str, Any]) -> SearchGrant:
    return SearchGrant(
        patterns=tuple(entry.get("names") or entry["index_patterns"]),
        privileges=tuple(entry.get("privileges") or entry["allowed_actions"]),
    )


def storage_access(resources: Sequence[Resource]) -> Iterator[StorageAccess]:
    """Programs with a key of an object storage, sorted by bucket and prefix."""
    seen: dict[str, dict[str, int]] = {}
    rows = {(user.bucket, user.prefix, user.workload, user.key) for user in storage_users(resources)}
    for bucket, prefix, name, key in sorted(rows):
        keys = seen.setdefault(bucket, {})
        number = keys.setdefault(key, len(keys) + 1)
        yield StorageAccess(workload=name, bucket=bucket, prefix=prefix, key=number)


SEARCH_PORT: Final = 9200
METRICS: Final = "/metrics"
_LOGIN_KEYS: Final = {"user", "password_file"}
_PARTS: Final = {
    "metrics": ("GET", METRICS),
    "prometheus": ("POST", "/raw/api/v2/alerts"),
    "alertmanager": ("POST", "/processed"),
}
"""Login in the settings of our own programs -> what it opens; any other opens the rest."""


def http_servers(resources: Sequence[Resource]) -> Iterator[HttpServer]:
    """Every server, or part of one, that asks for a user name and a password."""
    for workload in resources:
        for container in containers(workload):
            mounted = container.mounted(resources)
            for server in _servers_of(container, mounted):
                if server.users:
                    yield server
    users = tuple(HttpUser(name=user.name, verifier=user.verifier) for user in search_users(resources))
    if users:
        yield HttpServer(workload="search", port=SEARCH_PORT, path="/", users=users)


def _servers_of(container: Container, mounted: Mounted) -> Iterator[HttpServer]:
    yield from _toolkit(container, mounted)
    name = container.resource.object_name
    for file in mounted.files:
        kind, content = parse(file.name, file.text)
        if kind in (Format.COLLECTOR, Format.JAEGER):
            yield from _collector(name, Node(content), mounted)
        elif kind is Format.JMX_EXPORTER:
            yield from _jmx(container, file.path, content)
        elif isinstance(content, Mapping) and isinstance(content.get("listen"), str):
            yield from _service(container, file.path, content, mounted)
        elif file.name.endswith(".ini"):
            yield from _grafana(name, file.text, mounted)


def _toolkit(container: Container, mounted: Mounted) -> Iterator[HttpServer]:
    """Prometheus and everything that reads a web configuration of the exporter toolkit."""
    for programs, address, default, flag in _WEB:
        path = container.flag(flag)
        file = mounted.at(path.text) if path and container.runs(*programs) else None
        if file is None:
            continue
        given = container.flag(address)
        users = parse(file.name, file.text)[1].get("basic_auth_users") or {}
        yield HttpServer(
            workload=container.resource.object_name,
            port=port_of(given.text) if given else default,
            path="/",
            users=tuple(HttpUser(name=name, verifier=hashed) for name, hashed in sorted(users.items())),
        )


def _collector(workload: str, config: Node, mounted: Mounted) -> Iterator[HttpServer]:
    """Servers of a collector: every part with an address that names who checks its clients."""
    running = {*config.at("service.extensions").texts()}
    for node in config.walk():
        authenticator = node["auth"]["authenticator"].text() if isinstance(node.raw, Mapping) else ""
        if authenticator not in running or not node["endpoint"].text():
            continue
        extension = config["extensions"][authenticator]["htpasswd"]
        file = mounted.at(extension["file"].text() or extension.text())
        yield HttpServer(
            workload=workload,
            port=port_of(node["endpoint"].text()),
            path=METRICS if node.path.startswith("exporters.") else "/",
            users=tuple(htpasswd_users(file.text)) if file else (),
            grpc=node.path.endswith("grpc"),
        )


def htpasswd_users(text: str) -> Iterator[HttpUser]:
    """Users of an htpasswd file."""
    for line in text.splitlines():
        name, _, hashed = line.partition(":")
        yield HttpUser(name=name, verifier=hashed)


def _jmx(container: Container, path: str, content: Mapping[str, Any]) -> Iterator[HttpServer]:
    basic = content["httpServer"]["authentication"]["basic"]
    agents = [word.text for word in container.words if word.text.endswith(f":{path}")]
    for agent in agents:
        yield HttpServer(
            workload=container.resource.object_name,
            port=port_of(agent.removesuffix(f":{path}").replace("=", ":")),
            path=METRICS,
            users=(HttpUser(name=basic["username"], verifier=f"sha256:{basic['salt']}:{basic['passwordHash']}"),),
        )


def _service(container: Container, path: str, content: Mapping[str, Any], mounted: Mounted) -> Iterator[HttpServer]:
    """Our own programs: a login without an address is one that the program asks for."""
    if not any(path in word.text for word in container.words):
        return
    for part, login in content.items():
        if isinstance(login, Mapping) and login.keys() == _LOGIN_KEYS:
            file = mounted.at(str(login["password_file"]))
            method, opened = _PARTS.get(part, ("GET", "/"))
            yield HttpServer(
                workload=container.resource.object_name,
                port=port_of(str(content["listen"])),
                path=opened,
                users=(HttpUser(name=login["user"], verifier=f"plain:{file.text.strip()}"),) if file else (),
                method=method,
            )


def _grafana(workload: str, text: str, mounted: Mounted) -> Iterator[HttpServer]:
    """Metrics of Grafana; people sign in elsewhere."""
    settings = ini(text)
    metrics = settings.get("metrics", {})
    if name := metrics.get("basic_auth_username"):
        file = mounted.at(metrics["basic_auth_password"].removeprefix("$__file{").removesuffix("}"))
        yield HttpServer(
            workload=workload,
            port=int(settings.get("server", {}).get("http_port", "3000")),
            path=METRICS,
            users=(HttpUser(name=name, verifier=f"plain:{file.text.strip()}"),) if file else (),
        )


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
        database=tuple(database_roles(resources)),
        search=tuple(search_users(resources)),
        http=tuple(sorted(http_servers(resources), key=lambda server: server.label)),
        edges=tuple(sorted(set(edges(resources)))),
        outgoing=tuple(sorted(set(outgoing(resources)))),
        storage=tuple(storage_access(resources)),
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
