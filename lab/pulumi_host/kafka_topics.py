"""Topics, with the semantics of the vendor's plugin: grown and configured in place, replaced where partitions shrink.

A replaced topic is deleted first, since its name is fixed, and its records are gone. What keeps the platform from that
is ``protect`` on every topic (``components/kafka/access.py``), not this plugin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from lab.pulumi_host.kafka_client import REQUEST_S, Brokers, only
from lab.pulumi_host.provider import Handler, ProviderError, Refusal
from lab.pulumi_host.values import Properties


class Topic(Handler):
    """``kafka:index/topic:Topic``; its id is its name."""

    resource_type: ClassVar[str] = "kafka:index/topic:Topic"
    inputs: ClassVar[frozenset[str]] = frozenset({"name", "partitions", "replicationFactor", "config"})
    required: ClassVar[frozenset[str]] = frozenset({"partitions", "replicationFactor"})
    replace_on: ClassVar[frozenset[str]] = frozenset({"name"})

    def __init__(self, brokers: Brokers) -> None:
        """Keep topics on ``brokers``."""
        self._brokers = brokers

    def defaults(self, inputs: Properties, name: str) -> Properties:
        return {"name": name, "config": {}, **inputs}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        refusals = [
            Refusal(key, f"is {value}; it must be a whole number of at least 1")
            for key in ("partitions", "replicationFactor")
            if isinstance(value := inputs[key], int | float | str) and (not isinstance(value, int) or value < 1)
        ]
        if refusals or old is None or old.get("name") != inputs.get("name", old.get("name")):
            return refusals
        before, after = old.get("replicationFactor"), inputs["replicationFactor"]
        if isinstance(before, int) and isinstance(after, int) and after != before:
            # The vendor's plugin moves the replicas itself; librdkafka has no such request.
            remedy = "move the replicas with Kafka's own reassignment first, then refresh"
            refusals.append(Refusal("replicationFactor", f"cannot change from {before} to {after} here: {remedy}"))
        return refusals

    def replaced_by(self, key: str, old: Properties, new: Properties) -> bool:
        if key == "partitions":
            before, after = old.get(key), new.get(key)
            return isinstance(before, int) and isinstance(after, int) and after < before
        return super().replaced_by(key, old, new)

    def deleted_first(self, replaces: Sequence[str]) -> bool:
        return "name" not in replaces

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        name, partitions, factor = str(inputs["name"]), int(inputs["partitions"]), int(inputs["replicationFactor"])
        new = NewTopic(name, num_partitions=partitions, replication_factor=factor, config=_config(inputs))
        purpose = f"create topic {name}"

        def make(admin: Any) -> bool:
            only(admin.create_topics([new], request_timeout=REQUEST_S, operation_timeout=REQUEST_S))
            return True

        created = self._brokers.call(purpose, make, accept={KafkaError.TOPIC_ALREADY_EXISTS: False})
        if not created:
            raise ProviderError(
                f"kafka: {purpose}: it exists already. Import it: pulumi import kafka:index/topic:Topic NAME {name}"
            )
        self._brokers.until(
            f"wait for topic {name} to have {partitions} partitions",
            lambda admin: _partitions(admin, name) == partitions,
        )
        return name, inputs

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        def describe(admin: Any) -> Properties | None:
            topic = _metadata(admin, identity)
            if topic is None:
                return None
            own = _own_config(admin, identity)
            factor = min(len(partition.replicas) for partition in topic.partitions.values())
            seen = {"name": identity, "partitions": len(topic.partitions), "replicationFactor": factor}
            return {**seen, "config": own}

        gone = {KafkaError.UNKNOWN_TOPIC_OR_PART: None}
        properties = self._brokers.call(f"read topic {identity}", describe, accept=gone)
        return None if properties is None else (properties, properties)

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        partitions = int(new["partitions"])
        if partitions > int(old["partitions"]):
            grow = NewPartitions(identity, partitions)

            def enlarge(admin: Any) -> None:
                if _partitions(admin, identity) < partitions:
                    only(admin.create_partitions([grow], request_timeout=REQUEST_S, operation_timeout=REQUEST_S))

            self._brokers.call(f"grow topic {identity} to {partitions} partitions", enlarge)
            self._brokers.until(
                f"wait for topic {identity} to have {partitions} partitions",
                lambda admin: _partitions(admin, identity) == partitions,
            )

        def alter(admin: Any) -> None:
            # As upstream: the whole configuration is set, so what somebody set by hand goes back to its default.
            changes = config_changes(_own_config(admin, identity), _config(new))
            if changes:
                only(admin.incremental_alter_configs([_resource(identity, changes)], request_timeout=REQUEST_S))

        self._brokers.call(f"change the configuration of topic {identity}", alter)
        self._brokers.until(
            f"wait for topic {identity} to show its configuration",
            lambda admin: not config_changes(_own_config(admin, identity), _config(new)),
        )
        return new

    def delete(self, identity: str, state: Properties) -> None:
        def remove(admin: Any) -> None:
            only(admin.delete_topics([identity], request_timeout=REQUEST_S, operation_timeout=REQUEST_S))

        self._brokers.call(f"delete topic {identity}", remove, accept={KafkaError.UNKNOWN_TOPIC_OR_PART: None})
        self._brokers.until(f"wait for topic {identity} to be gone", lambda admin: _metadata(admin, identity) is None)


def config_changes(old: dict[str, str], new: dict[str, str]) -> list[ConfigEntry]:
    """Return the entries that turn one topic configuration into the other; what is dropped goes back to the default."""
    sets = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in sorted(new.items())
        if old.get(key) != value
    ]
    drops = [
        ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE)
        for key in sorted(old.keys() - new.keys())
    ]
    return sets + drops


def _config(properties: Properties) -> dict[str, str]:
    return {key: str(value) for key, value in (properties.get("config") or {}).items()}


def _resource(name: str, changes: list[ConfigEntry] | None = None) -> ConfigResource:
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)


def _own_config(admin: Any, name: str) -> dict[str, str]:
    """Return what is configured on the topic itself."""
    entries = only(admin.describe_configs([_resource(name)], request_timeout=REQUEST_S))
    dynamic = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {key: entry.value for key, entry in entries.items() if entry.source == dynamic}


def _metadata(admin: Any, name: str) -> Any:
    """Return the topic's metadata, or nothing if there is none. Asks for all topics: asking for one could create it."""
    return admin.list_topics(timeout=REQUEST_S).topics.get(name)


def _partitions(admin: Any, name: str) -> int:
    topic = _metadata(admin, name)
    return 0 if topic is None else len(topic.partitions)
