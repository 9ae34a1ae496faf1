"""A fake of the read-only half of confluent_kafka's AdminClient: what the exporter asks, answered from memory."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException


def _future(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
    return future


def unreachable() -> KafkaException:
    """Return what the client raises when no broker answers."""
    return KafkaException(KafkaError(KafkaError._TRANSPORT, "no broker answers"))


class BrokersFake:
    """Two topics, two groups; ``broken`` holds the names of calls that fail."""

    def __init__(self) -> None:
        """Begin with everything healthy: telemetry-logs has two partitions, group reader committed one of them."""
        self.broken: set[str] = set()
        self.configurations: list[dict[str, Any]] = []
        self.ends = {("telemetry-logs", 0): 100, ("telemetry-logs", 1): 50, ("other", 0): 7}
        self.commits: dict[str, dict[tuple[str, int], int]] = {
            "reader": {("telemetry-logs", 0): 90, ("telemetry-logs", 1): -1001, ("other", 0): 1},
            "stranger": {("telemetry-logs", 0): 1},
        }
        self.isrs = {("telemetry-logs", 0): [0, 1, 2], ("telemetry-logs", 1): [0], ("other", 0): [0, 1, 2]}

    def connect(self, configuration: dict[str, Any]) -> BrokersFake:
        """Stand in for the client's constructor."""
        self.configurations.append(configuration)
        return self

    def list_topics(self, timeout: float) -> Any:
        """Return metadata."""
        if "list_topics" in self.broken:
            raise unreachable()
        topics: dict[str, Any] = {}
        for (name, number), isrs in self.isrs.items():
            topic = topics.setdefault(name, SimpleNamespace(partitions={}))
            topic.partitions[number] = SimpleNamespace(replicas=[0, 1, 2], isrs=isrs, leader=isrs[0] if isrs else -1)
        return SimpleNamespace(topics=topics)

    def list_offsets(self, request: Mapping[Any, Any], **_: Any) -> dict[Any, Future[Any]]:
        """Return log ends."""
        return {
            key: _future(
                unreachable()
                if "list_offsets" in self.broken
                else SimpleNamespace(offset=self.ends[key.topic, key.partition])
            )
            for key in request
        }

    def list_consumer_groups(self, **_: Any) -> Future[Any]:
        """Return all groups."""
        if "list_consumer_groups" in self.broken:
            return _future(unreachable())
        return _future(SimpleNamespace(valid=[SimpleNamespace(group_id=name) for name in self.commits], errors=[]))

    def describe_consumer_groups(self, names: list[str], **_: Any) -> dict[str, Future[Any]]:
        """Return two members a group."""
        broken = "describe_consumer_groups" in self.broken
        return {name: _future(unreachable() if broken else SimpleNamespace(members=["a", "b"])) for name in names}

    def list_consumer_group_offsets(self, request: list[Any], **_: Any) -> dict[str, Future[Any]]:
        """Return a group's commits."""
        (wanted,) = request
        entries = [
            SimpleNamespace(topic=topic, partition=partition, offset=offset)
            for (topic, partition), offset in self.commits.get(wanted.group_id, {}).items()
        ]
        return {wanted.group_id: _future(SimpleNamespace(topic_partitions=entries))}
