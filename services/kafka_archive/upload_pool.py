"""Threads that encrypt segments and store them. Each attempt is one; whoever asks decides when to try again."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from services.backup.checks import secret
from services.backup.errors import BackupError, one_line
from services.backup.store import Store
from services.kafka_archive.segments import Segment
from services.runtime.settings import SettingsError
from services.runtime.storage import Storage

WORKERS = 4
_REQUEST_S = 10.0
_URL_SAFE = str.maketrans("+/", "-_", "=")


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
