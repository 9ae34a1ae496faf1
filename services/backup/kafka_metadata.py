"""What Kafka holds besides records: topics, their settings, permissions, users without secrets, committed offsets."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, version
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ConfigSource,
    ResourcePatternType,
    ResourceType,
)
from kafka.errors import KafkaError as GroupError

from services.backup.errors import BackupError, one_line
from services.backup.run_writer import RunSummary, RunWriter
from services.backup.settings import KafkaMetadata
from services.runtime import kafka
from services.runtime.settings import secret

REQUEST_S = 20.0
_INTERNAL = "__"
_SOME = 50
_PAUSE_S = 0.5
T = TypeVar("T")

Thing = Mapping[str, Any]


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
    for name, content in asdict(metadata).items():
        target.add_json(FILES[name], content)
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
