"""Compares Kafka's metadata of a backup with live brokers, and makes what is missing.

It removes nothing, neither a topic nor a permission, and sets no password: no backup has one. Users come from the
deployment; committed offsets are for reading, since records that are put back get offsets of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from services.backup.errors import BackupError
from services.backup.kafka_metadata import FILES, REQUEST_S, Client, Metadata, Thing, errors, read, result, topic_states
from services.backup.restore import Outcome, content, opened
from services.backup.settings import KAFKA_METADATA

_SEEN_S = 30.0


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
            *(f"user {name} is missing: the deployment makes it (pulumi up)" for name in self.users),
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
    missing = [f"user {name} is missing: the deployment makes it (pulumi up)" for name in left.users]
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
