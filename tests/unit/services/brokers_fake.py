"""A fake of the read-only half of kafka-python's KafkaAdminClient: what the exporter asks, answered from memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaConnectionError


class BrokersFake:
    """Two topics, two groups; ``broken`` holds the names of calls that fail."""

    def __init__(self) -> None:
        """Begin with everything healthy: telemetry-logs has two partitions, group reader committed one of them."""
        self.broken: set[str] = set()
        self.configurations: list[dict[str, Any]] = []
        self.closed = 0
        self.ends = {("telemetry-logs", 0): 100, ("telemetry-logs", 1): 50, ("other", 0): 7}
        self.commits: dict[str, dict[tuple[str, int], int]] = {
            "reader": {("telemetry-logs", 0): 90, ("telemetry-logs", 1): -1, ("other", 0): 1},
            "stranger": {("telemetry-logs", 0): 1},
        }
        self.isrs = {("telemetry-logs", 0): [0, 1, 2], ("telemetry-logs", 1): [0], ("other", 0): [0, 1, 2]}

    def connect(self, **configuration: Any) -> BrokersFake:
        """Stand in for `services.runtime.kafka.admin`."""
        self.configurations.append(configuration)
        return self

    def close(self) -> None:
        """Count how often the client was closed."""
        self.closed += 1

    def describe_topics(self) -> list[dict[str, Any]]:
        """Return metadata."""
        self._refuse("describe_topics")
        topics: dict[str, dict[str, Any]] = {}
        for (name, number), isrs in self.isrs.items():
            topic = topics.setdefault(name, {"name": name, "partitions": []})
            topic["partitions"].append(
                {
                    "partition_index": number,
                    "leader_id": isrs[0] if isrs else -1,
                    "replica_nodes": [0, 1, 2],
                    "isr_nodes": isrs,
                }
            )
        return list(topics.values())

    def list_partition_offsets(self, request: Mapping[TopicPartition, Any]) -> dict[TopicPartition, Any]:
        """Return log ends."""
        self._refuse("list_partition_offsets")
        return {key: SimpleNamespace(offset=self.ends[key.topic, key.partition]) for key in request}

    def list_groups(self) -> list[dict[str, str]]:
        """Return all groups."""
        self._refuse("list_groups")
        return [
            *({"group_id": name, "protocol_type": "consumer"} for name in self.commits),
            {"group_id": "strange-connect", "protocol_type": "connect"},
        ]

    def describe_groups(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return two members a group; a group without commits does not exist."""
        self._refuse("describe_groups")
        missing = "[Error 69] GroupIdNotFoundError"
        return {
            name: {"error": None if name in self.commits else missing, "members": ["a", "b"] * (name in self.commits)}
            for name in names
        }

    def list_group_offsets(self, names: list[str]) -> dict[str, dict[TopicPartition, Any]]:
        """Return the groups' commits."""
        self._refuse("list_group_offsets")
        return {
            name: {
                TopicPartition(topic, partition): SimpleNamespace(offset=offset)
                for (topic, partition), offset in self.commits.get(name, {}).items()
            }
            for name in names
        }

    def _refuse(self, call: str) -> None:
        if call in self.broken:
            raise KafkaConnectionError("no broker answers")
