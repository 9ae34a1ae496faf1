"""Encrypts segments and stores them, in threads: which one is next, and when again after a failure.

An attempt is one; after a failure a segment is tried again without end, with longer and longer pauses.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from services.backup import BackupError
from services.backup.store import Store
from services.kafka_archive.metrics import FailureRecorder, Metrics
from services.kafka_archive.segments import Segment
from services.runtime import one_line
from services.runtime.settings import SettingsError, Storage, secret

WORKERS = 4
_REQUEST_S = 10.0
_URL_SAFE = str.maketrans("+/", "-_", "=")
_PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of an attempt: ``problem`` is empty when the object is stored, ``size`` its bytes."""

    segment: Segment
    size: int = 0
    problem: str = ""


class Bucket:
    """The object storage; the files with its key are read again for each use, so that a new one counts."""

    def __init__(self, storage: Storage) -> None:
        """Get ready.

        Raises:
            BackupError: A file cannot be read.
        """
        self._storage = storage
        self._lock = threading.Lock()
        self._login = ("", "")
        self._made: Store | None = None
        self.store()

    def store(self) -> Store:
        """The storage with the key of now.

        Raises:
            BackupError: A file cannot be read.
        """
        storage = self._storage
        try:
            login = secret(storage.access_key_id_file), secret(storage.secret_access_key_file)
        except SettingsError as error:
            raise BackupError(str(error)) from None
        with self._lock:
            if self._made is None or self._login != login:
                self._made, self._login = Store(storage, login=login), login
            return self._made


class TopicIds:
    """Kafka's own ids of topics; a topic that is made again has another."""

    def __init__(self, options: dict[str, Any], connect: Callable[..., Any] = AdminClient) -> None:
        """Ask with a client of these librdkafka settings, which ``connect`` makes."""
        self._options, self._connect = options, connect
        self._known: dict[str, str] = {}

    def forget(self, topic: str) -> None:
        """Ask again at the next time."""
        self._known.pop(topic, None)

    def of(self, topic: str) -> str:
        """The id, 22 letters.

        Raises:
            BackupError: The brokers do not tell.
        """
        topic_id = self._known.get(topic)
        if topic_id is None:
            client = self._connect({**self._options, "log_level": 2})
            try:
                answers = client.describe_topics(TopicCollection([topic]), request_timeout=_REQUEST_S)
                # As Kafka's own tools write it: this client has the two other signs of base64, and one is a slash.
                topic_id = str(answers[topic].result(timeout=2 * _REQUEST_S).topic_id).translate(_URL_SAFE)
            except (KafkaException, TimeoutError) as error:
                raise BackupError(f"the brokers do not tell the id of {topic}: {one_line(error)}") from None
            self._known[topic] = topic_id
        return topic_id


class UploadPool:
    """Attempts, each in one of the threads."""

    def __init__(
        self,
        bucket: Callable[[], Store],
        topic_id: Callable[[str], str],
        recipients: Sequence[str],
        workers: int = WORKERS,
    ) -> None:
        """Store in what ``bucket`` gives, under the topic's id, encrypted for the recipients."""
        self._bucket, self._topic_id, self._recipients = bucket, topic_id, recipients
        self._jobs: queue.SimpleQueue[Segment] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Result] = queue.SimpleQueue()
        # Daemons: a storage that does not answer must not keep the program from ending.
        for number in range(workers):
            threading.Thread(target=self._work, name=f"store-{number}", daemon=True).start()

    def submit(self, segment: Segment) -> None:
        """Let a segment be stored; nobody else may touch it until its result is there."""
        self._jobs.put(segment)

    def results(self, wait_s: float = 0.0) -> list[Result]:
        """What ended; waits for the first one so long."""
        results: list[Result] = []
        try:
            results.append(self._done.get(timeout=wait_s) if wait_s > 0 else self._done.get_nowait())
            while True:
                results.append(self._done.get_nowait())
        except queue.Empty:
            return results

    def _work(self) -> None:
        while True:
            segment = self._jobs.get()
            try:
                self._done.put(Result(segment=segment, size=self._store(segment)))
            except BackupError as error:
                self._done.put(Result(segment=segment, problem=one_line(error)))
            except Exception as error:
                # Whatever it is, the segment must come back: it is tried again, and seen in the metrics.
                self._done.put(Result(segment=segment, problem=f"{type(error).__name__}: {one_line(error)}"))

    def _store(self, segment: Segment) -> int:
        encrypted = segment.encrypt(self._topic_id(segment.topic), self._recipients)
        self._bucket().put(encrypted.name.key, encrypted.content, metadata=encrypted.metadata)
        return len(encrypted.content)


class PartitionBuffer:
    """One partition.

    Attributes:
        topic: Its topic.
        partition: Its number.
        committed_known: Whether the brokers were asked where the group was before.
        expected: Offset of the next record; None where nothing was committed or read yet.
        open: The segment that grows.
        closed: Those that wait for the storage, in order.
        uploading: Whether the first of them is in a thread of `UploadPool`.
        stored: Offset behind everything that is stored; -1 for nothing yet.
        committed: Offset of the last commit that was sent, and not refused.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.committed_known = False
        self.expected: int | None = None
        self.open: Segment | None = None
        self.closed: deque[Segment] = deque()
        self.uploading = False
        self.stored = self.committed = -1

    @property
    def key(self) -> tuple[str, int]:
        """Topic and number."""
        return self.topic, self.partition

    def segments(self) -> Iterable[Segment]:
        """All that are in memory, the oldest first."""
        yield from self.closed
        if self.open is not None:
            yield self.open

    def close(self) -> None:
        """Let no more come into the segment that grows."""
        if self.open is not None:
            self.closed.append(self.open)
            self.open = None


class UploadScheduler:
    """Asks the threads of `UploadPool`; of a buffer one segment at a time, so that they are stored in order."""

    def __init__(self, pool: UploadPool, metrics: Metrics, problems: FailureRecorder) -> None:
        self._pool, self._metrics, self._problems = pool, metrics, problems
        self._busy = self._failed_in_row = 0
        self._retry_at = 0.0

    def submit(self, buffers: Iterable[PartitionBuffer]) -> None:
        """Let the first segments of buffers be stored, the oldest first; one at a time while the storage fails."""
        if time.monotonic() < self._retry_at:
            return
        free = (1 if self._failed_in_row else WORKERS) - self._busy
        due = [buffer for buffer in buffers if buffer.closed and not buffer.uploading] if free > 0 else []
        for buffer in sorted(due, key=lambda partition_buffer: partition_buffer.closed[0].opened)[:free]:
            buffer.uploading = True
            self._busy += 1
            self._pool.submit(buffer.closed[0])

    def collect(self, buffers: Mapping[tuple[str, int], PartitionBuffer], wait_s: float = 0.0) -> None:
        """Take note of attempts that ended; waits for the first one so long."""
        for result in self._pool.results(wait_s):
            self._busy -= 1
            segment = result.segment
            buffer = buffers.get((segment.topic, segment.partition))
            # A buffer may have been lost, and have come back, since the segment was begun.
            mine = buffer is not None and bool(buffer.closed) and buffer.closed[0] is segment
            if buffer is not None and mine:
                buffer.uploading = False
            if result.problem:
                self._again(result.problem)
                continue
            self._failed_in_row, self._retry_at = 0, 0.0
            self._problems.recovered("storage")
            self._count(result)
            if buffer is not None and mine:
                buffer.stored = buffer.closed.popleft().last + 1

    def _again(self, problem: str) -> None:
        self._retry_at = time.monotonic() + _PAUSES_S[min(self._failed_in_row, len(_PAUSES_S) - 1)]
        self._failed_in_row += 1
        self._metrics.failed.inc()
        self._problems.failed("storage", problem)

    def _count(self, result: Result) -> None:
        segment, metrics = result.segment, self._metrics
        metrics.objects.inc()
        metrics.records.labels(segment.topic).inc(segment.records)
        metrics.plain.labels(segment.topic).inc(segment.plain)
        metrics.stored_bytes.labels(segment.topic).inc(result.size)
        metrics.last.labels(segment.topic).set_to_current_time()
