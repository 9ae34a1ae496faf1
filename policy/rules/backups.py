"""Backups: the platform's own programs as rules see them, object stores, Prometheus' blocks, and jobs that run.

Object stores are reached over verified TLS and encrypted at rest. Their keys: who has one, our own programs by their
settings and Thanos by its file; and each role's own, where the stack gives it one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from components.storage_roles import WITNESS, StorageRole, role_of
from policy.documents import Format, documents, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule, UnknownValueError
from policy.rules._kubernetes import WORKLOADS
from policy.rules._servers import Container, Word, all_containers, containers, known_documents
from policy.rules._values import FILES, each_known, finding, flag, number, shown
from policy.rules.regions import reports, suspended
from policy.stack_config import ENCRYPTED, KEY_OF_ROLE


@dataclass(frozen=True)
class StorageUser:
    """A container with a key.

    Attributes:
        container: The container.
        bucket: The bucket.
        prefix: What its keys begin with; empty for the whole bucket.
        key: Id of the access key; empty where it is not there.
    """

    container: Container
    bucket: str
    prefix: str
    key: str

    @property
    def workload(self) -> str:
        """Name of its workload."""
        return self.container.resource.object_name


def storage_users(resources: Sequence[Resource]) -> Iterator[StorageUser]:
    """Every container that is told a bucket and a key."""
    for workload in resources:
        for container in all_containers(workload):
            yield from _storage_users_of(container, resources)


def _storage_users_of(container: Container, resources: Sequence[Resource]) -> Iterator[StorageUser]:
    mounted = container.mounted(resources)
    for file in mounted.files:
        kind, content = parse(file.name, file.text)
        if kind is Format.OBJECT_STORE:
            config = content["config"]
            yield StorageUser(
                container, config.get("bucket") or "", f"{content.get('prefix', '')}/", config.get("access_key") or ""
            )
        elif kind is Format.OTHER and isinstance(content, Mapping):
            for part in content.values():
                if isinstance(part, Mapping) and "access_key_id_file" in part:
                    key = mounted.at(str(part["access_key_id_file"]))
                    yield StorageUser(
                        container, part.get("bucket") or "", part.get("prefix") or "", key.text.strip() if key else ""
                    )


_KEY_FIX = "give it the key of its role (components/storage_roles.py)"


def _own_keys(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    roles = frozenset(map(StorageRole, options["roles"]))
    if not roles:
        return
    users = [user for user in storage_users(resources) if user.workload not in WITNESS.workloads]
    for user in users:
        role = role_of(user.workload)
        if role is None:
            problem = "it has a key of the object storage, and no role there"
            yield finding(user.container.resource, user.container.node, problem, _KEY_FIX)
        elif wrong := _wrong_key(user, role, users, roles):
            yield finding(user.container.resource, user.container.node, wrong, _KEY_FIX)
    for container in {user.container.resource: user.container for user in users if not user.key}.values():
        if container.mounted(resources).unknown:
            raise UnknownValueError(container.mounted(resources).unknown)


def _wrong_key(
    user: StorageUser, role: StorageRole, users: Sequence[StorageUser], roles: frozenset[StorageRole]
) -> str | None:
    """What is wrong with the key of a user; None for nothing."""
    for other in users:
        theirs = role_of(other.workload)
        if theirs is None or not user.key or not other.key:
            continue
        if theirs is not role and other.key == user.key and {role, theirs} & roles:
            return f"its key of the object storage, as {role}, is that of {other.workload}, which is {theirs}"
        if theirs is role and other.key != user.key:
            return f"its key of the object storage, as {role}, is another than that of {other.workload}"
    return None


JOB, ARCHIVE, BACKUP_EXPORTER = "services.backup", "services.kafka_archive", "services.backup_exporter"
PROGRAMS: Final = (JOB, ARCHIVE, BACKUP_EXPORTER)


@dataclass(frozen=True)
class Program:
    """One backup program of a workload.

    Attributes:
        container: Where it runs.
        module: Which program.
        held: ConfigMap or Secret of its settings; the workload itself where there are none.
        settings: Its settings, empty where there are none.
    """

    container: Container
    module: str
    held: Resource
    settings: Node

    @property
    def kind(self) -> str:
        """What a job backs up: the last word of its command line; empty for the other programs."""
        return self.container.words[-1].text if self.module == JOB else ""

    @property
    def section(self) -> Node:
        """What its settings say of that."""
        return self.settings[self.kind.replace("-", "_")]


def programs(stack: Sequence[Resource], *modules: str) -> tuple[list[Program], UnknownValueError | None]:
    """Backup programs of a stack (all where none is named), and what of them is not known yet."""
    parsed_programs: list[Program] = []
    unknown: UnknownValueError | None = None
    for container in (container for resource in stack for container in containers(resource)):
        module = next((word.text for word in container.words if word.text in (modules or PROGRAMS)), "")
        if module:
            mounted = container.mounted(stack)
            program = _program(container, module, stack)
            if not program.settings.exists and mounted.unknown:
                unknown = unknown or UnknownValueError(mounted.unknown)
                continue
            parsed_programs.append(program)
    return parsed_programs, unknown


def _program(container: Container, module: str, stack: Sequence[Resource]) -> Program:
    word = container.flag("config")
    file = container.mounted(stack).at(word.text) if word else None
    content = parse(file.name, file.text)[1] if file else None
    if file is None or not isinstance(content, dict):
        return Program(container, module, container.resource, Node(None, word.where if word else container.node.path))
    return Program(container, module, file.resource, Node(content, f"{file.name}:"))


_SSE: Final = ("SSE-S3", "SSE-KMS", "SSE-C")


def _stores(resource: Resource) -> Iterator[Node]:
    """Object stores in files, and those written into the command line of Thanos."""
    if resource.kind in FILES:
        yield from (document.node for document in documents(resource, Format.OBJECT_STORE))
        return
    for container in containers(resource):
        for word in container.flags("objstore.config"):
            kind, content = parse("objstore.yml", word.text)
            if kind is Format.OBJECT_STORE:
                yield Node(content, f"{word.where}:")


def _transport(resource: Resource, options: Options) -> Iterator[Finding]:
    for store in _stores(resource):
        kind, config = store["type"], store["config"]
        if kind.text().upper() in ("FILESYSTEM", "INMEM"):
            yield finding(
                resource,
                kind,
                f"backups lie beside what they back up: type is {kind.text()}",
                "use an object store, for example type S3",
            )
        if config["insecure"].exists and flag(config["insecure"]) is not False:
            yield finding(
                resource,
                config["insecure"],
                f"backups travel in clear text: insecure {shown(config['insecure'])}",
                "remove insecure",
            )
        if "://" in config["endpoint"].text():
            yield finding(
                resource,
                config["endpoint"],
                f"the endpoint is {config['endpoint'].text()}, not a host: Thanos takes the scheme from insecure alone",
                "write host:port",
            )
        http = config["http_config"]
        for node in (http["insecure_skip_verify"], http["tls_config"]["insecure_skip_verify"]):
            if node.exists and flag(node) is not False:
                yield finding(
                    resource,
                    node,
                    f"the object store's certificate is not verified: insecure_skip_verify {shown(node)}",
                    "remove it, and set http_config.tls_config.ca_file where the store has a CA of its own",
                )


def _store_secrets(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.kind == "Secret":
        return
    for store in _stores(resource):
        config = store["config"]
        for node in (
            config["secret_key"],
            config["session_token"],
            config["storage_account_key"],
            config["service_account"],
            config["sse_config"]["encryption_key"],
        ):
            if node.text() and not node.text().startswith(("$", "/")):
                yield finding(
                    resource,
                    node,
                    "the object store's key is written where everybody may read it",
                    "put the file into a Secret and name it with --objstore.config-file",
                )


def _encrypted(resource: Resource, options: Options) -> Iterator[Finding]:
    for store in _stores(resource):
        sse = store["config"]["sse_config"]["type"]
        if options["required"] and store["type"].text().upper() == "S3" and sse.text() not in options["types"]:
            yield finding(
                resource,
                sse,
                f"backups are not encrypted at rest: sse_config.type {shown(sse)}",
                f"set sse_config.type to {' or '.join(options['types'])}",
            )


def shippers(resources: Sequence[Resource]) -> Iterator[Container]:
    """Thanos sidecars, which ship the blocks of their Prometheus."""
    for resource in resources:
        for container in containers(resource):
            words = [word.text for word in container.words]
            if container.runs("thanos") and "sidecar" in words:
                yield container


def store_flag(container: Container) -> Word | None:
    """Where a Thanos is told its object store."""
    return container.flag("objstore.config-file") or container.flag("objstore.config")


def _shipped(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    thanos = [container for resource in resources for container in containers(resource) if container.runs("thanos")]
    stores, unknown = known_documents(resources, Format.OBJECT_STORE)
    if stores or any(store_flag(container) for container in thanos):
        for container in shippers(resources):
            if store_flag(container) is None:
                yield finding(
                    container.resource,
                    container.node.path,
                    "the Thanos sidecar ships nothing: it has no --objstore.config-file although the stack has a store",
                    "add --objstore.config-file with the object store's file",
                )
    yield from each_known(_mounted(container, resources) for container in thanos)
    if unknown:
        raise unknown


def _mounted(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    word = container.flag("objstore.config-file")
    if word is None:
        return
    mounted = container.mounted(stack)
    file = mounted.at(word.text)
    if file is None or parse(file.name, file.text)[0] is not Format.OBJECT_STORE:
        mounted.missing()
        yield finding(
            container.resource,
            word.where,
            f"the object store's file {word.text} is in no ConfigMap or Secret that is mounted there",
            "mount a Secret with type and config at that path",
        )


def _jobs(resource: Resource, options: Options) -> Iterator[Finding]:
    spec = resource.node["spec"]
    policy = spec["concurrencyPolicy"]
    if policy.text() != "Forbid":
        yield finding(
            resource,
            policy,
            f"a run may start while the last one still works: concurrencyPolicy {shown(policy)}",
            "set concurrencyPolicy to Forbid",
        )
    # Whether reports are made depends on the region: rule region-reports-once.
    if suspended(resource) and not reports(resource):
        yield finding(resource, spec["suspend"], "the job never runs: suspend is true", "set suspend to false")
    for node in (spec["startingDeadlineSeconds"], spec.at("jobTemplate.spec")["activeDeadlineSeconds"]):
        if not number(node):
            yield finding(
                resource,
                node,
                f"{node.path.rsplit('.', 1)[-1]} {shown(node)}",
                "set it: after 100 missed starts Kubernetes gives up, and a run that hangs blocks all later ones",
            )
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if spec[key].exists and not number(spec[key]):
            yield finding(
                resource, spec[key], f"no finished run is kept: {key} {shown(spec[key])}", f"set {key} to 1 or more"
            )


_TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}


RULES: tuple[Rule, ...] = (
    Rule(
        id=KEY_OF_ROLE,
        promise="Where a role has a key of the object storage of its own, its workloads have that key and nobody else.",
        why="Who takes over one pod could otherwise remove or replace what others stored.",
        sources=("D1", "P2"),
        options={
            "roles": Option(
                default=[str(role) for role in StorageRole],
                schema={"type": "array", "items": {"type": "string", "enum": [str(role) for role in StorageRole]}},
                meaning="Roles with a key of their own.",
            )
        },
        stack=_own_keys,
    ),
    Rule(
        id="backup-store-tls",
        promise="Backups go to an object store over verified TLS.",
        why="A backup holds everything; on the way it could be read, or end at a false store.",
        sources=("D1",),
        kinds=FILES | WORKLOADS,
        resource=_transport,
    ),
    Rule(
        id="backup-store-secrets",
        promise="Keys of the object store lie in Secrets.",
        why="Whoever has them reads every backup, or deletes it.",
        sources=("D1", "P2"),
        kinds=FILES | WORKLOADS,
        resource=_store_secrets,
    ),
    Rule(
        id=ENCRYPTED,
        promise="Backups are encrypted at rest.",
        why="A lost disk or a copied bucket would give everything away.",
        sources=("D1",),
        options={
            "required": Option(
                default=True,
                schema={"type": "boolean"},
                meaning="Whether sse_config must be set (a store may not know it).",
            ),
            "types": Option(default=list(_SSE), schema=_TEXTS, meaning="Kinds of encryption that count."),
        },
        kinds=FILES | WORKLOADS,
        resource=_encrypted,
    ),
    Rule(
        id="backup-metrics-shipped",
        promise="Where there is an object store, every Prometheus ships its blocks to it.",
        why="What one Prometheus does not ship is lost with its disk.",
        sources=("D1",),
        stack=_shipped,
    ),
    Rule(
        id="scheduled-jobs",
        promise="Scheduled jobs run, end, do not overlap, and leave a trace.",
        why="A backup that hangs or is suspended is found missing on the day it is needed.",
        sources=("D1", "M2"),
        kinds=frozenset({"CronJob"}),
        resource=_jobs,
    ),
)
