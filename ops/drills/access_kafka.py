"""Tries at Kafka with each user, none of which changes anything even where it is let through.

Brokers check permission before content. So what is sent is valid but for one thing that the broker refuses after that:
records from a far future, a commit for a topic that does not exist, deletion of records before the first one, and
changes that are only to be validated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from kafka.errors import KafkaError as NoAnswerError
from kafka.errors import for_code
from kafka.protocol.admin import DescribeGroupsRequest

from ops.core.errors import OpsError, one_line
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, consumer, second_client
from ops.drills.access_tries import Answer, Try
from ops.permissions.model import Matrix
from services.runtime import kafka

PART: Final = "Kafka"
NO_TOPIC: Final = "access-drill-does-not-exist"
FUTURE_MS: Final = 10 * 365 * 24 * 3600 * 1000
"""How far ahead records are: more than any ``message.timestamp.after.max.ms`` that makes sense."""
FUTURE_SETTING: Final = "message.timestamp.after.max.ms"
CLUSTER: Final = "kafka-cluster"
GROUP_OPERATIONS: Final = ("Describe", "Delete", "Read")
_FOUND_FIRST: Final = ("Read", "Delete")
_MANY_PARTITIONS: Final = 1000
CLUSTER_OPERATIONS: Final = ("Create", "Alter", "Describe", "AlterConfigs", "DescribeConfigs")
_NAMES: Final = {"ALTER_CONFIGS": "AlterConfigs", "DESCRIBE_CONFIGS": "DescribeConfigs"}
_DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_NOT_ANSWERED: Final = frozenset(
    {
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)
"""Codes of a broker by which nothing about permission is said."""
_OPERATIONS_OF_ANY_GROUP: Final = 4
"""Version of the question about a group whose answer has them also where the group does not exist."""
_MOST_QUESTIONS, _PAUSE_S = 5, 2.0
"""To a coordinator that is not there yet."""


def check_safe(settings: Mapping[str, Mapping[str, str]]) -> None:
    """Make sure that no topic would take a record from the future.

    Args:
        settings: Topic -> its effective settings.

    Raises:
        OpsError: One would.
    """
    for topic, effective in settings.items():
        if int(effective.get(FUTURE_SETTING, FUTURE_MS)) >= FUTURE_MS:
            raise OpsError(f"{topic} takes records from any future ({FUTURE_SETTING}): writing cannot be tried safely")


def answer_of(error: KafkaError | None) -> tuple[Answer, str]:
    """What a broker's answer says about permission; any refusal for another reason came after the permission."""
    if error is None:
        return Answer.LET_IN, ""
    if error.code() in _DENIED:
        return Answer.REFUSED, ""
    # Codes below zero are the client's own: no broker has answered.
    if error.code() < 0 or error.code() in _NOT_ANSWERED:
        return Answer.UNCLEAR, one_line(error.str())
    return Answer.LET_IN, ""


class KafkaTries:
    """Tries of one user.

    Args:
        settings: Of a client, with the user's login.
        matrix: What is allowed.
        user: Who tries.
    """

    def __init__(self, settings: Mapping[str, Any], matrix: Matrix, user: str) -> None:
        self._settings, self._matrix, self._user = dict(settings), matrix, user
        self._admin: Any = ADMIN.AdminClient(self._settings)
        self._second: kafka.Admin | None = None

    def all(self, topics: Sequence[str], groups: Sequence[str]) -> Iterator[Try]:
        """Everything on topics that exist, on groups, and on the cluster; a single try where the login fails."""
        try:
            self._admin.list_topics(timeout=TIMEOUT_SECONDS)
        except KafkaException as error:
            said = one_line(error.args[0].str())
            yield Try(part=PART, login=self._user, what="log in", allowed=True, answer=Answer.UNCLEAR, said=said)
            return
        with consumer({**self._settings, "enable.partition.eof": True}, self._own_group(groups)) as reader:
            producer = Producer({**self._settings, "acks": "all", "message.timeout.ms": int(TIMEOUT_SECONDS * 1000)})
            for topic in topics:
                yield from self._topic(topic, reader, producer)
            producer.flush(0)
        try:
            for group in groups:
                yield from self._group(group)
        finally:
            self._disconnect()
        yield from self._cluster()

    def _topic(self, topic: str, reader: Consumer, producer: Producer) -> Iterator[Try]:
        """A client that may not see a topic finds no partition of it to read or delete; both include seeing it."""
        describe = self._tried("Describe", "Topic", topic, partial(self._metadata, topic))
        yield describe
        attempts: dict[str, Callable[[], KafkaError | None]] = {
            "Read": partial(_read, reader, topic),
            "Write": partial(_write, producer, topic),
            **self._administration(topic),
        }
        if describe.answer is Answer.REFUSED:
            for operation in _FOUND_FIRST:
                del attempts[operation]
                yield self._answered(operation, "Topic", topic, Answer.REFUSED)
        for operation, attempt in attempts.items():
            yield self._tried(operation, "Topic", topic, attempt)

    def _group(self, group: str) -> Iterator[Try]:
        """A group that may not be seen can neither be read in nor deleted; deletion is only asked for."""
        try:
            operations = self._group_operations(group)
        except (KafkaException, TimeoutError) as error:
            answer, said = _answer_of_exception(error)
            for operation in GROUP_OPERATIONS:
                yield self._answered(operation, "Group", group, answer, said)
            return
        yield self._answered("Describe", "Group", group, Answer.LET_IN)
        deletes = Answer.LET_IN if "Delete" in operations else Answer.REFUSED
        yield self._answered("Delete", "Group", group, deletes)
        with consumer(self._settings, group) as member:
            yield self._tried("Read", "Group", group, partial(_commit, member))

    def _group_operations(self, group: str) -> set[str]:
        for question in range(_MOST_QUESTIONS):
            try:
                return self._described(group)
            except KafkaException as error:
                if error.args[0].code() not in _NOT_ANSWERED or question + 1 == _MOST_QUESTIONS:
                    raise
                time.sleep(_PAUSE_S)
        raise TimeoutError

    def _described(self, group: str) -> set[str]:
        """Operations that the user may do with a group; librdkafka is asked nothing about one: see `ops.core.kafka`."""
        request = DescribeGroupsRequest(
            groups=[group], include_authorized_operations=True, max_version=_OPERATIONS_OF_ANY_GROUP
        )
        try:
            client = self._connected()
            manager = client._manager
            node = manager.run(client._find_coordinator_ids, [group])[group]
            (answer,) = manager.run(manager.send, request, node).groups
            if answer.error_code:
                raise for_code(answer.error_code)
            operations = client._process_acl_operations(answer.to_dict())["authorized_operations"] or ()
        except NoAnswerError as error:
            # The client keeps the coordinator of a group for ever.
            self._disconnect()
            code = getattr(error, "errno", None) or KafkaError._TRANSPORT
            raise KafkaException(KafkaError(code, one_line(error))) from None
        return {_name(operation) for operation in operations}

    def _connected(self) -> kafka.Admin:
        if self._second is None:
            self._second = second_client(self._settings)
        return self._second

    def _disconnect(self) -> None:
        if self._second is not None:
            self._second.close()
            self._second = None

    def _own_group(self, groups: Sequence[str]) -> str:
        """A group that is not joined: it is only named by a client that reads one partition."""
        return next((group for group in groups if self._matrix.kafka_allows(self._user, "Read", "Group", group)), "ops")

    def _tried(self, operation: str, kind: str, name: str, attempt: Callable[[], KafkaError | None]) -> Try:
        try:
            answer, said = answer_of(attempt())
        except (KafkaException, TimeoutError) as error:
            answer, said = _answer_of_exception(error)
        return self._answered(operation, kind, name, answer, said)

    def _answered(self, operation: str, kind: str, name: str, answer: Answer, said: str = "") -> Try:
        return Try(
            part=PART,
            login=self._user,
            what=f"{operation} {kind.lower()} {name}",
            allowed=self._matrix.kafka_allows(self._user, operation, kind, name),
            answer=answer,
            said=said,
        )

    def _metadata(self, topic: str) -> KafkaError | None:
        error: KafkaError | None = self._admin.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic].error
        return error

    def _administration(self, topic: str) -> dict[str, Callable[[], KafkaError | None]]:
        admin = self._admin
        resource = ADMIN.ConfigResource(ADMIN.ConfigResource.Type.TOPIC, topic)
        entry = ADMIN.ConfigEntry("retention.ms", "3600000", incremental_operation=ADMIN.AlterConfigOpType.SET)
        change = ADMIN.ConfigResource(ADMIN.ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        new = ADMIN.NewTopic(topic, num_partitions=1, replication_factor=1)
        more = ADMIN.NewPartitions(topic, _MANY_PARTITIONS)
        return {
            "Create": lambda: _result(admin.create_topics([new], validate_only=True)),
            "Delete": lambda: _result(admin.delete_records([TopicPartition(topic, 0, 0)])),
            "Alter": lambda: _result(admin.create_partitions([more], validate_only=True)),
            "DescribeConfigs": lambda: _result(admin.describe_configs([resource])),
            "AlterConfigs": lambda: _result(admin.incremental_alter_configs([change], validate_only=True)),
        }

    def _cluster(self) -> Iterator[Try]:
        """What the authorizer says of the cluster as a whole; a refused question is refused for every operation."""
        try:
            future = self._admin.describe_cluster(include_authorized_operations=True)
            # None is what the client makes of an empty list.
            operations = future.result(timeout=TIMEOUT_SECONDS).authorized_operations or ()
            allowed = {_name(operation.name) for operation in operations}
            answers = {
                operation: (Answer.LET_IN if operation in allowed else Answer.REFUSED, "")
                for operation in CLUSTER_OPERATIONS
            }
        except KafkaException as error:
            answers = dict.fromkeys(CLUSTER_OPERATIONS, answer_of(error.args[0]))
        except TimeoutError as error:
            answers = dict.fromkeys(CLUSTER_OPERATIONS, _answer_of_exception(error))
        for operation, (answer, said) in answers.items():
            yield self._answered(operation, "Cluster", CLUSTER, answer, said)


def _answer_of_exception(error: KafkaException | TimeoutError) -> tuple[Answer, str]:
    return answer_of(error.args[0]) if isinstance(error, KafkaException) else (Answer.UNCLEAR, "no answer in time")


def _name(name: str) -> str:
    return _NAMES.get(name, name.capitalize())


def _result(futures: Mapping[Any, Any]) -> KafkaError | None:
    for future in futures.values():
        future.result(timeout=TIMEOUT_SECONDS)
    return None


def _read(reader: Consumer, topic: str) -> KafkaError | None:
    """Fetch at the end of a partition."""
    reader.assign([TopicPartition(topic, 0, -1)])
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            message = reader.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # about the group that the client is made with, not about the topic
            return None if error is None or error.code() == KafkaError._PARTITION_EOF else error
        raise TimeoutError
    finally:
        with suppress(KafkaException):
            reader.unassign()


def _write(producer: Producer, topic: str) -> KafkaError | None:
    """Send an empty record from a future that brokers do not take."""
    answers: list[KafkaError | None] = []
    producer.produce(
        topic,
        value=b"",
        partition=0,
        timestamp=int(time.time() * 1000) + FUTURE_MS,
        on_delivery=lambda error, _: answers.append(error),
    )
    producer.flush(TIMEOUT_SECONDS)
    if not answers:
        raise TimeoutError
    return answers[0]


def _commit(member: Consumer) -> KafkaError | None:
    """Commit an offset of a topic that does not exist; brokers look at the topic after the group."""
    try:
        (place,) = member.commit(offsets=[TopicPartition(NO_TOPIC, 0, 0)], asynchronous=False)
        error: KafkaError | None = place.error
    except KafkaException as refusal:
        error = refusal.args[0]
    # The group was passed where only the topic is refused.
    return None if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED else error
