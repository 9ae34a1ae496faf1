"""Where MirrorMaker begins to read: Kafka Connect's stored offsets, written before the mirror starts.

Without them a mirror that begins anew copies everything again, also what came from the region that it copies into.
Kafka Connect looks offsets up by the very bytes of their keys, so these are written as it writes them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, Producer

from ops.core.errors import OpsError, one_line
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, KafkaAdmin, client_settings, consumer, watermarks
from ops.core.platform import Platform

CONNECTOR = "MirrorSourceConnector"
PARTITIONS = 3
"""Partitions of the topic, as the mirror's own settings have it (``offset.storage.partitions``)."""
_IDLE_S = 10.0

Offsets = dict[str, dict[int, int]]
"""Topic -> partition -> offset of the next record."""


def offsets_topic(source: str) -> str:
    """Topic with the stored offsets of the mirror that reads a region; it lies in the region that is copied into."""
    return f"mm2-offsets.{source}.internal"


def offset_key(source: str, topic: str, partition: int) -> bytes:
    """Key of a stored offset."""
    where = {"cluster": source, "partition": partition, "topic": topic}
    return json.dumps([CONNECTOR, where], separators=(",", ":")).encode()


def offset_value(offset: int) -> bytes | None:
    """The stored offset by which the mirror begins at ``offset``: it holds the last record that was copied.

    None, which removes it, for the very first record.
    """
    return json.dumps({"offset": offset - 1}, separators=(",", ":")).encode() if offset > 0 else None


def parse(key: bytes | None, value: bytes | None, source: str) -> tuple[str, int, int] | None:
    """Topic, partition and next offset of a record; None for what is no offset of this mirror."""
    try:
        connector, where = json.loads(key or b"")
        if connector != CONNECTOR or where["cluster"] != source:
            return None
        offset = json.loads(value)["offset"] if value else -1
        return str(where["topic"]), int(where["partition"]), int(offset) + 1
    except (ValueError, KeyError, TypeError):
        return None


def write(platform: Platform, source: str, offsets: Mapping[str, Mapping[int, int]]) -> int:
    """Write where the mirror of ``source`` begins, into the region that it copies into; how many offsets.

    The mirror must not run: it would write its own offsets over these.

    Args:
        platform: Outputs of the region that is copied into.
        source: Region that is copied.
        offsets: Where to begin.

    Raises:
        OpsError: Kafka does not answer, or does not take them all.
    """
    kafka, topic = KafkaAdmin(platform), offsets_topic(source)
    _make(kafka, topic)
    failed: list[str] = []
    producer = Producer(
        {
            **client_settings(platform, platform.kafka_admin),
            "acks": "all",
            # The partition that Java's clients choose: the newest note of a key must be the last one of one partition.
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(TIMEOUT_SECONDS * 1000),
        }
    )
    written = 0
    for name, parts in offsets.items():
        for partition, offset in parts.items():
            producer.produce(
                topic,
                key=offset_key(source, name, partition),
                value=offset_value(offset),
                on_delivery=lambda error, _: failed.append(error.str()) if error else None,
            )
            written += 1
    left = producer.flush(2 * TIMEOUT_SECONDS)
    if failed or left:
        raise OpsError(
            f"{len(failed) + left} of {written} offsets were not taken by {topic}: {(failed or ['no answer'])[0]}"
        )
    return written


class ConnectOffsets:
    """How far the mirror of ``source`` has noted that it is, every two seconds; each call reads only what is new.

    Args:
        platform: Outputs of the region that is copied into.
        source: Region that is copied.
    """

    def __init__(self, platform: Platform, source: str) -> None:
        self._kafka, self._source = KafkaAdmin(platform), source
        self._next: dict[int, int] = {}
        self._found: Offsets = {}

    def read(self) -> Offsets:
        """Next offset of every partition that it has stored.

        Raises:
            OpsError: Kafka does not answer.
        """
        topic = offsets_topic(self._source)
        if topic not in self._kafka.topics():
            return {}
        for message in self._kafka.read(topic, self._next, _IDLE_S):
            self._next[int(message.partition() or 0)] = int(message.offset() or 0) + 1
            record = parse(message.key(), message.value(), self._source)
            if record is not None:
                self._found.setdefault(record[0], {})[record[1]] = record[2]
        return self._found


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What topics hold: offset of the oldest record that is kept, and of the next one."""

    lows: Offsets
    ends: Offsets

    def of(self, topics: Collection[str]) -> Marks:
        """Those of some topics."""
        return Marks(
            lows={topic: parts for topic, parts in self.lows.items() if topic in topics},
            ends={topic: parts for topic, parts in self.ends.items() if topic in topics},
        )

    def behind(self, at: Mapping[str, Mapping[int, int]]) -> int:
        """Records between there and the ends; what is not kept any more is not missing."""
        return sum(
            max(0, end - max(at.get(topic, {}).get(partition, 0), self.lows[topic][partition]))
            for topic, parts in self.ends.items()
            for partition, end in parts.items()
        )


def unread(platform: Platform, wanted: Marks) -> dict[str, int]:
    """Group of the region -> records before the marks that it has not read, in topics in which it has a position.

    Raises:
        OpsError: Kafka does not answer.
    """
    kafka, counts = KafkaAdmin(platform), dict[str, int]()
    for group in platform.consumer_groups:
        at = Offsets()
        for (topic, partition), offset in kafka.committed(group).items():
            at.setdefault(topic, {})[partition] = offset
        counts[group] = wanted.of(at).behind(at)
    return {group: count for group, count in counts.items() if count}


def marks(platform: Platform, topics: Sequence[str]) -> Marks:
    """What the topics of a region hold now.

    Raises:
        OpsError: Kafka does not answer, or a topic is not there.
    """
    known = KafkaAdmin(platform).topics()
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise OpsError(f"topic {', '.join(missing)} is not there")
    marks = Marks(lows={}, ends={})
    with consumer(client_settings(platform, platform.kafka_admin)) as reader:
        for topic in topics:
            pairs = [watermarks(reader, topic, partition) for partition in range(known[topic].partitions)]
            marks.lows[topic] = {number: low for number, (low, _) in enumerate(pairs)}
            marks.ends[topic] = {number: high for number, (_, high) in enumerate(pairs)}
    return marks


def from_json(content: Mapping[str, Mapping[str, Any]]) -> Offsets:
    """Offsets as a journal has them."""
    return {topic: {int(number): int(offset) for number, offset in parts.items()} for topic, parts in content.items()}


def as_json(offsets: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    """Offsets for a journal."""
    return {topic: {str(number): offset for number, offset in parts.items()} for topic, parts in offsets.items()}


def _make(kafka: KafkaAdmin, topic: str) -> None:
    """Make the topic as Kafka Connect does, if the mirror never ran here."""
    known = kafka.topics()
    if topic in known:
        return
    copies = min(3, len(kafka.brokers()))
    new = ADMIN.NewTopic(topic, PARTITIONS, copies, config={"cleanup.policy": "compact"})
    try:
        for future in kafka.client.create_topics([new], operation_timeout=TIMEOUT_SECONDS).values():
            future.result(timeout=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise OpsError(f"cannot make {topic}: {one_line(error.args[0].str() if error.args else error)}") from None
