"""Nothing that was agreed on is left out (``policy/edges.yaml``, ``kept``): flags, elements of lists, targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.documents import documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed_edges
from policy.rules._backups import ARCHIVE, BACKUP_EXPORTER, JOB, programs
from policy.rules._kafka import servers, words
from policy.rules._kept import holdings
from policy.rules._servers import WORKLOADS, all_containers
from policy.rules._values import Unknowns, finding

_FILES: Final = frozenset({"ConfigMap"})
_FIX: Final = "put it back, or have it agreed on: python -m tests.policy.agreed_edges, and commit"
_PROXY: Final = "oauth2-proxy"
_PLACE: Final = ("bucket", "endpoint", "prefix", "region")
_BOTH: Final = frozenset({"broker", "controller"})


def _missing(resource: Resource, options: Options) -> Iterator[Finding]:
    kept: Mapping[str, Sequence[str]] = agreed_edges()["kept"]
    for holding in holdings(resource):
        gone = [text for text in kept.get(holding.who, ()) if text not in holding.texts]
        if gone:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            yield finding(resource, holding.node, f"{gone[0]}{more} is no longer there", _FIX)


def _same(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    parsed, unknown = programs(resources, JOB, ARCHIVE, BACKUP_EXPORTER)
    ordered = sorted(parsed, key=lambda program: program.held.object_name)
    writers = [program for program in ordered if program.module != BACKUP_EXPORTER]
    for program in writers[1:]:
        node, first = program.settings["recipients"], writers[0]
        if {*node.texts()} != {*first.settings["recipients"].texts()}:
            problem = f"other people can open this backup than that of {first.held.object_name}"
            yield finding(program.held, node, problem, "give every backup the recipients of backupRecipients")
    for program in ordered[1:]:
        for key in _PLACE:
            node, first_place = program.settings["storage"][key], ordered[0].settings["storage"][key]
            if node.text() != first_place.text():
                problem = f"backups lie at two places: {key} is {node.text()} here and {first_place.text()} elsewhere"
                yield finding(program.held, node, problem, "give every backup the object storage of the settings")
    if unknown:
        raise unknown


def _followed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    logs = [(resource, node) for resource in resources for node in _lists(resource, unknown)]
    for resource, node in logs:
        followed = {(one["workload"].text(), one["container"].text()) for one in node.elements()}
        for workload in resources:
            names = [container.node["name"].text() for container in all_containers(workload)]
            if _PROXY in names and (workload.object_name, _PROXY) not in followed:
                problem = f"who logged in at {workload.object_name} is not in the audit log"
                yield finding(resource, node, problem, f"follow its container {_PROXY}")
    unknown.tell()


def _lists(resource: Resource, unknown: Unknowns) -> Iterator[Node]:
    """What audit logs follow."""
    if resource.kind in _FILES:
        for document in unknown.known(documents(resource)):
            if isinstance(document.node.value, Mapping) and "followed" in document.node.value:
                yield document.node["followed"]


def _roles(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    nodes = [(resource, server) for resource in resources for server in unknown.known(servers(resource))]
    roles = [frozenset(words(server["process.roles"])) for _, server in nodes]
    if frozenset({"controller"}) in roles:
        for (resource, server), played in zip(nodes, roles, strict=True):
            if played >= _BOTH:
                problem = "a broker under load also votes, although the stack has controllers of its own"
                yield finding(resource, server["process.roles"], problem, "set it to broker or to controller")
    unknown.tell()


RULES: tuple[Rule, ...] = (
    Rule(
        id="flags-kept",
        promise="Containers are started with every flag and variable that was agreed on.",
        why="A server without one of its protections starts as well, and no rule about values sees what is absent.",
        sources=("K5", "P2"),
        kinds=WORKLOADS,
        resource=_missing,
    ),
    Rule(
        id="settings-kept",
        promise="Files have every setting, topic, index, user group, endpoint, job and target that was agreed on.",
        why="What is backed up, counted, probed or followed no longer is missed by nobody until it is needed.",
        sources=("D1", "M1", "P3"),
        kinds=_FILES,
        resource=_missing,
    ),
    Rule(
        id="backups-same",
        promise="Every backup is encrypted for the same people and lies at the same place, where it is watched.",
        why="One more key in one job opens that backup to somebody whom nobody named; one less is missed in an outage.",
        sources=("D1", "P2"),
        stack=_same,
    ),
    Rule(
        id="audit-follows-logins",
        promise="The audit log follows every page that people log in to.",
        why="Who saw confidential traces is told nowhere else.",
        sources=("M1", "J3"),
        stack=_followed,
    ),
    Rule(
        id="kafka-roles-apart",
        promise="Where Kafka has controllers of its own, no broker is one as well.",
        why="Brokers that vote change who has the majority, and lose elections under the load of telemetry.",
        sources=("K1",),
        stack=_roles,
    ),
)
"""Rules of this concern."""
