"""Kafka clients for ``ops``: settings of a client, what topics and brokers say, records read from the end.

**Nothing about a group is asked by librdkafka's administrator's client.** Where the broker answers that it is not the
group's coordinator (it has just started, or the coordinator moves), librdkafka 2.x follows a null pointer there, and
the whole process ends with a segmentation fault (upstream issue 5040), or aborts (docs/adr/0003). Offsets are asked by
a consumer, which looks for the coordinator again, members by kafka-python.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Protocol

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition
from confluent_kafka import admin as _admin
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
    KafkaError,
    NotCoordinatorError,
)

from ops.core.errors import OpsError, one_line, waiting_for
from ops.core.platform import Login, Platform
from services.runtime import kafka

ADMIN: Any = _admin
"""Classes of the administrator's client; the library does not mark them as exported, so they have no types here."""

TIMEOUT_SECONDS = 15.0
FIRST_SECONDS = TIMEOUT_SECONDS
"""How long the first records of a reading may take: the connections are made for them."""
_PAUSE_SECONDS = 0.2
_INTERNAL = "__"
_READER = "ops-reader"
_END_OF_PARTITION = "_PARTITION_EOF"
_COORDINATOR_MOVES = (CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError)


def client_settings(platform: Platform, login: Login) -> dict[str, Any]:
    """Settings of a client of the external listener: TLS verified, SCRAM-SHA-512."""
    user, password = login.pair
    return {
        "bootstrap.servers": platform.kafka_bootstrap,
        "security.protocol": "SASL_SSL",
        "ssl.ca.pem": platform.ca_certificate,
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": password,
        "socket.timeout.ms": int(TIMEOUT_SECONDS * 1000),
        "log_level": 0,
    }


def second_client(
    settings: Mapping[str, Any], client_id: str = "ops", request_s: float = TIMEOUT_SECONDS
) -> kafka.Admin:
    """A client of kafka-python, for what librdkafka has no request for, or answers with a crash: quotas, groups.

    Args:
        settings: As `client_settings` gives them.
        client_id: Its name in Kafka's logs.
        request_s: Longest time for each request, in seconds.

    Raises:
        kafka.errors.KafkaError: Kafka does not answer, or refuses.
    """
    return kafka.admin(
        bootstrap=settings["bootstrap.servers"],
        ca=settings["ssl.ca.pem"],
        username=settings["sasl.username"],
        password=settings["sasl.password"],
        client_id=client_id,
        request_s=request_s,
    )


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Turn the client's errors into one line."""
    try:
        yield
    except KafkaException as error:
        raise OpsError(f"{what}: {one_line(error.args[0].str() if error.args else error)}") from None
    except TimeoutError:
        raise OpsError(f"{what}: no answer in time") from None


def _is_one_of(error: str | None, kinds: Iterable[type[KafkaError]]) -> bool:
    """Whether an error that kafka-python tells as a text is of one of these kinds."""
    return any(kind.__name__ in (error or "") for kind in kinds)


@dataclass(frozen=True, kw_only=True)
class TopicState:
    """What the cluster's metadata says about one topic; one entry per partition."""

    name: str
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    leaders: tuple[int, ...]

    @property
    def partitions(self) -> int:
        """Number of partitions."""
        return len(self.replicas)


@dataclass(frozen=True, kw_only=True)
class GroupState:
    """What its coordinator says about a consumer group; one that does not exist is ``Dead`` and has no members."""

    state: str
    members: int

    @property
    def stable(self) -> bool:
        """Whether it has members, and each knows what it reads."""
        return self.state == "Stable"


class KafkaAdmin:
    """Reads the cluster as the administrator."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._settings = client_settings(platform, platform.kafka_admin)
        self._server = _server(self._settings)
        self._silent = f"no answer from {self._server}"

    @cached_property
    def client(self) -> Any:
        """The administrator's client, made when it is first used: it has threads of its own from then on."""
        return ADMIN.AdminClient(self._settings)

    def close(self) -> None:
        """End the client's threads, so that none of them runs while the interpreter ends."""
        vars(self).pop("client", None)

    @contextmanager
    def _asking(self, what: str = "") -> Iterator[None]:
        with waiting_for(lambda: self._server), errors(f"{self._silent}{what}"):
            yield

    def brokers(self) -> tuple[int, ...]:
        """Ids of the brokers that are registered and alive."""
        with self._asking():
            return tuple(sorted(self.client.list_topics(timeout=TIMEOUT_SECONDS).brokers))

    def zones(self) -> dict[int, str]:
        """Live broker -> zone that it is in; brokers that know none are left out."""
        with self._asking():
            nodes = self.client.describe_cluster(request_timeout=TIMEOUT_SECONDS).result(TIMEOUT_SECONDS).nodes
        return {int(node.id): node.rack for node in nodes if node.rack}

    def placed(self) -> dict[tuple[str, int], tuple[int, ...]]:
        """Topic and number of every partition -> brokers that have a copy, also ones that are not there."""
        with self._asking():
            topics = self.client.list_topics(timeout=TIMEOUT_SECONDS).topics
        return {
            (name, number): tuple(partition.replicas)
            for name, topic in topics.items()
            for number, partition in topic.partitions.items()
        }

    def copies(self) -> Counter[int]:
        """Broker, also one that is not there -> copies of partitions that it has."""
        return Counter(broker for replicas in self.placed().values() for broker in replicas)

    def topics(self) -> dict[str, TopicState]:
        """All topics by name."""
        with self._asking():
            topics = self.client.list_topics(timeout=TIMEOUT_SECONDS).topics
        return {
            name: TopicState(
                name=name,
                replicas=tuple(len(partition.replicas) for _, partition in sorted(topic.partitions.items())),
                in_sync=tuple(len(partition.isrs) for _, partition in sorted(topic.partitions.items())),
                leaders=tuple(partition.leader for _, partition in sorted(topic.partitions.items())),
            )
            for name, topic in topics.items()
        }

    def topic_settings(self, topics: list[str]) -> dict[str, dict[str, str]]:
        """Effective settings by topic; topics that do not exist are left out."""
        known = self.topics()
        return self._settings_of(ADMIN.ConfigResource.Type.TOPIC, [topic for topic in topics if topic in known])

    def broker_settings(self, brokers: tuple[int, ...]) -> dict[str, dict[str, str]]:
        """Effective settings by broker id."""
        return self._settings_of(ADMIN.ConfigResource.Type.BROKER, [str(broker) for broker in brokers])

    def _settings_of(self, kind: Any, names: list[str]) -> dict[str, dict[str, str]]:
        settings: dict[str, dict[str, str]] = {}
        with self._asking(" to the question for settings"):
            # One request per resource: librdkafka takes one broker per call.
            for name in names:
                for resource, future in self.client.describe_configs([ADMIN.ConfigResource(kind, name)]).items():
                    entries = future.result(timeout=TIMEOUT_SECONDS)
                    settings[resource.name] = {key: str(entry.value) for key, entry in entries.items()}
        return settings

    def quotas(self) -> dict[str, dict[str, float]]:
        """User -> its quotas, by their names in Kafka."""
        with self.second_client() as client:
            return client.quotas("user")

    def groups(self, names: Iterable[str]) -> dict[str, GroupState]:
        """State and members of consumer groups, by name.

        Raises:
            OpsError: Kafka does not answer, or a coordinator refuses.
        """
        described: dict[str, Any] = {}
        left, end = list(names), time.monotonic() + TIMEOUT_SECONDS
        while left:
            with self.second_client() as client:
                described |= {name: client.describe_groups([name])[name] for name in left}
            left = [name for name in left if _is_one_of(described[name]["error"], _COORDINATOR_MOVES)]
            if not left or time.monotonic() >= end:
                break
            # The next try has a client of its own, since each keeps the coordinators that it was told for ever.
            time.sleep(_PAUSE_SECONDS)
        for name, group in described.items():
            if group["error"] and not _is_one_of(group["error"], (GroupIdNotFoundError,)):
                raise OpsError(f"{self._silent}: group {name}: {one_line(group['error'])}")
        return {
            name: GroupState(state=group["group_state"] or "Dead", members=len(group["members"] or ()))
            for name, group in described.items()
        }

    @contextmanager
    def second_client(self) -> Iterator[kafka.Admin]:
        """The administrator's `second_client`, until the block ends.

        Raises:
            OpsError: Kafka does not answer, or refuses.
        """
        try:
            with waiting_for(lambda: self._server):
                client = second_client(self._settings)
                try:
                    yield client
                finally:
                    client.close()
        except KafkaError as error:
            raise OpsError(
                f"{self._silent}: {one_line(error.args[0] if error.args else type(error).__name__)}"
            ) from None

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """Offset of the next record that the group will read, by topic and partition; only where it has one."""
        partitions = [
            TopicPartition(name, number)
            for name, topic in self.topics().items()
            if not name.startswith(_INTERNAL)
            for number in range(topic.partitions)
        ]
        with errors(f"cannot read the offsets of group {group}"), consumer(self._settings, group) as reader:
            positions = reader.committed(partitions, timeout=TIMEOUT_SECONDS)
            for position in positions:
                if position.error:
                    raise KafkaException(position.error)
        return {(position.topic, position.partition): position.offset for position in positions if position.offset >= 0}

    def lag(self, group: str) -> dict[str, int]:
        """Records that the group has not committed, by topic in which it has committed something.

        Of a partition without a commit these are all that it has: groups begin at its first record.
        """
        lag: dict[str, int] = {}
        committed, known = self.committed(group), self.topics()
        with consumer(self._settings) as reader:
            for topic in dict.fromkeys(name for name, _ in committed):
                for partition in range(known[topic].partitions):
                    low, high = watermarks(reader, topic, partition)
                    lag[topic] = lag.get(topic, 0) + high - max(committed.get((topic, partition), low), low)
        return lag

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Offset of the next record of each partition."""
        count = self.topics()[topic].partitions
        with consumer(self._settings) as reader:
            return {partition: watermarks(reader, topic, partition)[1] for partition in range(count)}

    def since(self, topic: str, moment: datetime) -> dict[int, int]:
        """Partition -> offset of the first record that is not older than a moment, or its end of now.

        Raises:
            OpsError: There is no such topic, or no answer.
        """
        known = self.topics().get(topic)
        if known is None:
            raise OpsError(f"Kafka has no topic {topic}")
        with consumer(self._settings) as reader:
            first = first_since(reader, topic, dict.fromkeys(range(known.partitions), moment))
            return {
                partition: watermarks(reader, topic, partition)[1] if offset is None else offset
                for partition, offset in first.items()
            }

    def read(self, topic: str, start: Mapping[int, int], seconds: float) -> Iterator[Any]:
        """Records from ``start`` up to the ends of now.

        Stops early when no more come for ``seconds``; the first ones may take ``FIRST_SECONDS``.
        """
        ends = self.end_offsets(topic)
        left = {partition: end for partition, end in ends.items() if start.get(partition, 0) < end}
        with consumer({**self._settings, "enable.partition.eof": True}) as reader:
            reader.assign([TopicPartition(topic, partition, start.get(partition, 0)) for partition in left])
            deadline = time.monotonic() + max(seconds, FIRST_SECONDS)
            while left and time.monotonic() < deadline:
                for message in reader.consume(500, timeout=1.0):
                    if error := message.error():
                        # The last offsets of a partition may be no records: marks of transactions, what is compacted.
                        if error.name() == _END_OF_PARTITION:
                            left.pop(int(message.partition() or 0), None)
                        continue
                    deadline = time.monotonic() + seconds
                    yield message
                    partition, offset = int(message.partition() or 0), int(message.offset() or 0)
                    if offset + 1 >= left.get(partition, 0):
                        left.pop(partition, None)

    def read_last(self, topic: str, per_partition: int, seconds: float = 10.0) -> Iterator[Any]:
        """The newest records of each partition."""
        with consumer(self._settings) as reader:
            count = self.topics()[topic].partitions
            start = {
                partition: max(low, high - per_partition)
                for partition in range(count)
                for low, high in [watermarks(reader, topic, partition)]
            }
        yield from self.read(topic, start, seconds)


@contextmanager
def consumer(settings: Mapping[str, Any], group: str = _READER) -> Iterator[Consumer]:
    """A consumer that joins no group and commits nothing.

    Args:
        settings: See `client_settings`.
        group: Whose committed offsets it can tell.
    """
    reader = Consumer(
        {
            **settings,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        with waiting_for(lambda: _server(settings)):
            yield reader
    finally:
        reader.close()


def _server(settings: Mapping[str, Any]) -> str:
    return f"Kafka ({settings['bootstrap.servers']})"


CAUGHT_UP: Final = 200
"""Records that a group may have left: what it reads and has not committed yet is counted too."""


class GroupLag(Protocol):
    """Tells how far a consumer group is."""

    def lag(self, group: str) -> dict[str, int]:
        """Records that the group has not committed, by topic."""


def caught_up(kafka: GroupLag, groups: Iterable[str]) -> bool:
    """Whether every group has read what there is; one that has committed nothing yet has no lag either, and has not."""
    lags = (kafka.lag(group) for group in groups)
    return all(lag and sum(lag.values()) <= CAUGHT_UP for lag in lags)


def first_since(reader: Consumer, topic: str, moments: Mapping[int, datetime]) -> dict[int, int | None]:
    """Partition -> offset of the first record that is not older than its moment; None where nothing is as new.

    Raises:
        OpsError: Kafka does not answer, or a partition has no leader to answer for it.
    """
    wanted = [TopicPartition(topic, number, int(moment.timestamp() * 1000)) for number, moment in moments.items()]
    with errors(f"Kafka: cannot find the records of {topic} by time"):
        places = reader.offsets_for_times(wanted, timeout=TIMEOUT_SECONDS)
        for place in places:
            if place.error:
                raise KafkaException(place.error)
    return {place.partition: place.offset if place.offset >= 0 else None for place in places}


def watermarks(reader: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset that is kept, and the next one to be written."""
    with errors(f"Kafka: cannot read the ends of {topic}/{partition}"):
        low, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_SECONDS)
    return (0 if low == OFFSET_INVALID else low), high
