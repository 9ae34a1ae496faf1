"""What Kafka holds besides records: topics, their settings, permissions, users without secrets, committed offsets.

A restore compares it with live brokers and makes what is missing. It removes nothing, neither a topic nor a permission,
and sets no password: no backup has one. Users come from the deployment; committed offsets are for reading, since
records that are put back get offsets of their own.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, version
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from kafka.errors import KafkaError as GroupError

from services.backup import KAFKA_METADATA, BackupError, KafkaMetadata
from services.backup.manifest import RunSummary, RunWriter
from services.backup.restore import Outcome, content, opened
from services.runtime import kafka, one_line
from services.runtime.settings import secret

REQUEST_S = 20.0
_INTERNAL = "__"
_SOME = 50
_PAUSE_S = 0.5
T = TypeVar("T")
Thing = Mapping[str, Any]
_SEEN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Everything, in a fixed order.

    Attributes:
        topics: ``name``, ``partitions``, ``replication`` and own ``settings``, not those that follow the brokers'.
        acls: ``type``, ``name``, ``pattern``, ``principal``, ``host``, ``operation``, ``permission``.
        users: ``name``, ``mechanism``, ``iterations``; Kafka tells no secret, and none is here.
        groups: ``name``, and ``offsets``: topic -> partition -> next record.
    """

    topics: list[Thing]
    acls: list[Thing]
    users: list[Thing]
    groups: list[Thing]

    def counts(self) -> dict[str, int]:
        """What a restore is compared with."""
        return {
            "topics": len(self.topics),
            "partitions": sum(topic["partitions"] for topic in self.topics),
            "topic settings": sum(len(topic["settings"]) for topic in self.topics),
            "acls": len(self.acls),
            "users": len(self.users),
            "consumer groups": len(self.groups),
            "committed offsets": sum(len(those) for group in self.groups for those in group["offsets"].values()),
        }


FILES = {field.name: f"{field.name}.json" for field in fields(Metadata)}
"""Part of the metadata -> object of the run."""


def back_up(settings: KafkaMetadata, target: RunWriter) -> RunSummary:
    """Read everything and store it.

    Raises:
        BackupError: A broker refuses or does not answer, or it cannot be stored.
        SettingsError: A file cannot be read.
    """
    admin = connect(settings.bootstrap, secret(settings.ca_file), (settings.user, secret(settings.password_file)))
    _check_seen(admin, settings.user)
    metadata = read(admin)
    for name, part in asdict(metadata).items():
        target.add_json(FILES[name], part)
    return RunSummary(program=f"confluent-kafka {version()[0]}", counts=metadata.counts())


def _check_seen(admin: Any, user: str) -> None:
    """Notice a user that may not describe. It is told no error but less; its own permissions at least must be there.

    It comes before users are asked for: librdkafka 2.16.1 ends the process when the brokers refuse that.
    """
    for what, objects, where in (
        ("topic", topic_states(admin), "all topics"),
        ("permission", _acls(admin), "the cluster"),
    ):
        if not objects:
            raise BackupError(f"Kafka: {user} sees no {what}; it needs DESCRIBE on {where}")


class Client(AdminClient):
    """An administrator's client of confluent-kafka; groups and their offsets are read with kafka-python."""

    def __init__(self, bootstrap: str, authority: str, login: tuple[str, str]) -> None:
        self._access = {
            "bootstrap": bootstrap,
            "ca": authority,
            "username": login[0],
            "password": login[1],
            "client_id": "backup",
        }
        super().__init__(
            {**kafka.librdkafka(**self._access), "socket.timeout.ms": int(REQUEST_S * 1000), "log_level": 0}
        )

    def group_offsets(self) -> dict[str, dict[tuple[str, int], int]]:
        """Offsets that each group of consumers has committed, by topic and partition.

        A coordinator that is moving is asked again, for `REQUEST_S` seconds.

        Raises:
            GroupError: A broker refuses, or does not answer.
            OSError: The authority is no certificate.
        """
        deadline = time.monotonic() + REQUEST_S
        while True:
            try:
                with kafka.admin(**self._access, request_s=REQUEST_S) as client:
                    return {name: kafka.committed(client, name) for name in kafka.consumer_groups(client)}
            except GroupError as error:
                if not error.retriable or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)


def connect(bootstrap: str, authority: str, login: tuple[str, str]) -> Client:
    """An administrator's client.

    Args:
        bootstrap: ``host:port`` of brokers, separated by commas.
        authority: PEM of the authority of their certificates.
        login: User and password (SCRAM-SHA-512).

    Raises:
        BackupError: These make no client.
    """
    with errors("the settings make no client"):
        return Client(bootstrap, authority, login)


def read(admin: Client) -> Metadata:
    """Everything that the brokers have, for a user that may describe it all (see `back_up`).

    Raises:
        BackupError: A broker refuses, or does not answer.
    """
    return Metadata(topics=_topics(admin), acls=_acls(admin), users=_users(admin), groups=_groups(admin))


def topic_states(admin: Any) -> dict[str, tuple[int, int]]:
    """Name of each topic of ours -> its partitions, and the copies of each.

    Raises:
        BackupError: No broker answers.
    """
    with errors("topics cannot be listed"):
        metadata = admin.list_topics(timeout=REQUEST_S).topics
    return {
        name: (
            len(topic.partitions),
            min((len(partition.replicas) for partition in topic.partitions.values()), default=0),
        )
        for name, topic in sorted(metadata.items())
        if not name.startswith(_INTERNAL)
    }


def _topics(admin: Any) -> list[Thing]:
    states = topic_states(admin)
    settings: dict[str, dict[str, str]] = {}
    names = list(states)
    with errors("settings of topics cannot be read"):
        for start in range(0, len(names), _SOME):
            wanted = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + _SOME]]
            for resource, answer in admin.describe_configs(wanted, request_timeout=REQUEST_S).items():
                settings[resource.name] = {
                    key: str(entry.value)
                    for key, entry in sorted(result(answer).items())
                    if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
                }
    return [
        {"name": name, "partitions": partitions, "replication": copies, "settings": settings[name]}
        for name, (partitions, copies) in states.items()
    ]


def _acls(admin: Any) -> list[Thing]:
    whatever: Any = None
    everything = AclBindingFilter(
        ResourceType.ANY,
        whatever,
        ResourcePatternType.ANY,
        whatever,
        whatever,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    with errors("permissions cannot be read"):
        bindings = result(admin.describe_acls(everything, request_timeout=REQUEST_S))
    acls: list[dict[str, str]] = [
        {
            "type": binding.restype.name,
            "name": binding.name,
            "pattern": binding.resource_pattern_type.name,
            "principal": binding.principal,
            "host": binding.host,
            "operation": binding.operation.name,
            "permission": binding.permission_type.name,
        }
        for binding in bindings
    ]
    return _ordered(acls)


def _users(admin: Any) -> list[Thing]:
    with errors("users cannot be read"):
        credentials = result(admin.describe_user_scram_credentials(request_timeout=REQUEST_S))
    return _ordered(
        {"name": user, "mechanism": info.mechanism.name, "iterations": info.iterations}
        for user, described in credentials.items()
        for info in described.scram_credential_infos
    )


def _groups(admin: Client) -> list[Thing]:
    with errors("offsets of consumer groups cannot be read"):
        committed = admin.group_offsets()
    groups: list[Thing] = []
    for name, entries in sorted(committed.items()):
        offsets: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in sorted(entries.items()):
            offsets.setdefault(topic, {})[str(partition)] = offset
        groups.append({"name": name, "offsets": offsets})
    return groups


def result(answer: Future[T]) -> T:
    """What the brokers answer, waiting a little longer than a request may take."""
    return answer.result(timeout=REQUEST_S + 5)


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Turn the client's errors into one line."""
    try:
        yield
    except KafkaException as error:
        problem = error.args[0] if error.args else error
        reason = problem.str() if isinstance(problem, KafkaError) else str(problem)
        raise BackupError(f"Kafka: {what}: {one_line(reason)}") from None
    except (GroupError, ssl.SSLError) as error:
        raise BackupError(f"Kafka: {what}: {one_line(error)}") from None
    except TimeoutError:
        raise BackupError(f"Kafka: {what}: no answer within {REQUEST_S:.0f} s") from None


def _ordered(things: Iterable[Mapping[str, Any]]) -> list[Thing]:
    return sorted(things, key=lambda thing: [str(value) for value in thing.values()])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What live brokers lack, and what they have besides.

    Attributes:
        topics: Topics that are missing.
        grown: Topic -> partitions that it should have, where it has fewer.
        settings: Topic -> setting -> value that it should have; None: that of the brokers.
        acls: Permissions that are missing.
        users: Users that are missing; the deployment makes them.
        notes: What is different and stays, one line each.
    """

    topics: tuple[Thing, ...]
    grown: Mapping[str, int]
    settings: Mapping[str, Mapping[str, str | None]]
    acls: tuple[Thing, ...]
    users: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to make."""
        return not (self.topics or self.grown or self.settings or self.acls)

    def lines(self) -> list[str]:
        """The plan for people, one line for each thing."""
        return [
            *(f"make topic {topic['name']} with {topic['partitions']} partitions" for topic in self.topics),
            *(f"topic {name}: grow to {number} partitions" for name, number in self.grown.items()),
            *(
                f"topic {name}: {key} = {'as the brokers have it' if value is None else value}"
                for name, changes in self.settings.items()
                for key, value in changes.items()
            ),
            *(f"permit {said(acl)}" for acl in self.acls),
            *(f"user {name} is missing: `pulumi up --policy-pack policy` makes it" for name in self.users),
            *self.notes,
        ]


def load(folder: Path) -> Metadata:
    """The metadata of a fetched run.

    Raises:
        BackupError: The folder has no such run, or a file is no JSON.
    """
    opened(folder, KAFKA_METADATA)
    return Metadata(**{name: content(folder, file) for name, file in FILES.items()})


def plan(folder: Path, admin: Client) -> Plan:
    """Compare a fetched run with live brokers; nothing is changed.

    Args:
        folder: Where the run was fetched to.
        admin: Client of an administrator; see `services.backup.kafka_metadata.connect`.

    Raises:
        BackupError: The folder has no such run, or a broker refuses or does not answer.
    """
    return compared(load(folder), read(admin))


def compared(wanted: Metadata, there: Metadata) -> Plan:
    """What ``there`` lacks of ``wanted``."""
    live = {topic["name"]: topic for topic in there.topics}
    both = [(topic, live[topic["name"]]) for topic in wanted.topics if topic["name"] in live]
    settings = {expected["name"]: _changes(expected["settings"], actual["settings"]) for expected, actual in both}
    users = {user["name"] for user in there.users}
    names = {topic["name"] for topic in wanted.topics}
    return Plan(
        topics=tuple(topic for topic in wanted.topics if topic["name"] not in live),
        grown={
            expected["name"]: expected["partitions"]
            for expected, actual in both
            if actual["partitions"] < expected["partitions"]
        },
        settings={name: changes for name, changes in settings.items() if changes},
        acls=tuple(acl for acl in wanted.acls if acl not in there.acls),
        users=tuple(sorted({user["name"] for user in wanted.users} - users)),
        notes=(
            *(
                f"topic {expected['name']} has {actual['partitions']} partitions, in the backup "
                f"{expected['partitions']}: stays"
                for expected, actual in both
                if actual["partitions"] > expected["partitions"]
            ),
            *(f"topic {name} is not in the backup: stays" for name in live if name not in names),
            *(f"{said(acl)} is permitted and not in the backup: stays" for acl in there.acls if acl not in wanted.acls),
        ),
    )


def restore(folder: Path, admin: Client, *, replace: bool = False, replication: int | None = None) -> Outcome:
    """Make topics and permissions of a fetched run.

    Args:
        folder: Where the run was fetched to.
        admin: Client of an administrator; see `services.backup.kafka_metadata.connect`.
        replace: Whether topics and permissions may be there already; settings of topics become those of the backup.
        replication: Copies of each record in new topics; None: as many as in the backup.

    Returns:
        How much of the backup the brokers have now, alike in every field but the number of copies.

    Raises:
        BackupError: The brokers have topics or permissions already, or one refuses or does not answer.
    """
    wanted, there = load(folder), read(admin)
    if (there.topics or there.acls) and not replace:
        raise BackupError(
            f"Kafka: is not empty ({len(there.topics)} topics, {len(there.acls)} permissions); nothing was changed"
        )
    todo = compared(wanted, there)
    _make_topics(admin, todo.topics, replication)
    _grow(admin, todo.grown)
    _set(admin, todo.settings)
    if todo.acls:
        with errors("permissions cannot be made"):
            for answer in admin.create_acls([_binding(acl) for acl in todo.acls], request_timeout=REQUEST_S).values():
                result(answer)
    now = _seen(admin, wanted)
    left = compared(wanted, now)
    missing = [f"user {name} is missing: `pulumi up --policy-pack policy` makes it" for name in left.users]
    return Outcome(counts=alike(wanted, now), notes=(*missing, *left.notes))


def alike(wanted: Metadata, there: Metadata) -> dict[str, int]:
    """How much of ``wanted`` is in ``there``, under the names of the manifest."""
    live = {topic["name"]: topic for topic in there.topics}
    pairs = [(topic, live.get(topic["name"], {"partitions": 0, "settings": {}})) for topic in wanted.topics]
    groups = {group["name"]: group["offsets"] for group in there.groups}
    return Metadata(
        topics=[
            {
                "partitions": min(expected["partitions"], actual["partitions"]),
                "settings": dict(expected["settings"].items() & actual["settings"].items()),
            }
            for expected, actual in pairs
            if expected["name"] in live
        ],
        acls=[acl for acl in wanted.acls if acl in there.acls],
        users=[user for user in wanted.users if user in there.users],
        groups=[
            {
                "offsets": {
                    topic: dict(those.items() & groups[group["name"]].get(topic, {}).items())
                    for topic, those in group["offsets"].items()
                }
            }
            for group in wanted.groups
            if group["name"] in groups
        ],
    ).counts()


def said(acl: Thing) -> str:
    """A permission for people."""
    deny = "" if acl["permission"] == "ALLOW" else f" ({acl['permission']})"
    pattern = "" if acl["pattern"] == "LITERAL" else f" ({acl['pattern']})"
    return f"{acl['principal']}: {acl['operation']} on {acl['type']} {acl['name']}{pattern}{deny}"


def _changes(wanted: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str | None]:
    return {key: wanted.get(key) for key in sorted({*wanted, *there}) if wanted.get(key) != there.get(key)}


def _make_topics(admin: Any, topics: Sequence[Thing], replication: int | None) -> None:
    if not topics:
        return
    new = [
        NewTopic(
            topic["name"],
            num_partitions=topic["partitions"],
            replication_factor=replication or topic["replication"],
            config=dict(topic["settings"]),
        )
        for topic in topics
    ]
    for name, answer in admin.create_topics(new, operation_timeout=REQUEST_S, request_timeout=REQUEST_S).items():
        with errors(f"topic {name} cannot be made"):
            result(answer)


def _grow(admin: Any, grown: Mapping[str, int]) -> None:
    if grown:
        new = [NewPartitions(name, number) for name, number in grown.items()]
        for name, answer in admin.create_partitions(new, request_timeout=REQUEST_S).items():
            with errors(f"topic {name} cannot grow"):
                result(answer)


def _set(admin: Any, settings: Mapping[str, Mapping[str, str | None]]) -> None:
    changes = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(
                    key,
                    value,
                    incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
                )
                for key, value in those.items()
            ],
        )
        for name, those in settings.items()
    ]
    if changes:
        for resource, answer in admin.incremental_alter_configs(changes, request_timeout=REQUEST_S).items():
            with errors(f"settings of topic {resource.name} cannot be changed"):
                result(answer)


def _binding(acl: Thing) -> AclBinding:
    return AclBinding(
        ResourceType[acl["type"]],
        acl["name"],
        ResourcePatternType[acl["pattern"]],
        acl["principal"],
        acl["host"],
        AclOperation[acl["operation"]],
        AclPermissionType[acl["permission"]],
    )


def _seen(admin: Client, wanted: Metadata) -> Metadata:
    """What the brokers have, once they all tell of what was made, or after a while as it is."""
    deadline = time.monotonic() + _SEEN_S
    while time.monotonic() < deadline:
        states = topic_states(admin)
        if all(states.get(topic["name"], (0, 0))[0] >= topic["partitions"] for topic in wanted.topics):
            actual = read(admin)
            if compared(wanted, actual).empty:
                return actual
        time.sleep(0.5)
    return read(admin)
