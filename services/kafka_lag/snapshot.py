"""One poll at the brokers: offsets, groups and replicas, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from services.kafka_lag.model import REQUEST_S, Snapshot, TopicState
from services.kafka_lag.settings import Selection

T = TypeVar("T")


def poll(admin: Any, groups: Selection, topics: Selection, failed: Callable[[str, str], None]) -> Snapshot:
    """Ask the brokers once.

    Args:
        admin: An ``AdminClient``.
        groups: The consumer groups to report.
        topics: The topics to report.
        failed: Told stage and reason of each part that could not be had; the others are still reported.

    Raises:
        KafkaException: Not even the list of topics could be had.
    """
    metadata = admin.list_topics(timeout=REQUEST_S)
    states = {name: _state(topic) for name, topic in metadata.topics.items() if name in topics}
    partitions = [TopicPartition(name, number) for name in states for number in metadata.topics[name].partitions]
    end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    latest = dict.fromkeys(partitions, end)
    offsets = admin.list_offsets(latest, request_timeout=REQUEST_S) if latest else {}
    names = _groups(admin, groups, failed)
    described = admin.describe_consumer_groups(names, request_timeout=REQUEST_S) if names else {}
    commits = {
        name: admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=REQUEST_S)[name]
        for name in names
    }
    ends = _gather(offsets, "log_end_offsets", failed)
    members = _gather(described, "group_members", failed)
    committed = _gather(commits, "group_offsets", failed)
    return Snapshot(
        topics=states,
        end_offsets={(key.topic, key.partition): answer.offset for key, answer in ends.items()},
        committed={
            (name, entry.topic, entry.partition): entry.offset
            for name, answer in committed.items()
            for entry in answer.topic_partitions
            if entry.offset >= 0 and entry.topic in topics
        },
        members={name: len(answer.members) for name, answer in members.items()},
    )


def _state(topic: Any) -> TopicState:
    partitions = list(topic.partitions.values())
    return TopicState(
        partitions=len(partitions),
        under_replicated=sum(len(item.isrs) < len(item.replicas) for item in partitions),
        leaderless=sum(item.leader < 0 for item in partitions),
        replicas=min((len(item.replicas) for item in partitions), default=0),
        in_sync_min=min((len(item.isrs) for item in partitions), default=0),
    )


def _groups(admin: Any, wanted: Selection, failed: Callable[[str, str], None]) -> list[str]:
    if wanted.names is not None:
        return sorted(wanted.names)
    try:
        listed = admin.list_consumer_groups(request_timeout=REQUEST_S).result(timeout=2 * REQUEST_S)
    except (KafkaException, TimeoutError) as error:
        failed("group_list", str(error))
        return []
    for problem in listed.errors:
        failed("group_list", str(problem))
    return sorted(group.group_id for group in listed.valid if group.group_id in wanted)


def _gather(futures: Mapping[Any, Future[T]], stage: str, failed: Callable[[str, str], None]) -> dict[Any, T]:
    answers: dict[Any, T] = {}
    for key, future in futures.items():
        try:
            answers[key] = future.result(timeout=2 * REQUEST_S)
        except (KafkaException, TimeoutError) as error:
            failed(stage, f"{key}: {error}")
    return answers
