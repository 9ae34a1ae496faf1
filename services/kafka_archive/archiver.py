"""The loop: read, close what is due, let it be stored, commit what is stored; memory is bounded, nothing is left out.

All of it happens in one thread, in which Kafka's client calls back too; only storing has threads of its own. While the
memory is full, partitions are paused and the brokers are still polled, so that the group stays as it is. Records that
retention removed before they were archived are gone for good, and are counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from services.kafka_archive import MEBIBYTE, KafkaArchiveSettings
from services.kafka_archive.metrics import FailureRecorder, Metrics
from services.kafka_archive.segments import Record, Segment, record
from services.kafka_archive.upload_pool import PartitionBuffer, TopicIds, UploadPool, UploadScheduler
from services.runtime.kafka import SHARED_PARTITIONS, group_consumer

_REQUEST_S = 10.0
HANDOVER_S = 20.0
"""How long partitions that are given back, at the end all of them, may take to be stored."""
_READ_S = 0.2
_BATCH = 200
_COMMIT_AGAIN_S = 1.0
_RESUME_BELOW = 0.7
_STUCK_S = 180.0
_QUIET_S = 30.0
_AFTER = re.compile(r" \(after \d+ms.*")


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


class Archiver:
    """Reading, storing and committing."""

    def __init__(
        self,
        settings: KafkaArchiveSettings,
        pool: UploadPool,
        topic_ids: TopicIds,
        metrics: Metrics,
        log: Callable[[str], None],
        connect: Callable[[dict[str, Any]], Any] = Consumer,
    ) -> None:
        """Read as ``settings`` say; ``connect`` makes the client from librdkafka settings.

        Raises:
            OSError: The password cannot be read.
            KafkaException: The client cannot be made.
        """
        self._limits, self._metrics = settings, metrics
        self._problems = FailureRecorder(metrics, log)
        self._uploads = UploadScheduler(pool, metrics, self._problems)
        self.buffers: dict[tuple[str, int], PartitionBuffer] = {}
        self._last_turn = time.monotonic()
        self._commit_at = 0.0
        self._largest = MEBIBYTE
        self._paused = False
        self._came: set[tuple[str, int]] = set()
        self._topic_ids = topic_ids
        self._client: Any = connect(options(settings) | {"on_commit": self._committed, "error_cb": self._told})
        self._gap_detector = OffsetGapDetector(self._client, metrics, self._problems, topic_ids.forget)
        self._client.subscribe(
            list(settings.kafka.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def alive(self) -> bool:
        """Tell whether the loop still turns; brokers or a storage that are away are no reason to restart."""
        return time.monotonic() - self._last_turn < _STUCK_S

    def turn(self) -> int:
        """Do once what is to be done, for about as long as one read waits; returns the number of records read.

        Raises:
            KafkaException: This client cannot go on.
        """
        self._last_turn = time.monotonic()
        read = 0
        for message in self._client.consume(self._most(), _READ_S):
            error = message.error()
            if error is None:
                read += self._take(message)
            elif error.fatal():
                raise KafkaException(error)
            else:
                self._problems.failed("kafka", f"{message.topic() or 'brokers'}: {error.str()}")
        if read:
            self._problems.recovered("kafka", _QUIET_S)
        self._close_due()
        self._uploads.submit(self.buffers.values())
        self._uploads.collect(self.buffers)
        self._commit()
        self._apply_backpressure()
        self._measure()
        return read

    def finish(self) -> bool:
        """Store and commit what is in memory, and leave the group; tells whether all of it was stored in time."""
        self._give_back(list(self.buffers.values()))
        left = sum(segment.records for buffer in self.buffers.values() for segment in buffer.segments())
        if left:
            self._problems.log(f"{left} records are not stored yet; whoever comes next reads them again")
        self.buffers.clear()
        self._client.close()
        return not left

    def _most(self) -> int:
        """How many records may come: as many as there is room for, and one where all partitions are paused."""
        if self._paused:
            return 1
        return max(1, min(_BATCH, (self._limits.memory_bytes - self._waiting()) // self._largest))

    def _take(self, message: Any) -> bool:
        buffer = self.buffers.get((message.topic(), message.partition()))
        if buffer is None:
            return False
        archive_record = self._record(message)
        if not buffer.committed_known:
            self._gap_detector.begin(self.buffers.values())
        self._gap_detector.check(buffer, archive_record.offset)
        if buffer.open is None:
            buffer.open = Segment(buffer.topic, buffer.partition)
        segment = buffer.open
        segment.add(archive_record)
        self._largest = max(self._largest, archive_record.weight)
        if segment.size >= self._limits.segment_bytes or segment.records >= self._limits.segment_records:
            buffer.close()
        return True

    def _record(self, message: Any) -> Record:
        try:
            return record(message)
        except UnicodeDecodeError:
            where = f"{message.topic()}[{message.partition()}] at {message.offset()}"
            self._problems.failed("record", f"{where}: the name of a header is no text; archived without headers")
            kind, timestamp_ms = message.timestamp()
            return Record(message.offset(), timestamp_ms, kind, message.key(), message.value(), ())

    def _close_due(self) -> None:
        now, limits = time.monotonic(), self._limits
        for buffer in self.buffers.values():
            if buffer.open is not None and now - buffer.open.opened >= limits.flush_s:
                buffer.close()
        # Small segments of many partitions may fill the memory before one of them is full.
        growing = sorted((buffer.open.size, buffer.key) for buffer in self.buffers.values() if buffer.open is not None)
        total = sum(size for size, _ in growing)
        while total > limits.memory_bytes // 2:
            size, key = growing.pop()
            self.buffers[key].close()
            total -= size

    def _commit(self) -> None:
        due = [buffer for buffer in self.buffers.values() if buffer.stored != buffer.committed]
        if not due or time.monotonic() < self._commit_at:
            return
        for buffer in due:
            buffer.committed = buffer.stored
        try:
            self._client.commit(offsets=_offsets(due), asynchronous=True)
        except KafkaException as error:
            for buffer in due:
                buffer.committed = -1
            self._commit_at = time.monotonic() + _COMMIT_AGAIN_S
            self._problems.failed("kafka", f"offsets cannot be committed: {text(error)}")

    def _committed(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            problem = error or partition.error
            buffer = self.buffers.get((partition.topic, partition.partition))
            if problem is not None and buffer is not None:
                buffer.committed = -1
                self._commit_at = time.monotonic() + _COMMIT_AGAIN_S
                self._problems.failed(
                    "kafka", f"{partition.topic}[{partition.partition}] cannot be committed: {problem.str()}"
                )

    def _told(self, error: KafkaError) -> None:
        """What the client says beside records. That none is left is no news after each of them."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._problems.failed("kafka", _AFTER.sub("", error.str()))

    def _apply_backpressure(self) -> None:
        """Pause all partitions while the memory is full, and resume them after.

        A partition that comes is brought to what the others are: the client lets one that was taken away while it was
        paused come back paused.
        """
        waiting, most = self._waiting(), self._limits.memory_bytes
        full = waiting > most * _RESUME_BELOW if self._paused else waiting >= most
        keys = self._came
        if full != self._paused:
            self._paused, keys = full, set(self.buffers)
            self._problems.log(
                "the memory is full: no more is read until the storage has taken some of it"
                if full
                else "there is room again: reading goes on"
            )
        if keys:
            change = self._client.pause if full else self._client.resume
            change([TopicPartition(*key) for key in keys])
        self._came = set()

    def _waiting(self) -> int:
        return sum(segment.size for buffer in self.buffers.values() for segment in buffer.segments())

    def _measure(self) -> None:
        metrics = self._metrics
        segments = [segment for buffer in self.buffers.values() for segment in buffer.segments()]
        oldest = min((segment.opened for segment in segments), default=None)
        metrics.waiting_records.set(sum(segment.records for segment in segments))
        metrics.waiting_bytes.set(sum(segment.size for segment in segments))
        metrics.waiting_s.set(0 if oldest is None else time.monotonic() - oldest)
        metrics.paused.set(self._paused)
        metrics.partitions.set(len(self.buffers))

    def _assigned(self, _consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            # A topic may have been deleted and made again since this process last had the partition.
            self._topic_ids.forget(partition.topic)
            buffer = PartitionBuffer(partition.topic, partition.partition)
            self.buffers[buffer.key] = buffer
            self._came.add(buffer.key)
        if partitions:
            self._problems.log(f"reading {len(self.buffers)} partitions")

    def _revoked(self, _consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        keys = [(partition.topic, partition.partition) for partition in partitions]
        self._give_back([self.buffers[key] for key in keys if key in self.buffers])
        self._drop(partitions)

    def _lost(self, _consumer: Any, partitions: Sequence[TopicPartition]) -> None:
        """Others may read them already, from what was committed last."""
        if partitions:
            self._problems.failed(
                "kafka", f"{len(partitions)} partitions went to others: the brokers missed this process"
            )
        self._drop(partitions)

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self.buffers.pop((partition.topic, partition.partition), None)
            self._came.discard((partition.topic, partition.partition))

    def _give_back(self, buffers: Sequence[PartitionBuffer]) -> None:
        """Store and commit all of these buffers, for as long as that may take."""
        deadline = time.monotonic() + HANDOVER_S
        for buffer in buffers:
            buffer.close()
        while any(buffer.closed for buffer in buffers) and time.monotonic() < deadline:
            self._last_turn = time.monotonic()
            self._uploads.submit(buffers)
            self._uploads.collect(self.buffers, _READ_S)
        done = [buffer for buffer in buffers if buffer.stored >= 0]
        if not done:
            return
        try:
            answers = self._client.commit(offsets=_offsets(done), asynchronous=False) or ()
            problems = [answer.error.str() for answer in answers if answer.error is not None]
        except KafkaException as error:
            problems = [text(error)]
        if problems:
            self._problems.failed("kafka", f"the last commit failed, so some records are stored twice: {problems[0]}")


def options(settings: KafkaArchiveSettings) -> dict[str, Any]:
    """What the client is made of.

    Raises:
        OSError: The password cannot be read.
    """
    # The client would write each attempt to connect to a broker that is away, twenty in a second.
    quiet = {"log_level": 2, "reconnect.backoff.ms": 500}
    return group_consumer(settings.kafka) | SHARED_PARTITIONS | quiet


def _offsets(buffers: Iterable[PartitionBuffer]) -> list[TopicPartition]:
    return [TopicPartition(buffer.topic, buffer.partition, buffer.stored) for buffer in buffers]
