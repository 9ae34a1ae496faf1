"""The threads that store, and the hourly removal of what is too old."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from services.backup import BackupError
from services.kafka_archive import KafkaArchiveSettings, segments
from services.kafka_archive.segments import SHA256, Segment
from services.kafka_archive.upload_pool import Bucket, Result, TopicIds, UploadPool
from tests.unit.services.kafka_archive.archive_fakes import (
    RECIPIENT,
    TOPIC,
    TOPIC_ID,
    Store,
    content,
    some,
)


def segment(*offsets: int) -> Segment:
    new_segment = Segment(TOPIC, 0)
    for record in some(*offsets):
        new_segment.add(record)
    return new_segment


def ended(pool: UploadPool) -> Result:
    [stored_result] = pool.results(wait_s=10)
    return stored_result


def test_a_segment_is_encrypted_and_stored_under_the_id_of_its_topic() -> None:
    store: Any = Store()
    pool = UploadPool(lambda: store, lambda _topic: TOPIC_ID, [RECIPIENT], workers=1)
    pool.submit(segment(3, 4))
    result = ended(pool)
    [(key, (encrypted, metadata, _))] = store.held.items()
    assert result.problem == ""
    assert result.size == len(encrypted)
    assert segments.parse(key) == segments.Name(TOPIC, 0, 3, 4, TOPIC_ID)
    assert len(metadata[SHA256]) == 64


@pytest.mark.parametrize("error", [BackupError("away"), RuntimeError("unforeseen"), MemoryError()])
def test_whatever_goes_wrong_the_segment_comes_back_and_can_be_stored_later(error: Exception) -> None:
    store: Any = Store()
    answers = [error]

    def bucket() -> Any:
        if answers:
            raise answers.pop()
        return store

    pool = UploadPool(bucket, lambda _topic: TOPIC_ID, [RECIPIENT], workers=1)
    failing_segment = segment(3)
    pool.submit(failing_segment)
    result = ended(pool)
    assert result.segment is failing_segment
    assert result.problem
    pool.submit(failing_segment)
    assert ended(pool).problem == ""
    assert len(store.held) == 1


def test_results_are_not_waited_for_without_end() -> None:
    pool = UploadPool(Store, lambda _topic: TOPIC_ID, [RECIPIENT], workers=1)  # type: ignore[arg-type,return-value]
    began = time.monotonic()
    assert pool.results() == []
    assert pool.results(wait_s=0.05) == []
    assert time.monotonic() - began < 60


class Admin:
    """Answers for topics."""

    def __init__(self) -> None:
        self.topics, self.problem, self.id = 0, None, TOPIC_ID

    def __call__(self, _options: Any) -> Admin:
        return self

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Future[Any]]:
        assert request_timeout > 0
        self.topics += 1
        answer: Future[Any] = Future()
        if self.problem is not None:
            answer.set_exception(self.problem)
        else:
            answer.set_result(type("Description", (), {"topic_id": self.id}))
        return {topics.topic_names[0]: answer} if hasattr(topics, "topic_names") else {TOPIC: answer}


def test_the_id_of_a_topic_is_asked_once_until_it_is_forgotten() -> None:
    admin = Admin()
    ids = TopicIds({}, admin)
    assert {ids.of(TOPIC) for _ in range(3)} == {TOPIC_ID}
    assert admin.topics == 1
    ids.forget(TOPIC)
    ids.of(TOPIC)
    assert admin.topics == 2


def test_the_id_of_a_topic_can_be_a_part_of_a_key() -> None:
    admin: Any = Admin()
    admin.id = "ab+/AAAAAAAAAAAAAAAAAA"
    assert TopicIds({}, admin).of(TOPIC) == "ab-_AAAAAAAAAAAAAAAAAA"


def test_brokers_that_do_not_tell_the_id_are_a_problem_in_words() -> None:
    admin: Any = Admin()
    admin.problem = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(BackupError, match="the brokers do not tell the id of telemetry-logs"):
        TopicIds({}, admin).of(TOPIC)


def test_a_new_key_of_the_storage_counts_at_the_next_use(tmp_path: Path) -> None:
    bucket = Bucket(KafkaArchiveSettings.parse(content(tmp_path)).storage.place)
    first = bucket.store()
    assert bucket.store() is first
    (tmp_path / "secret").write_text("another\n")
    assert bucket.store() is not first
    (tmp_path / "secret").unlink()
    with pytest.raises(BackupError, match="secret: cannot be read"):
        bucket.store()
