"""Rights as they were agreed on (``policy/rights.yaml``): nobody may do more, and nothing is masked or kept less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policy.documents import documents, files
from policy.model import UNKNOWN, Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed_rights
from policy.rules._kafka import ACL
from policy.rules._kubernetes import of_kind, served
from policy.rules._rights import ANY, CATALOGUE, MASKED, MEMORY, family, rights
from policy.rules._servers import WORKLOADS
from policy.rules._values import finding, size, written

_FILES: Final = frozenset({"ConfigMap", "Secret"})
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
        kinds=_FILES,
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
        kinds=_FILES,
        resource=_catalogue,
    ),
)
"""Rules of this concern."""
