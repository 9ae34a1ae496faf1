"""The loop: nothing is committed that is not stored, nothing is lost, memory is bounded, partitions come and go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from services.kafka_archive import archiver, upload_pool
from tests.unit.services.kafka_archive.archive_fakes import TOPIC, Consumer, Harness, Message


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_pool, "_PAUSES_S", (0.0,))
    monkeypatch.setattr(archiver, "_COMMIT_AGAIN_S", 0.0)
    monkeypatch.setattr(archiver, "HANDOVER_S", 0.2)


def age(harness: Harness, partition: int = 0) -> None:
    """Make the growing segment of a partition as old as one that is due."""
    open_segment = harness.archiver.buffers[TOPIC, partition].open
    assert open_segment is not None
    open_segment.opened -= 60


def test_offsets_are_committed_after_the_object_is_stored(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(4), Message(5)], [], [Message(6)]))
    harness.pool.waits = True
    harness.turns(1)
    assert harness.pool.requests == []
    age(harness)
    harness.turns(2)
    assert harness.consumer.commits == []
    harness.pool.waits = False
    harness.turns(1)
    assert harness.pool.ranges() == [(0, 4, 5)]
    assert harness.consumer.commits == [[(0, 6)]], "6 was read already, and is not stored"
    assert harness.value("records_total", topic=TOPIC) == 2
    assert harness.value("stored_objects_total") == 1
    assert harness.value("waiting_records") == 1


@pytest.mark.parametrize(
    ("more", "count", "size", "first"),
    [({"segment_records": 3}, 7, 10, [(0, 0, 2), (0, 3, 5)]), ({"segment_bytes": 65536}, 70, 2000, [(0, 0, 31)])],
)
def test_a_segment_is_closed_when_it_is_full(
    tmp_path: Path, more: dict[str, int], count: int, size: int, first: list[tuple[int, int, int]]
) -> None:
    harness = Harness(tmp_path, Consumer([Message(number, os.urandom(size)) for number in range(count)]), **more)
    harness.turns(5)
    assert harness.pool.ranges()[: len(first)] == first
    [buffer] = [buffer for buffer in harness.archiver.buffers.values() if buffer.open]
    assert buffer.open is not None
    assert buffer.open.last == count - 1


def test_a_storage_that_is_away_is_tried_without_end_and_nothing_is_committed_or_lost(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0), Message(1)]), segment_records=1)
    harness.pool.problem = "cannot be reached"
    harness.turns(50)
    assert harness.pool.attempts >= 50
    assert harness.consumer.commits == []
    assert harness.value("failed_stores_total") == harness.pool.attempts
    assert harness.value("failures_total", stage="storage") == harness.pool.attempts
    assert harness.value("waiting_records") == 2
    harness.pool.problem = ""
    harness.turns(3)
    assert harness.pool.ranges() == [(0, 0, 0), (0, 1, 1)]
    assert harness.consumer.commits[-1] == [(0, 2)]
    told = [line for line in harness.log if line.startswith("storage")]
    assert told == ["storage: cannot be reached", "storage: all is well again"]


def test_while_the_storage_fails_one_attempt_at_a_time_is_enough(tmp_path: Path) -> None:
    batch = [Message(0, partition=partition) for partition in range(8)]
    harness = Harness(tmp_path, Consumer(batch, partitions=8), segment_records=1)
    harness.pool.waits = True
    harness.turns(1)
    assert len(harness.pool.requests) == 4
    harness.pool.waits, harness.pool.problem = False, "away"
    harness.turns(1)
    before = harness.pool.attempts
    harness.turns(1)
    assert harness.pool.attempts == before + 1


def test_the_oldest_segment_is_stored_first(tmp_path: Path) -> None:
    batch = [Message(0, partition=partition) for partition in range(8)]
    harness = Harness(tmp_path, Consumer(batch, partitions=8))
    harness.pool.waits = True
    harness.turns(1)
    age(harness, 7)
    harness.turns(1)
    for partition in range(7):
        age(harness, partition)
    harness.turns(1)
    assert harness.pool.requests[0].partition == 7
    assert len(harness.pool.requests) == 4


def test_segments_of_a_partition_are_stored_one_after_the_other(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(number) for number in range(4)]), segment_records=1)
    harness.pool.waits = True
    harness.turns(3)
    assert [segment.first for segment in harness.pool.requests] == [0]


def test_a_full_memory_pauses_reading_until_there_is_room(tmp_path: Path) -> None:
    big = [[Message(number, os.urandom(900_000)) for number in range(start, start + 5)] for start in range(0, 40, 5)]
    harness = Harness(tmp_path, Consumer(*big), memory_bytes=8 * 2**20, segment_bytes=2 * 2**20)
    harness.pool.problem = "away"
    harness.turns(2)
    assert harness.consumer.paused == {0, 1}
    assert harness.value("paused") == 1
    left = len(harness.consumer.batches)
    harness.consumer.batches.clear()
    harness.turns(3)
    assert harness.consumer.most[-1] == 1, "it goes on to poll, for its buffer in the group"
    assert left > 0
    harness.consumer.assign(2)
    harness.turns(1)
    assert harness.consumer.paused == {0, 1, 2}, "a partition that comes meanwhile is paused too"
    harness.pool.problem = ""
    harness.turns(8)
    assert harness.consumer.paused == set()
    assert harness.value("paused") == 0


@pytest.mark.parametrize("gone", ["revoke", "lose"])
@pytest.mark.parametrize("turns_before_it_returns", [0, 8])
def test_a_partition_that_went_while_it_was_paused_is_read_again_when_it_returns(
    tmp_path: Path, gone: str, turns_before_it_returns: int
) -> None:
    big = [Message(number, os.urandom(900_000)) for number in range(10)]
    harness = Harness(tmp_path, Consumer(big), memory_bytes=8 * 2**20, segment_bytes=2 * 2**20)
    harness.pool.problem = "away"
    harness.turns(1)
    assert harness.consumer.paused == {0, 1}
    getattr(harness.consumer, gone)(1)
    harness.turns(1)
    harness.pool.problem = ""
    harness.turns(turns_before_it_returns)
    harness.consumer.assign(1)
    harness.turns(max(1, 8 - turns_before_it_returns))
    assert harness.consumer.paused == set(), "the client keeps the mark of a partition that goes and returns"
    assert harness.value("paused") == 0


def test_many_small_segments_do_not_fill_the_memory(tmp_path: Path) -> None:
    batch = [Message(0, os.urandom(700_000), partition=partition) for partition in range(8)]
    harness = Harness(tmp_path, Consumer(batch, partitions=8), memory_bytes=8 * 2**20, segment_bytes=4 * 2**20)
    harness.turns(2)
    assert harness.pool.ranges(), "the largest are closed before they are full or old"
    assert harness.value("waiting_bytes") <= 4 * 2**20
    assert harness.consumer.paused == set()


def test_no_more_is_read_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0, b"x" * 3_000_000)]), memory_bytes=16 * 2**20)
    harness.turns(2)
    assert harness.consumer.most[0] == 16
    assert harness.consumer.most[1] <= 5


def test_partitions_that_are_given_back_are_stored_and_committed_before(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0), Message(1), Message(7, partition=1)]))
    harness.turns(1)
    harness.consumer.revoke(1)
    assert harness.pool.ranges() == [(1, 7, 7)]
    assert harness.consumer.sync_commits == [[(1, 8)]]
    assert set(harness.archiver.buffers) == {(TOPIC, 0)}


def test_lost_partitions_are_let_go_without_a_commit(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0), Message(7, partition=1)], [Message(8, partition=1)]))
    harness.turns(1)
    harness.consumer.lose(0, 1)
    harness.turns(1)
    assert harness.archiver.buffers == {}
    assert harness.consumer.commits == harness.consumer.sync_commits == []
    assert harness.value("failures_total", stage="kafka") == 1


def test_an_attempt_that_ends_after_its_partition_went_commits_nothing(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0)], [Message(0)]), segment_records=1)
    harness.pool.waits = True
    harness.turns(1)
    harness.consumer.lose(0)
    harness.consumer.assign(0)
    harness.turns(1)
    harness.pool.waits = False
    harness.turns(3)
    assert harness.consumer.commits == [[(0, 1)]], "of the second reading only"


def test_at_the_end_everything_is_stored_and_committed(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0), Message(1), Message(7, partition=1)]))
    harness.turns(1)
    assert harness.archiver.finish() is True
    assert sorted(harness.pool.ranges()) == [(0, 0, 1), (1, 7, 7)]
    assert harness.consumer.sync_commits == [[(0, 2), (1, 8)]]
    assert harness.consumer.closed


def test_at_the_end_a_storage_that_is_away_is_not_waited_for_without_end(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0)]))
    harness.pool.problem = "away"
    harness.turns(1)
    assert harness.archiver.finish() is False
    assert harness.consumer.sync_commits == []
    assert harness.consumer.closed
    assert "1 records are not stored yet" in harness.log[-1]


def test_a_commit_that_is_refused_is_sent_again(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0)]), segment_records=1)
    harness.consumer.commit_problem = KafkaError(KafkaError.REQUEST_TIMED_OUT)
    harness.turns(2)
    harness.consumer.commit_problem = None
    harness.turns(2)
    assert harness.consumer.commits[-1] == [(0, 1)]
    assert len(harness.consumer.commits) >= 2
    harness.turns(2)
    assert len(harness.pool.stored) == 1


def test_an_error_beside_records_loses_none_of_them(tmp_path: Path) -> None:
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    harness = Harness(tmp_path, Consumer([Message(0), Message(0, error=error), Message(1)]))
    harness.turns(1)
    assert harness.value("waiting_records") == 2
    assert harness.value("failures_total", stage="kafka") == 1


def test_a_fatal_error_ends_the_program(tmp_path: Path) -> None:
    error = KafkaError(KafkaError._FATAL, "fenced", fatal=True)
    harness = Harness(tmp_path, Consumer([Message(0, error=error)]))
    with pytest.raises(KafkaException):
        harness.archiver.turn()


def test_a_broker_that_is_away_is_told_once_however_often_the_client_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(tmp_path, Consumer([], [Message(0)], [Message(1)]))
    harness.turns(1)
    for number in range(50):
        reason = f"kafka-{number % 3}:9092: Connect failed: Connection refused (after {number}ms in state CONNECT)"
        harness.consumer.options["error_cb"](KafkaError(KafkaError._TRANSPORT, reason))
        harness.consumer.options["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN, "3/3 brokers are down"))
    harness.turns(1)
    told = [line for line in harness.log if line.startswith("kafka:")]
    assert told == [f"kafka: kafka-{number}:9092: Connect failed: Connection refused" for number in range(3)]
    assert harness.value("failures_total", stage="kafka") == 50
    monkeypatch.setattr(archiver, "_QUIET_S", 0.0)
    harness.turns(1)
    assert harness.log[-1] == "kafka: all is well again"


def test_a_record_with_a_header_that_is_no_text_is_archived_without(tmp_path: Path) -> None:
    message = Message(3)
    message.named = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")
    harness = Harness(tmp_path, Consumer([message]), segment_records=1)
    harness.turns(2)
    assert harness.pool.ranges() == [(0, 3, 3)]
    assert harness.value("failures_total", stage="record") == 1


def test_records_that_retention_removed_are_counted(tmp_path: Path) -> None:
    consumer = Consumer([Message(50), Message(51)])
    consumer.known, consumer.lows = {0: 10}, {0: 50}
    harness = Harness(tmp_path, consumer)
    harness.turns(1)
    assert harness.value("gap_records_total", topic=TOPIC) == 40
    assert any("40 records from 10 on are gone for good" in line for line in harness.log)


def test_records_that_are_removed_while_it_waits_are_counted_and_seen_in_names(tmp_path: Path) -> None:
    consumer = Consumer([Message(0), Message(1)], [Message(9)])
    harness = Harness(tmp_path, consumer)
    harness.turns(1)
    consumer.lows = {0: 9}
    harness.turns(1)
    assert harness.value("gap_records_total", topic=TOPIC) == 7
    harness.archiver.finish()
    assert harness.pool.ranges() == [(0, 0, 1), (0, 9, 9)]


def test_marks_of_transactions_are_no_gap(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(0), Message(2)]))
    harness.turns(1)
    assert harness.value("gap_records_total", topic=TOPIC) == 0
    assert harness.value("skipped_offsets_total", topic=TOPIC) == 1


def test_a_new_group_begins_wherever_the_topic_does(tmp_path: Path) -> None:
    consumer = Consumer([Message(100)])
    consumer.lows = {0: 100}
    harness = Harness(tmp_path, consumer)
    harness.turns(1)
    assert harness.value("gap_records_total", topic=TOPIC) == 0


def test_a_topic_that_was_made_again_gets_its_new_id(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(50)], [Message(0)]))
    harness.ids.forgotten.clear()
    harness.turns(2)
    assert harness.ids.forgotten == [TOPIC]
    assert any("begins again at 0, after 50" in line for line in harness.log)
    harness.archiver.finish()
    assert harness.pool.ranges() == [(0, 50, 50), (0, 0, 0)]


def test_partitions_that_come_back_may_be_of_a_topic_that_was_made_again(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer([Message(50)]))
    harness.turns(1)
    harness.consumer.lose(0, 1)
    harness.ids.forgotten.clear()
    harness.consumer.assign(0)
    assert harness.ids.forgotten == [TOPIC]


def test_no_offset_is_committed_behind_its_back(tmp_path: Path) -> None:
    harness = Harness(tmp_path, Consumer())
    options = harness.consumer.options
    assert options["enable.auto.commit"] is False
    assert options["enable.auto.offset.store"] is False
    assert options["auto.offset.reset"] == "earliest"
    assert options["group.id"] == options["sasl.username"] == "archive"
    assert options["security.protocol"] == "sasl_ssl"


def test_it_is_alive_while_it_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness(tmp_path, Consumer())
    assert harness.archiver.alive()
    monkeypatch.setattr(archiver, "_STUCK_S", -1.0)
    assert not harness.archiver.alive()
