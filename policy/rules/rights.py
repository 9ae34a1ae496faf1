"""Who may do what, and that nobody may do more than was agreed on (``policy/rights.yaml``).

Each right is one text: over the network, in Kafka, at the API server, in the search cluster. Nothing is masked or kept
less, either.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from policy.documents import Format, documents, files
from policy.model import UNKNOWN, Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed_rights
from policy.rules._dataplane import ACL
from policy.rules._kubernetes import WORKLOADS, of_kind, pod_of, served
from policy.rules._servers import all_containers
from policy.rules._values import FILES, finding, size, written

MEMORY: Final = "memory"
"""Kind of right that is a limit: the highest one is agreed on."""
NETWORKS: Final = "networks"
"""Peers that are addresses: which ones is up to a stack file."""
_DNS: Final = "53"
_WORKLOAD: Final = "app.kubernetes.io/name"
_OURS: Final = frozenset({_WORKLOAD, "app.kubernetes.io/part-of"})
_COUNTED: Final = re.compile(r"-g?\d+$")
_REPLICA: Final = re.compile(
    r"\b(prometheus|metrics-consumer|thanos-rule)-([a-z][a-z0-9-]*?)(?=-(?:shard|headless)\b|[ =/]|$)"
)
"""Replicas have the names that a stack file gives them."""
_MIRRORS: Final = frozenset({"mirror", "mirror-maker"})
"""Their topics and groups carry the names of the regions, and have rules of their own."""
_ROLES: Final = frozenset({"Role", "ClusterRole"})
_BINDINGS: Final = frozenset({"RoleBinding", "ClusterRoleBinding"})
CATALOGUE: Final = frozenset({"attributes", "layers"})
"""Keys by which the gate's file is known."""
MASKED: Final = frozenset({"id", "text"})
"""Types of attributes whose values are hashed, or searched for personal data."""
ANY: Final = "*"
"""Stands for what differs between stacks."""
_RUN: Final = (".py", ".sh", ".sql", ".tmpl")
_DIGEST: Final = 16
_INDEX: Final = ("names", "privileges", "index_patterns", "allowed_actions")


@dataclass(frozen=True)
class Right:
    """One right.

    Attributes:
        kind: Section of ``policy/rights.yaml``.
        who: Who has it.
        text: What it is.
        resource: What gives it.
        node: Where.
    """

    kind: str
    who: str
    text: str
    resource: Resource
    node: Node


def rights(resource: Resource) -> Iterator[Right]:
    """Every right that a resource gives, with no replica by its name: its own one, or another one."""
    for right in _rights(resource):
        own = _REPLICA.search(right.who)
        text = _REPLICA.sub(functools.partial(_which, own[2] if own else ""), right.text)
        yield replace(right, who=family(right.who), text=text)


def _which(own: str, match: re.Match[str]) -> str:
    return f"{match[1]}-{'own' if match[2] == own else 'replica'}"


def family(name: str) -> str:
    """The name of a workload without those of its replica and its shard, or of a user without its generation."""
    return _REPLICA.sub(r"\1-replica", counted(name))


def _rights(resource: Resource) -> Iterator[Right]:
    if resource.type == ACL:
        yield from _acl(resource)
    elif resource.kind == "NetworkPolicy" and resource.kubernetes:
        yield from _connections(resource)
    elif resource.kind in _ROLES and resource.kubernetes:
        yield from _verbs(resource)
    elif resource.kind in _BINDINGS and resource.kubernetes:
        for subject in resource.node["subjects"].elements():
            yield Right("bindings", role_name(resource, "roleRef.name"), subject["name"].text(), resource, subject)
    elif pod_of(resource) is not None:
        workload = family(resource.object_name).removesuffix("-shard")
        for container in all_containers(resource):
            limit = container.node["resources"]["limits"]["memory"]
            yield Right(MEMORY, f"{workload}/{container.node['name'].text()}", limit.text(), resource, limit)
    elif resource.kind in ("ConfigMap", "Secret"):
        for document in documents(resource):
            if document.format is Format.ALERTMANAGER:
                yield from _silenced(resource, document.node)
            yield from _of_file(resource, document.name, document.node)
        yield from _scripts(resource)


def _scripts(resource: Resource) -> Iterator[Right]:
    """What servers run from a ConfigMap, by its digest."""
    for name, text in files(resource):
        if name.endswith(_RUN):
            digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
            yield Right(
                "scripts", f"{counted(resource.object_name)}/{name}", f"run {digest}", resource, Node(name, name)
            )


def _silenced(resource: Resource, node: Node) -> Iterator[Right]:
    """What keeps which alert from people."""
    for rule in node["inhibit_rules"].elements():
        equal = ", ".join(rule["equal"].texts()) or "anything"
        sources = {name for matcher in rule["source_matchers"].texts() for name in _named(matcher)}
        for matcher in rule["target_matchers"].elements():
            for name in _named(matcher.text()):
                for source in sources:
                    yield Right("inhibitions", name, f"be silenced by {source} of the same {equal}", resource, rule)


def _named(matcher: str) -> list[str]:
    return matcher.partition("=")[2].lstrip("~").strip('"').split("|")


def counted(name: str) -> str:
    """A name without the number of its shard or the generation of its login."""
    return _COUNTED.sub("", name)


def _acl(resource: Resource) -> Iterator[Right]:
    node = resource.node
    who = counted(node["aclPrincipal"].text().removeprefix("User:"))
    if who in _MIRRORS or node["aclPermissionType"].text() == "Deny":
        return
    parts = (node["aclOperation"], node["aclResourceType"], node["aclResourceName"])
    yield Right("kafka", who, " ".join(counted(part.text()) for part in parts), resource, parts[2])


def _connections(resource: Resource) -> Iterator[Right]:
    spec = resource.node["spec"]
    who = _peer(spec["podSelector"])
    for direction, key in (("ingress", "from"), ("egress", "to")):
        for rule in spec[direction].elements():
            ports = [written(port["port"].value) for port in rule["ports"].elements()] or ["any"]
            for peer in rule[key].elements():
                for port in ports:
                    if direction == "egress" and port == _DNS:
                        continue
                    foreign = peer["ipBlock"].exists
                    # Ports of foreign servers are up to a stack file, as their addresses are.
                    where = NETWORKS if foreign else f"{_of_peer(peer)} {port}"
                    text = f"{key} {where} {port}" if foreign and direction == "ingress" else f"{key} {where}"
                    yield Right("networks", who, text, resource, peer)


def _of_peer(peer: Node) -> str:
    if not peer["namespaceSelector"].exists:
        return _peer(peer["podSelector"])
    pods = f" {_peer(peer['podSelector'])}" if peer["podSelector"].exists else ""
    return f"namespaces {_peer(peer['namespaceSelector'])}{pods}"


def _peer(selector: Node) -> str:
    """A workload by its name, anything else by its labels."""
    wanted = {key: node.text() for key, node in selector["matchLabels"].items()}
    expressions = [str(node.value) for node in selector["matchExpressions"].elements()]
    if wanted.keys() == _OURS and not expressions:
        return counted(wanted[_WORKLOAD])
    return ",".join([*(f"{counted(key)}={value}" for key, value in sorted(wanted.items())), *expressions]) or "all"


def _verbs(resource: Resource) -> Iterator[Right]:
    for rule in resource.node["rules"].elements():
        for verb in rule["verbs"].texts():
            for what in (*rule["resources"].texts(), *rule["nonResourceURLs"].texts()):
                for group in rule["apiGroups"].texts() or [""]:
                    full = f"{what}.{group}" if group else what
                    yield Right("roles", role_name(resource, "metadata.name"), f"{verb} {full}", resource, rule)


def role_name(resource: Resource, path: str) -> str:
    """The name of a role at a path; those of the whole cluster start with the namespace."""
    name = resource.node.at(path).text()
    spaces = {subject["namespace"].text() for subject in resource.node["subjects"].elements()}
    part = resource.node["metadata"]["labels"][_WORKLOAD].text()
    if part and name.endswith(f"-{part}"):
        return f"{part} everywhere"
    return next(
        (f"{name.removeprefix(f'{space}-')} everywhere" for space in spaces if space and name.startswith(f"{space}-")),
        name,
    )


def _of_file(resource: Resource, name: str, node: Node) -> Iterator[Right]:
    content = node.value
    if not isinstance(content, Mapping):
        return
    if content.keys() >= CATALOGUE:
        yield from _of_catalogue(resource, node)
    elif name == "roles.yml":
        for role, entry in node.items():
            yield from _search(resource, role, entry)
    elif name == "roles_mapping.yml":
        for role, entry in node.items():
            for user in entry["users"].elements():
                yield Right("search", role, f"user {user.text()}", resource, user)


def _search(resource: Resource, role: str, entry: Node) -> Iterator[Right]:
    if role == "_meta":
        return
    for key in ("cluster", "cluster_permissions"):
        for right in entry[key].elements():
            yield Right("search", role, f"cluster {right.text()}", resource, right)
    for key in ("indices", "index_permissions"):
        for index in entry[key].elements():
            for field in _INDEX:
                for right in index[field].elements():
                    yield Right("search", role, f"{_word(field)} {right.text()}", resource, right)
            for extra in sorted(set(_keys(index)) - {*_INDEX}):
                yield Right("search", role, f"{extra} {index[extra].text()}", resource, index[extra])
    for extra in sorted(set(_keys(entry)) - _KNOWN):
        yield Right("search", role, f"{extra} {entry[extra].text()}", resource, entry[extra])


_KNOWN: Final = frozenset({"cluster", "cluster_permissions", "indices", "index_permissions", "reserved"})


def _word(field: str) -> str:
    return "index" if field in ("names", "index_patterns") else "action"


def _keys(node: Node) -> Iterator[str]:
    return (key for key, _ in node.items())


def _of_catalogue(resource: Resource, node: Node) -> Iterator[Right]:
    for client, layers in node["clients"].items():
        for layer in layers.elements():
            yield Right("clients", client, layer.text(), resource, layer)


def masked(content: Mapping[str, Any]) -> dict[str, str]:
    """Attributes of the gate's file whose values are not taken as they are, with their types."""
    return {name: entry["type"] for name, entry in content["attributes"].items() if entry["type"] in MASKED}


_FIX: Final = "leave it as it was, or have it agreed on: python -m tests.support.agreed_rights, and commit"
_FOLDER: Final = "grafana:oss/folder:Folder"
_FOLDER_PERMISSION: Final = "grafana:oss/folderPermission:FolderPermission"
_OUTSIDE: Final = frozenset({"LoadBalancer", "NodePort"})
_USERS: Final = {"clients.htpasswd": "clients", "users": "search"}
"""File of passwords -> section of the table in which its users are."""
_PERMISSIONS: Final = frozenset({"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"})


def _more(resource: Resource, options: Options) -> Iterator[Finding]:
    for right in rights(resource):
        agreed = agreed_rights()[right.kind].get(right.who, ())
        if not {right.text, ANY} & {*agreed}:
            problem = f"{right.who} may {right.text}, which was not agreed on ({right.kind})"
            yield finding(resource, right.node, problem, _FIX)


def _memory(resource: Resource, options: Options) -> Iterator[Finding]:
    for right in rights(resource):
        agreed = agreed_rights()[MEMORY].get(right.who, ["0"])
        if (size(right.text) or 0) > max(size(most) or 0 for most in agreed):
            problem = f"{right.who} may take {right.text} of memory, and {', '.join(agreed)} at the most was agreed on"
            yield finding(resource, right.node, problem, _FIX)


def _kafka(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type == ACL:
        yield from _more(resource, options)


def _search_users(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        if name != "users_roles":
            continue
        for line in text.splitlines():
            role, _, users = line.partition(":")
            others = sorted({user.strip() for user in users.split(",")} - {role.strip(), ""})
            if line.strip() and (others or role.strip() not in agreed_rights()["search"]):
                problem = f"{', '.join(others) or role} has the role {role}, which is not its own"
                yield finding(resource, f"{name}: {line}", problem, "give every user the role of its name alone")


def _known_users(resource: Resource) -> Iterator[Finding]:
    """Users of password files, who each have rights that were agreed on."""
    for name, text in files(resource):
        kind = _USERS.get(name, "")
        for line in filter(None, map(str.strip, text.splitlines())) if kind else ():
            user = line.partition(":")[0]
            if not line.startswith("#") and family(user) not in agreed_rights()[kind]:
                yield finding(resource, f"{name}: {user}", f"{user} may log in, which was not agreed on ({kind})", _FIX)


def _files_rights(resource: Resource, options: Options) -> Iterator[Finding]:
    yield from _more(resource, options)
    yield from _search_users(resource, options)
    yield from _known_users(resource)


def _outside(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    for service in of_kind(resources, "Service"):
        kind = service.node.at("spec.type")
        for workload in served(service, resources) if kind.text() in _OUTSIDE else ():
            agreed = agreed_rights()["networks"].get(family(workload.object_name), ())
            for port in service.node.at("spec.ports").elements():
                number = port["targetPort"] if port["targetPort"].exists else port["port"]
                if f"from networks {written(number.value)}" not in agreed:
                    problem = f"{workload.object_name} is reached from outside, which was not agreed on (networks)"
                    yield finding(service, number, problem, "make it a ClusterIP")


def _folders(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    bound = [one.node["folderUid"].raw for one in resources if one.type == _FOLDER_PERMISSION]
    for resource in resources:
        uid = resource.node["uid"]
        if resource.type == _FOLDER and UNKNOWN not in (*bound, uid.raw) and uid.text() not in bound:
            problem = "everybody who logs in sees and changes its dashboards: it has no permissions"
            yield finding(resource, uid, problem, "give it a FolderPermission")


def _catalogue(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource):
        content = document.node.value
        if isinstance(content, Mapping) and content.keys() >= CATALOGUE:
            yield from _masked(resource, document.node, agreed_rights()["catalogue"])


def _masked(resource: Resource, node: Node, agreed: Mapping[str, Any]) -> Iterator[Finding]:
    for name, attribute in node["attributes"].items():
        wanted, kind = agreed["masked"].get(name), attribute["type"]
        if wanted is not None and kind.text() != wanted and kind.text() not in _AS_STRICT[wanted]:
            problem = f"values of {name} are taken as {kind.text()}, and were agreed on as {wanted}: unmasked"
            yield finding(resource, kind, problem, _FIX)
    for section, names in agreed["reserved"].items():
        gone = sorted(set(names) - set(node["reserved"][section].texts()))
        if gone:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            problem = f"clients may send {section} of the platform's own: {gone[0]}{more} is not reserved"
            yield finding(resource, node["reserved"][section], problem, _FIX)


_AS_STRICT: Final[Mapping[str, frozenset[str]]] = {
    "id": frozenset({"number", "enum"}),
    "text": frozenset({*MASKED, "number", "enum"}),
}
"""Types that let through less than an agreed one does."""


RULES: tuple[Rule, ...] = (
    Rule(
        id="network-agreed",
        promise="No workload takes or opens more connections than agreed.",
        why="A policy that names its peers can still open the database to whoever collects telemetry.",
        sources=("K5", "M4"),
        kinds=frozenset({"NetworkPolicy"}),
        resource=_more,
    ),
    Rule(
        id="memory-agreed",
        promise="No container may take more memory than agreed.",
        why="What has no limit that fits it takes its node's memory, until Kubernetes ends whatever else runs there.",
        sources=("M4",),
        kinds=WORKLOADS,
        resource=_memory,
    ),
    Rule(
        id="kafka-rights-agreed",
        promise="No user of Kafka may do more than agreed.",
        why="Who may also write the audit log can forge it; who may also read telemetry reads what it never needed.",
        sources=("K5",),
        kinds=frozenset({"Acl"}),
        resource=_kafka,
    ),
    Rule(
        id="permissions-agreed",
        promise="No account may do more at the API server than agreed, and no other account has its role.",
        why="Who may delete network policies or change workloads has everything that these protect.",
        sources=("M4",),
        kinds=_PERMISSIONS,
        resource=_more,
    ),
    Rule(
        id="file-rights-agreed",
        promise="No user of the search cluster, client, alert that silences or script may do more than agreed.",
        why="Dashboards that may read confidential traces show them; a line in the database's script undoes logins.",
        sources=("J3", "O2"),
        kinds=FILES,
        resource=_files_rights,
    ),
    Rule(
        id="service-outside-agreed",
        promise="Only servers that were agreed on are reached from outside the cluster.",
        why="A load balancer before a server that only the platform talks to is one more way in.",
        sources=("K5", "M4"),
        stack=_outside,
    ),
    Rule(
        id="folder-rights-there",
        promise="Every folder of dashboards has permissions.",
        why="Without them Grafana shows a folder to everybody, and lets every editor change it.",
        sources=("G5",),
        stack=_folders,
    ),
    Rule(
        id="catalogue-agreed",
        promise="What the gate masks stays masked, and the platform's own names stay reserved.",
        why="A type that lets values through puts ids and names of people into Kafka, every store and every backup.",
        sources=("O1", "S2"),
        kinds=FILES,
        resource=_catalogue,
    ),
)
"""Rules of this concern."""
