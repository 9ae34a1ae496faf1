"""Backups that are there: of everything that keeps data, encrypted for operators only, watched, and kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.documents import Document, Format, files
from policy.model import Finding, Level, Node, Option, Options, Resource, Rule
from policy.rules._kubernetes import WORKLOADS
from policy.rules._servers import Container, all_containers, containers, known_documents
from policy.rules._values import FILES, finding, number, shown
from policy.rules.backups import ARCHIVE, BACKUP_EXPORTER, JOB, Program, programs, shippers, store_flag

_DUMPS = frozenset({"pg_dump", "pg_dumpall", "pg_basebackup", "wal-g", "pgbackrest"})
_ENGINES = ("opensearch", "elasticsearch")
_RECIPIENT = re.compile(r"age1[02-9ac-hj-np-z]{58}")
_IDENTITY = re.compile(r"AGE-SECRET-KEY-", re.IGNORECASE)
_METRICS, _TOPICS, _DATABASE, _SEARCH = "metrics", "topics", "PostgreSQL", "search cluster"
_GRAFANA, _KAFKA = "Grafana definitions", "Kafka metadata"
_HOW: Mapping[str, str] = {
    _METRICS: "give every Thanos sidecar an object store",
    _TOPICS: "run services.kafka_archive, or a collector with the awss3 exporter, that reads every topic",
    _DATABASE: "add a CronJob with services.backup database, pg_dump or pg_basebackup",
    _SEARCH: "add a CronJob with services.backup search, or one that takes snapshots",
    _GRAFANA: "add a CronJob with services.backup grafana",
    _KAFKA: "add a CronJob with services.backup kafka-metadata",
}
"""What keeps data -> how it is backed up."""


def _exists(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    running_containers = [container for resource in resources for container in containers(resource)]
    own, unknown = programs(resources)
    scheduled_kinds = _scheduled(own)
    needs: Mapping[str, bool] = {
        _METRICS: any(container.runs("prometheus") for container in running_containers),
        _TOPICS: bool(_topics(resources)),
        _DATABASE: any(container.runs("postgres") for container in running_containers),
        # Of what only our own jobs can back up.
        _GRAFANA: bool(scheduled_kinds) and any(container.runs("grafana") for container in running_containers),
        _KAFKA: bool(scheduled_kinds) and bool(_topics(resources)),
    }
    has: Mapping[str, bool] = {
        _METRICS: any(store_flag(container) for container in shippers(resources)),
        _TOPICS: _archived(resources, own),
        _DATABASE: "database" in scheduled_kinds
        or any(set(container.programs) & _DUMPS for container in running_containers),
        _GRAFANA: "grafana" in scheduled_kinds,
        _KAFKA: "kafka-metadata" in scheduled_kinds,
    }
    missing = [name for name in needs if needs[name] and not has[name] and name not in options["elsewhere"]]
    if missing and unknown:
        raise unknown
    for name in missing:
        yield _of_stack(f"nothing in the stack backs up the {name}", _HOW[name])


def _search_exists(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    running_containers = [container for resource in resources for container in containers(resource)]
    # Ours start as `java`.
    if not options["needed"] or not any(
        container.runs(*_ENGINES) or container.image in _ENGINES for container in running_containers
    ):
        return
    own, unknown = programs(resources)
    snapshots = any(
        "snapshot" in word.text for c in running_containers if c.resource.kind == "CronJob" for word in c.words
    )
    if snapshots or "search" in _scheduled(own):
        return
    if unknown:
        raise unknown
    yield _of_stack(f"nothing in the stack backs up the {_SEARCH}", _HOW[_SEARCH])


def _of_stack(problem: str, fix: str) -> Finding:
    return Finding(resource=None, where="backups", problem=problem, fix=fix)


def _scheduled(own: Sequence[Program]) -> set[str]:
    """Kinds that a CronJob makes and whose section its settings have."""
    return {
        program.kind
        for program in own
        if program.module == JOB and program.container.resource.kind == "CronJob" and program.section.exists
    }


def _topics(resources: Sequence[Resource]) -> set[str]:
    return {
        resource.object_name
        for resource in resources
        if resource.type.startswith("kafka:") and resource.kind == "Topic"
    }


def _archived(resources: Sequence[Resource], own: Sequence[Program]) -> bool:
    read = {
        name for program in own if program.module == ARCHIVE for name in program.settings.at("kafka.topics").texts()
    }
    if read:
        return _topics(resources) <= read
    return any(_exported(document) for document in known_documents(resources, Format.COLLECTOR)[0])


def _exported(document: Document) -> bool:
    for _, pipeline in document.node["service"]["pipelines"].items():
        reads = any(name.startswith("kafka") for name in pipeline["receivers"].texts())
        if reads and any(name.startswith("awss3") for name in pipeline["exporters"].texts()):
            return True
    return False


def _each(resources: Sequence[Resource], *modules: str) -> Iterator[Program]:
    """Programs one by one; what is not known yet is raised after the known ones.

    Raises:
        UnknownValueError: The settings of one are not known yet.
    """
    found_programs, unknown = programs(resources, *modules)
    yield from found_programs
    if unknown:
        raise unknown


def _encrypted(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    for program in _each(resources, JOB, ARCHIVE):
        yield from _recipients(program)


def _recipients(program: Program) -> Iterator[Finding]:
    fix = "name public keys of operators (age1...)"
    recipients = program.settings["recipients"]
    if not recipients.texts():
        yield finding(program.held, recipients, f"nobody could open the backups: recipients {shown(recipients)}", fix)
    for node in recipients.elements():
        if not _RECIPIENT.fullmatch(node.text()):
            yield finding(program.held, node, "this is no public key of age", fix)
    endpoint = program.settings.at("storage.endpoint")
    if endpoint.exists and not endpoint.text().startswith("https://"):
        yield finding(
            program.held, endpoint, f"backups travel in clear text: endpoint {shown(endpoint)}", "use https://"
        )


def _identities(resource: Resource, options: Options) -> Iterator[Finding]:
    fix = "take it out of the cluster and out of the stack: operators keep it, and name its public key"
    told = "an identity of age lies here: whoever reads it opens every backup"
    if resource.kind in FILES:
        for name, text in files(resource):
            if _IDENTITY.search(text):
                yield finding(resource, f"{name}:", told, fix)
        return
    for container in all_containers(resource):
        yield from _written(container, told, fix)


def _written(container: Container, told: str, fix: str) -> Iterator[Finding]:
    places = [(word.text, word.where) for word in container.words]
    places += [(node["value"].text(), node["value"].path) for node in container.node["env"].elements()]
    for text, where in places:
        if _IDENTITY.search(text):
            yield finding(container.resource, where, told, fix)


def _watched(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    own, unknown = programs(resources)
    if unknown:
        raise unknown
    scheduled_kinds, exporters = _scheduled(own), [program for program in own if program.module == BACKUP_EXPORTER]
    if scheduled_kinds and not exporters:
        yield _of_stack("nobody watches whether backups are made", "run services.backup_exporter")
    shipped = any(store_flag(container) for container in shippers(resources))
    for exporter in exporters:
        ages, blocks = exporter.settings["most_age_s"], exporter.settings["blocks"]
        expected = {kind for kind, _ in ages.items()}
        for kind in sorted(scheduled_kinds - expected):
            yield finding(
                exporter.held, ages, f"nobody is notified when the {kind} backup is missing", f"set most_age_s.{kind}"
            )
        for kind in sorted(expected - scheduled_kinds):
            yield finding(
                exporter.held,
                ages[kind],
                f"no CronJob makes the {kind} backup, which is expected",
                f"add a CronJob with services.backup {kind}, or remove it here",
            )
        if shipped and not blocks.exists:
            yield finding(exporter.held, blocks, "nobody is notified when metrics are shipped no more", "set blocks")
        limits = [*ages.items(), *([("metrics", blocks["most_age_s"])] if blocks.exists else [])]
        for kind, age in limits:
            if not 0 < (number(age) or 0) <= options["most_age_s"]:
                yield finding(
                    exporter.held,
                    age,
                    f"nobody is notified of an old {kind} backup in time: its limit {shown(age)} seconds",
                    f"set it to {options['most_age_s']} or less",
                )


def _signed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    own, unknown = programs(resources)
    if unknown:
        raise unknown
    jobs = [program for program in own if program.module == JOB and program.kind in _scheduled([program])]
    for job in jobs:
        yield from _file(job, resources, job.settings["seal_key_file"], f"nobody signs the {job.kind} backup")
    for exporter in (program for program in own if program.module == BACKUP_EXPORTER):
        signing = exporter.settings["signing"]
        seals, key = signing["seal_key_files"], signing["key_file"]
        yield from _file(exporter, resources, key, "no backup is signed")
        for job in jobs:
            yield from _file(exporter, resources, seals[job.kind], f"nobody signs the {job.kind} backup")
            for name in ("platform", "region"):
                if signing[name].text() != job.settings[name].text():
                    problem = f"{job.kind} backups are of another {name} than those that are signed: {name}"
                    yield finding(exporter.held, signing[name], f"{problem} {shown(signing[name])}", f"name the {name}")
        yield from _elsewhere(exporter, resources, key)


def _file(program: Program, resources: Sequence[Resource], node: Node, problem: str) -> Iterator[Finding]:
    """A key that a program lacks: without the key a restore refuses what the program made, or should have signed."""
    mounted = program.container.mounted(resources)
    if mounted.at(node.text()) is None:
        mounted.missing()
        where = ", where nothing is mounted" if node.exists else ""
        yield finding(
            program.held, node, f"{problem}: the file with its key {shown(node)}{where}", "mount the key there"
        )


def _elsewhere(exporter: Program, resources: Sequence[Resource], key: Node) -> Iterator[Finding]:
    file = exporter.container.mounted(resources).at(key.text())
    others = (resource for resource in resources if resource is not exporter.container.resource)
    for container in (container for resource in others for container in all_containers(resource)):
        if file and any(mounted.text == file.text for mounted in container.mounted(resources).files):
            problem = "it has the key that signs backups: it could sign what it made up"
            yield finding(container.resource, container.node, problem, "mount that key into the backup exporter alone")


def _kept(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    own, unknown = programs(resources)
    archives = [program for program in own if program.module == ARCHIVE]
    for exporter in (program for program in own if program.module == BACKUP_EXPORTER):
        kept = exporter.settings["keep_days"]
        limits = {kind: kept["runs"][kind] for kind in sorted(_scheduled(own))}
        for what, days in {**limits, **({"archive": kept["archive"]} if archives else {})}.items():
            if not days.exists:
                yield finding(
                    exporter.held, days, f"nobody removes what is too old of the {what} backup", "say for how many days"
                )
            elif (number(days) or 0) < options["least_days"]:
                yield finding(
                    exporter.held,
                    days,
                    f"backups are gone before a mistake is noticed: {what} {shown(days)}",
                    f"set it to {options['least_days']} or more",
                )
    for program in archives:
        often = program.settings["flush_s"]
        if not 0 < (number(often) or 0) <= options["most_flush_s"]:
            yield finding(
                program.held,
                often,
                f"so many seconds of telemetry are lost with the brokers: flush_s {shown(often)}",
                f"set it to {options['most_flush_s']} or less",
            )
    if unknown:
        raise unknown


_TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 1}

RULES: tuple[Rule, ...] = (
    Rule(
        id="backup-exists",
        promise="Metrics, topics and databases are backed up, and what our own jobs know: Grafana, Kafka's metadata.",
        why="What has no backup is gone with its region.",
        sources=("D1",),
        options={"elsewhere": Option(default=[], schema=_TEXTS, meaning="What is backed up outside the stack.")},
        stack=_exists,
    ),
    Rule(
        id="backup-search-exists",
        promise="A CronJob exports the search cluster, or takes snapshots of it.",
        why="Traces and logs have no other copy than what Kafka still holds.",
        sources=("D1",),
        level=Level.ADVISORY,
        options={
            "needed": Option(
                default=True, schema={"type": "boolean"}, meaning="Whether the search cluster must be backed up at all."
            )
        },
        stack=_search_exists,
    ),
    Rule(
        id="backup-encrypted",
        promise="Every backup is encrypted for public keys of operators, and goes to the object storage over TLS.",
        why="Without a recipient nobody can restore; a backup that can be read on the way gives everything away.",
        sources=("D1", "P2"),
        stack=_encrypted,
    ),
    Rule(
        id="backup-identities-away",
        promise="What opens backups is nowhere in the cluster.",
        why="Who takes over a pod could otherwise read every backup that was ever made.",
        sources=("D1", "P2"),
        kinds=FILES | WORKLOADS,
        resource=_identities,
    ),
    Rule(
        id="backup-watched",
        promise="The backup exporter watches every backup that a job makes, and every one that it watches has a job.",
        why="A backup that nobody misses is found missing on the day it is needed.",
        sources=("D1", "M2"),
        options={
            "most_age_s": Option(default=259_200, schema=_COUNT, meaning="The longest limit that counts, in seconds.")
        },
        stack=_watched,
    ),
    Rule(
        id="backup-signed",
        promise="Jobs seal what they made, the backup exporter signs it, and nobody else has the key that signs.",
        why="Who takes over a pod could otherwise put a backup of his own in the place of one, or none is restored.",
        sources=("D1", "P2"),
        stack=_signed,
    ),
    Rule(
        id="backup-kept",
        promise="Backups are kept for days, and the archive stores what it read within minutes.",
        why="A mistake is often noticed after days, and what is not archived yet is lost with the brokers.",
        sources=("D1",),
        options={
            "least_days": Option(default=7, schema=_COUNT, meaning="Days for which every backup is kept at least."),
            "most_flush_s": Option(default=300, schema=_COUNT, meaning="Seconds until a record is archived, at most."),
        },
        stack=_kept,
    ),
)
