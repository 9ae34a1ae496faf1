"""What the stack has is backed up, followed, measured, queried and probed: each part of it, by what proves it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed
from policy.rules._kafka import TOPIC, services
from policy.rules._kubernetes import of_kind, served
from policy.rules._servers import Container, all_containers
from policy.rules._values import Unknowns, finding
from policy.rules.backups import ARCHIVE, BACKUP_EXPORTER, JOB, Program, programs
from policy.rules.inside import service_of
from policy.rules.probes import probing
from policy.rules.rights import family

_TELEMETRY: Final = "telemetry-*"
"""Topics whose readers may not fall behind."""
_STORES: Final = frozenset({"sidecar", "store", "rule"})
"""Parts of Thanos that answer questions of the query layer."""
_PLACE: Final = ("bucket", "endpoint", "prefix", "region")
_NUMBERED: Final = ("", "0")
"""Shard of the Prometheus that does what is done once."""


def _known(resources: Sequence[Resource], unknown: Unknowns, *formats: Format) -> list[Document]:
    return [document for one in resources for document in unknown.known(documents(one, *formats))]


def _queried(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    files = [
        document
        for document in _known(resources, unknown, Format.THANOS_CLIENT)
        if any(endpoint["address"].text() for endpoint in document.node["endpoints"].elements())
    ]
    services_there = {(one.object_name, one.namespace): one for one in of_kind(resources, "Service")}
    for document in files:
        queried: set[str] = set()
        for endpoint in document.node["endpoints"].elements():
            service = services_there.get(service_of(endpoint["address"].text().partition("+")[2]) or ("", ""))
            queried |= {workload.object_name for workload in served(service, resources)} if service else set()
        for workload in resources:
            if workload.object_name not in queried and any(map(_answers, all_containers(workload))):
                where, problem = document.node["endpoints"], f"nobody is shown what {workload.object_name} holds"
                yield finding(document.resource, where, problem, f"add an endpoint for {workload.object_name}")
    unknown.tell()


def _answers(container: Container) -> bool:
    return container.runs("thanos") and any(word.text in _STORES for word in container.words[:2])


def _probed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    if not _known(resources, unknown, Format.PROBER):
        unknown.tell()
        return
    there = {(one.object_name, one.namespace) for one in of_kind(resources, "Service")}
    wanted: Mapping[str, Mapping[int, str]] = agreed()["probed"]
    for document in _known(resources, unknown, Format.PROMETHEUS):
        if document.node["global"]["external_labels"]["prometheus_shard"].text() not in _NUMBERED:
            continue
        probed = _looked(document.node)
        for name, namespace in sorted(there):
            for port, module in wanted.get(family(name), {}).items():
                if (name, namespace, port, module) not in probed:
                    problem = f"nobody looks at {name}:{port} as a stranger would"
                    fix = f"add it to the probed targets with the module {module}"
                    yield finding(document.resource, document.node["scrape_configs"], problem, fix)
    unknown.tell()


def _looked(node: Node) -> set[tuple[str, str, int, str]]:
    """Name and namespace of a Service, port and module of each probed address."""
    probed = set()
    for job in node["scrape_configs"].elements():
        for group in job["static_configs"].elements() if probing(job) else ():
            for target in group["targets"].texts():
                service = service_of(target)
                if service:
                    probed.add((*service, urlsplit(target).port or 443, group["labels"]["__param_module"].text()))
    return probed


def _followed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    wanted: Mapping[str, str] = agreed()["followed"]
    for document in _known(resources, unknown, Format.OTHER):
        if not isinstance(document.node.value, Mapping) or "followed" not in document.node.value:
            continue
        listed = document.node["followed"]
        followed = {tuple(one[key].text() for key in ("workload", "container", "source")) for one in listed.elements()}
        for container in (container for workload in resources for container in all_containers(workload)):
            workload, name = container.resource.object_name, container.node["name"].text()
            for pattern, source in wanted.items():
                fits = fnmatchcase(f"{workload}/{name}/{container.image}", pattern)
                if fits and (workload, name, source) not in followed:
                    problem = f"who logged in at {workload} is not in the audit log"
                    yield finding(document.resource, listed, problem, f"follow its container {name}")
        namespace = document.node.at("kubernetes.namespace")
        if document.resource.namespace and namespace.text() != document.resource.namespace:
            problem = f"it follows pods of {namespace.text() or 'no namespace'}, which is not the platform's"
            yield finding(document.resource, namespace, problem, f"set it to {document.resource.namespace}")
    unknown.tell()


def _measured(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    topics = {one.object_name for one in resources if one.type == TOPIC}
    groups = set(_groups(resources, unknown))
    for document in _known(resources, unknown, Format.OTHER):
        content = document.node.value
        if not isinstance(content, Mapping) or not {"bootstrap", "groups", "topics"} <= content.keys():
            continue
        for key, there in (("groups", groups), ("topics", topics)):
            for name in sorted(there - {*document.node[key].texts()}):
                problem = f"nobody sees how far behind readers are: {name} is none of the {key}"
                yield finding(document.resource, document.node[key], problem, f"add {name}")
    unknown.tell()


def _groups(resources: Sequence[Resource], unknown: Unknowns) -> Iterator[str]:
    """Groups that read telemetry."""
    for document in _known(resources, unknown, Format.COLLECTOR, Format.JAEGER):
        for _, receiver in document.node["receivers"].items():
            if receiver["group_id"].text():
                yield receiver["group_id"].text()
    for resource in resources:
        for service in unknown.known(services(resource)):
            topics = [name for _, name in service.topics]
            if service.node["group"].text() and any(fnmatchcase(name, _TELEMETRY) for name in topics):
                yield service.node["group"].text()


def _backed_up(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    parsed, first_unknown = programs(resources, JOB, BACKUP_EXPORTER)
    families = {
        pattern
        for document in _known(resources, unknown, Format.OTHER)
        if isinstance(document.node.value, Mapping) and "families" in document.node.value
        for family in document.node["families"].elements()
        for pattern in family["template"]["index_patterns"].texts()
    }
    labels = [
        {key: node.text() for key, node in document.node["global"]["external_labels"].items()}
        for document in _known(resources, unknown, Format.PROMETHEUS)
    ]
    for program in parsed:
        if program.kind == "database" and not any(program.section["databases"].elements()):
            yield _less(program, program.section["databases"], "no database")
        if program.kind == "search":
            indices = program.section["indices"]
            for pattern in sorted(families - {*indices.texts()}):
                yield _less(program, indices, f"nothing of {pattern}")
        servers = program.settings["blocks"]["servers"]
        if program.module == BACKUP_EXPORTER and program.settings["blocks"].exists:
            watched = [{key: node.text() for key, node in server.items()} for _, server in servers.items()]
            for one in labels:
                if one not in watched:
                    problem = f"nobody is notified when the blocks of {' '.join(one.values())} are shipped no more"
                    yield finding(program.held, servers, problem, "add its external labels")
    unknown.tell()
    if first_unknown:
        raise first_unknown


def _less(program: Program, where: Node, what: str) -> Finding:
    return finding(program.held, where, f"the backup has {what}", "name everything that the stack keeps there")


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


RULES: tuple[Rule, ...] = (
    Rule(
        id="stores-all-queried",
        promise="The query layer asks every Prometheus, store and ruler of the stack.",
        why="Dashboards and reports lack what is not queried, and nothing about the answer says so.",
        sources=("P1", "P4"),
        stack=_queried,
    ),
    Rule(
        id="endpoints-all-probed",
        promise="Every endpoint that people and programs use is probed by both Prometheus, as agreed on.",
        why="An endpoint that lets strangers in, or answers nobody, is noticed by nobody else.",
        sources=("K5", "P3"),
        stack=_probed,
    ),
    Rule(
        id="audit-follows-logins",
        promise="The audit log follows everything in the stack that lets people and programs in.",
        why="Who saw confidential traces, or was refused at Kafka, is told nowhere else.",
        sources=("M1", "J3"),
        stack=_followed,
    ),
    Rule(
        id="lag-all-measured",
        promise="The lag of every topic and of every group that reads telemetry is measured.",
        why="Who falls behind unseen loses what the topic no longer keeps.",
        sources=("K1", "P3"),
        stack=_measured,
    ),
    Rule(
        id="backups-complete",
        promise="Backups hold a database and every index of the search cluster; each Prometheus' blocks are watched.",
        why="What is left out of a backup is missed on the day it is needed.",
        sources=("D1",),
        stack=_backed_up,
    ),
    Rule(
        id="backups-same",
        promise="Every backup is encrypted for the same people and lies at the same place, where it is watched.",
        why="One more key in one job opens that backup to somebody whom nobody named; one less is missed in an outage.",
        sources=("D1", "P2"),
        stack=_same,
    ),
)
"""Rules of this concern."""
