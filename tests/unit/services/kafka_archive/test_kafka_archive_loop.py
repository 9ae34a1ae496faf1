"""The loop: nothing is committed that is not stored, nothing is lost, memory is bounded, partitions come and go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from services.kafka_archive import archiver, deposits
from tests.unit.services.kafka_archive.archive_doubles import TOPIC, Consumer, Message, World


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deposits, "_PAUSES_S", (0.0,))
    monkeypatch.setattr(archiver, "_COMMIT_AGAIN_S", 0.0)
    monkeypatch.setattr(archiver, "HANDOVER_S", 0.2)


def age(world: World, partition: int = 0) -> None:
    """Make the growing segment of a partition as old as one that is due."""
    found = world.archiver.places[TOPIC, partition].open
    assert found is not None
    found.opened -= 60


def test_offsets_are_committed_after_the_object_is_stored(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(4), Message(5)], [], [Message(6)]))
    world.storing.waits = True
    world.turns(1)
    assert world.storing.asked == []
    age(world)
    world.turns(2)
    assert world.consumer.commits == []
    world.storing.waits = False
    world.turns(1)
    assert world.storing.ranges() == [(0, 4, 5)]
    assert world.consumer.commits == [[(0, 6)]], "6 was read already, and is not stored"
    assert world.value("records_total", topic=TOPIC) == 2
    assert world.value("stored_objects_total") == 1
    assert world.value("waiting_records") == 1


@pytest.mark.parametrize(
    ("more", "count", "size", "first"),
    [({"segment_records": 3}, 7, 10, [(0, 0, 2), (0, 3, 5)]), ({"segment_bytes": 65536}, 70, 2000, [(0, 0, 31)])],
)
def test_a_segment_is_closed_when_it_is_full(
    tmp_path: Path, more: dict[str, int], count: int, size: int, first: list[tuple[int, int, int]]
) -> None:
    world = World(tmp_path, Consumer([Message(number, os.urandom(size)) for number in range(count)]), **more)
    world.turns(5)
    assert world.storing.ranges()[: len(first)] == first
    [place] = [each for each in world.archiver.places.values() if each.open]
    assert place.open is not None
    assert place.open.last == count - 1


def test_a_storage_that_is_away_is_tried_without_end_and_nothing_is_committed_or_lost(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0), Message(1)]), segment_records=1)
    world.storing.problem = "cannot be reached"
    world.turns(50)
    assert world.storing.attempts >= 50
    assert world.consumer.commits == []
    assert world.value("failed_stores_total") == world.storing.attempts
    assert world.value("failures_total", stage="storage") == world.storing.attempts
    assert world.value("waiting_records") == 2
    world.storing.problem = ""
    world.turns(3)
    assert world.storing.ranges() == [(0, 0, 0), (0, 1, 1)]
    assert world.consumer.commits[-1] == [(0, 2)]
    told = [line for line in world.log if line.startswith("storage")]
    assert told == ["storage: cannot be reached", "storage: all is well again"]


def test_while_the_storage_fails_one_attempt_at_a_time_is_enough(tmp_path: Path) -> None:
    batch = [Message(0, partition=partition) for partition in range(8)]
    world = World(tmp_path, Consumer(batch, partitions=8), segment_records=1)
    world.storing.waits = True
    world.turns(1)
    assert len(world.storing.asked) == 4
    world.storing.waits, world.storing.problem = False, "away"
    world.turns(1)
    before = world.storing.attempts
    world.turns(1)
    assert world.storing.attempts == before + 1


def test_the_oldest_segment_is_stored_first(tmp_path: Path) -> None:
    batch = [Message(0, partition=partition) for partition in range(8)]
    world = World(tmp_path, Consumer(batch, partitions=8))
    world.storing.waits = True
    world.turns(1)
    age(world, 7)
    world.turns(1)
    for partition in range(7):
        age(world, partition)
    world.turns(1)
    assert world.storing.asked[0].partition == 7
    assert len(world.storing.asked) == 4


def test_segments_of_a_partition_are_stored_one_after_the_other(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(number) for number in range(4)]), segment_records=1)
    world.storing.waits = True
    world.turns(3)
    assert [segment.first for segment in world.storing.asked] == [0]


def test_a_full_memory_pauses_reading_until_there_is_room(tmp_path: Path) -> None:
    big = [[Message(number, os.urandom(900_000)) for number in range(start, start + 5)] for start in range(0, 40, 5)]
    world = World(tmp_path, Consumer(*big), memory_bytes=8 * 2**20, segment_bytes=2 * 2**20)
    world.storing.problem = "away"
    world.turns(2)
    assert world.consumer.paused == {0, 1}
    assert world.value("paused") == 1
    left = len(world.consumer.batches)
    world.consumer.batches.clear()
    world.turns(3)
    assert world.consumer.most[-1] == 1, "it goes on to poll, for its place in the group"
    assert left > 0
    world.consumer.assign(2)
    world.turns(1)
    assert world.consumer.paused == {0, 1, 2}, "a partition that comes meanwhile is paused too"
    world.storing.problem = ""
    world.turns(8)
    assert world.consumer.paused == set()
    assert world.value("paused") == 0


def test_many_small_segments_do_not_fill_the_memory(tmp_path: Path) -> None:
    batch = [Message(0, os.urandom(700_000), partition=partition) for partition in range(8)]
    world = World(tmp_path, Consumer(batch, partitions=8), memory_bytes=8 * 2**20, segment_bytes=4 * 2**20)
    world.turns(2)
    assert world.storing.ranges(), "the largest are closed before they are full or old"
    assert world.value("waiting_bytes") <= 4 * 2**20
    assert world.consumer.paused == set()


def test_no_more_is_read_at_once_than_there_is_room_for(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0, b"x" * 3_000_000)]), memory_bytes=16 * 2**20)
    world.turns(2)
    assert world.consumer.most[0] == 16
    assert world.consumer.most[1] <= 5


def test_partitions_that_are_given_back_are_stored_and_committed_before(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0), Message(1), Message(7, partition=1)]))
    world.turns(1)
    world.consumer.revoke(1)
    assert world.storing.ranges() == [(1, 7, 7)]
    assert world.consumer.sync_commits == [[(1, 8)]]
    assert set(world.archiver.places) == {(TOPIC, 0)}


def test_lost_partitions_are_let_go_without_a_commit(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0), Message(7, partition=1)], [Message(8, partition=1)]))
    world.turns(1)
    world.consumer.lose(0, 1)
    world.turns(1)
    assert world.archiver.places == {}
    assert world.consumer.commits == world.consumer.sync_commits == []
    assert world.value("failures_total", stage="kafka") == 1


def test_an_attempt_that_ends_after_its_partition_went_commits_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0)], [Message(0)]), segment_records=1)
    world.storing.waits = True
    world.turns(1)
    world.consumer.lose(0)
    world.consumer.assign(0)
    world.turns(1)
    world.storing.waits = False
    world.turns(3)
    assert world.consumer.commits == [[(0, 1)]], "of the second reading only"


def test_at_the_end_everything_is_stored_and_committed(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0), Message(1), Message(7, partition=1)]))
    world.turns(1)
    assert world.archiver.finish() is True
    assert sorted(world.storing.ranges()) == [(0, 0, 1), (1, 7, 7)]
    assert world.consumer.sync_commits == [[(0, 2), (1, 8)]]
    assert world.consumer.closed


def test_at_the_end_a_storage_that_is_away_is_not_waited_for_without_end(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0)]))
    world.storing.problem = "away"
    world.turns(1)
    assert world.archiver.finish() is False
    assert world.consumer.sync_commits == []
    assert world.consumer.closed
    assert "1 records are not stored yet" in world.log[-1]


def test_a_commit_that_is_refused_is_sent_again(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0)]), segment_records=1)
    world.consumer.commit_problem = KafkaError(KafkaError.REQUEST_TIMED_OUT)
    world.turns(2)
    world.consumer.commit_problem = None
    world.turns(2)
    assert world.consumer.commits[-1] == [(0, 1)]
    assert len(world.consumer.commits) >= 2
    world.turns(2)
    assert len(world.storing.stored) == 1


def test_an_error_beside_records_loses_none_of_them(tmp_path: Path) -> None:
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    world = World(tmp_path, Consumer([Message(0), Message(0, error=error), Message(1)]))
    world.turns(1)
    assert world.value("waiting_records") == 2
    assert world.value("failures_total", stage="kafka") == 1


def test_a_fatal_error_ends_the_program(tmp_path: Path) -> None:
    error = KafkaError(KafkaError._FATAL, "fenced", fatal=True)
    world = World(tmp_path, Consumer([Message(0, error=error)]))
    with pytest.raises(KafkaException):
        world.archiver.turn()


def test_a_broker_that_is_away_is_told_once_however_often_the_client_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, Consumer([], [Message(0)], [Message(1)]))
    world.turns(1)
    for number in range(50):
        reason = f"kafka-{number % 3}:9092: Connect failed: Connection refused (after {number}ms in state CONNECT)"
        world.consumer.options["error_cb"](KafkaError(KafkaError._TRANSPORT, reason))
        world.consumer.options["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN, "3/3 brokers are down"))
    world.turns(1)
    told = [line for line in world.log if line.startswith("kafka:")]
    assert told == [f"kafka: kafka-{number}:9092: Connect failed: Connection refused" for number in range(3)]
    assert world.value("failures_total", stage="kafka") == 50
    monkeypatch.setattr(archiver, "_QUIET_S", 0.0)
    world.turns(1)
    assert world.log[-1] == "kafka: all is well again"


def test_a_record_with_a_header_that_is_no_text_is_archived_without(tmp_path: Path) -> None:
    message = Message(3)
    message.named = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")
    world = World(tmp_path, Consumer([message]), segment_records=1)
    world.turns(2)
    assert world.storing.ranges() == [(0, 3, 3)]
    assert world.value("failures_total", stage="record") == 1


def test_records_that_retention_removed_are_counted(tmp_path: Path) -> None:
    consumer = Consumer([Message(50), Message(51)])
    consumer.known, consumer.lows = {0: 10}, {0: 50}
    world = World(tmp_path, consumer)
    world.turns(1)
    assert world.value("gap_records_total", topic=TOPIC) == 40
    assert any("40 records from 10 on are gone for good" in line for line in world.log)


def test_records_that_are_removed_while_it_waits_are_counted_and_seen_in_names(tmp_path: Path) -> None:
    consumer = Consumer([Message(0), Message(1)], [Message(9)])
    world = World(tmp_path, consumer)
    world.turns(1)
    consumer.lows = {0: 9}
    world.turns(1)
    assert world.value("gap_records_total", topic=TOPIC) == 7
    world.archiver.finish()
    assert world.storing.ranges() == [(0, 0, 1), (0, 9, 9)]


def test_marks_of_transactions_are_no_gap(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(0), Message(2)]))
    world.turns(1)
    assert world.value("gap_records_total", topic=TOPIC) == 0
    assert world.value("skipped_offsets_total", topic=TOPIC) == 1


def test_a_new_group_begins_wherever_the_topic_does(tmp_path: Path) -> None:
    consumer = Consumer([Message(100)])
    consumer.lows = {0: 100}
    world = World(tmp_path, consumer)
    world.turns(1)
    assert world.value("gap_records_total", topic=TOPIC) == 0


def test_a_topic_that_was_made_again_gets_its_new_id(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer([Message(50)], [Message(0)]))
    world.turns(2)
    assert world.ids.forgotten == [TOPIC]
    assert any("begins again at 0, after 50" in line for line in world.log)
    world.archiver.finish()
    assert world.storing.ranges() == [(0, 50, 50), (0, 0, 0)]


def test_no_offset_is_committed_behind_its_back(tmp_path: Path) -> None:
    world = World(tmp_path, Consumer())
    options = world.consumer.options
    assert options["enable.auto.commit"] is False
    assert options["enable.auto.offset.store"] is False
    assert options["auto.offset.reset"] == "earliest"
    assert options["group.id"] == options["sasl.username"] == "archive"
    assert options["security.protocol"] == "sasl_ssl"


def test_it_is_alive_while_it_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, Consumer())
    assert world.archiver.alive()
    monkeypatch.setattr(archiver, "_STUCK_S", -1.0)
    assert not world.archiver.alive()
