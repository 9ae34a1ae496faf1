"""Notices records that are missing: what retention removed before it was archived is gone for good, and is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from services.kafka_archive.failure_recorder import FailureRecorder
from services.kafka_archive.metrics import Metrics
from services.kafka_archive.partition_buffer import PartitionBuffer

_REQUEST_S = 10.0


class OffsetGapDetector:
    """Compares each offset with the one that should come."""

    def __init__(self, client: Any, metrics: Metrics, problems: FailureRecorder, again: Callable[[str], None]) -> None:
        """Ask ``client``; ``again`` is told a topic whose offsets began again."""
        self._client, self._metrics, self._problems, self._again = client, metrics, problems, again

    def begin(self, buffers: Iterable[PartitionBuffer]) -> None:
        """Find out what should come first, where the brokers were not asked yet: what the group has committed."""
        places_by_key = {buffer.key: buffer for buffer in buffers if not buffer.committed_known}
        for buffer in places_by_key.values():
            buffer.committed_known = True
        try:
            partitions = self._client.committed([TopicPartition(*key) for key in places_by_key], timeout=_REQUEST_S)
        except KafkaException as error:
            self._problems.failed("kafka", f"where the group was is not known, so gaps may go unseen: {text(error)}")
            return
        for partition in partitions:
            if partition.error is None and partition.offset >= 0:
                places_by_key[partition.topic, partition.partition].expected = partition.offset

    def check(self, buffer: PartitionBuffer, offset: int) -> None:
        """Check the offset of the next record, before it is taken."""
        expected, buffer.expected = buffer.expected, offset + 1
        if expected is None or offset == expected:
            return
        # Names of objects say what they hold from where to where.
        buffer.close()
        where = f"{buffer.topic}[{buffer.partition}]"
        if offset < expected:
            self._problems.log(f"{where} begins again at {offset}, after {expected - 1}: it was made again, or cut off")
            self._again(buffer.topic)
            return
        gone = max(0, min(self._low(buffer, offset), offset) - expected)
        if gone:
            self._metrics.gaps.labels(buffer.topic).inc(gone)
            self._problems.log(f"{where}: {gone} records from {expected} on are gone for good: retention was faster")
        if offset - expected > gone:
            self._metrics.skipped.labels(buffer.topic).inc(offset - expected - gone)

    def _low(self, buffer: PartitionBuffer, offset: int) -> int:
        """First offset that the brokers still have; ``offset`` when they do not say."""
        try:
            watermark_offsets = self._client.get_watermark_offsets(TopicPartition(*buffer.key), timeout=_REQUEST_S)
        except KafkaException:
            return offset
        return int(watermark_offsets[0]) if watermark_offsets else offset


def text(error: KafkaException) -> str:
    """What an error of the client says, in one line."""
    cause = error.args[0] if error.args else error
    return str(cause.str()) if isinstance(cause, KafkaError) else str(cause)
