"""How the archive ends, shares partitions, notices what is missing, and removes what is old; all servers are real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from components.storage_roles import StorageRole
from services.backup import BackupError
from services.backup_exporter.poller import BackupBucket
from services.backup_exporter.retention import sweep
from services.kafka_archive import segments as names
from tests.config.alertmanager_line import State
from tests.config.kafka_archive_process import Harness, Sender, archive_harness
from tests.config.servers import eventually, free_port

pytestmark = pytest.mark.timed
NEVER = {"flush_s": 3600}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with archive_harness(tmp_path_factory.mktemp("archive-ends")) as running_world:
        yield running_world


def send(harness: Harness, topic: str, count: int) -> None:
    sender = Sender(harness, topic)
    for number in range(count):
        sender.send(number)
    sender.finish()


def test_asked_to_end_it_stores_and_commits_what_it_has(harness: Harness) -> None:
    topic = "ends"
    harness.make(topic)
    send(harness, topic, 300)
    with harness.program("ends", topic, **NEVER) as program:
        eventually(lambda: program.value("waiting_records") == 300, 60, "all is read")
        assert program.value("stored_objects_total") == 0
        code, seconds = program.ends(30)
    assert code == 0, program.log.read_text()
    assert harness.all_stored(topic)
    assert harness.compare(topic, by_offset=True).same
    print(f"archive: SIGTERM with 300 records in memory: ended after {seconds:.1f} s")


@pytest.mark.drill
@pytest.mark.parametrize("state", [State.REFUSED, State.SILENT])
def test_asked_to_end_while_the_storage_is_away_it_ends_in_time_and_loses_nothing(
    harness: Harness, state: State
) -> None:
    topic = f"ends-{state.name.lower()}"
    harness.make(topic)
    with harness.program(topic, topic) as program:
        send(harness, topic, 60)
        eventually(lambda: harness.all_stored(topic), 60, "the first are stored")
        harness.line.set(state)
        send(harness, topic, 60)
        eventually(lambda: program.value("waiting_records") == 60, 30, "the others wait")
        code, seconds = program.ends(30)
        harness.line.set(State.WHOLE)
    assert code == 1
    assert seconds < 30
    assert sum(harness.committed(topic).values()) == 60
    with harness.program(f"{topic}-after", topic):
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
    assert harness.compare(topic, by_offset=True).same
    print(f"archive: SIGTERM with the storage {state.name}: ended after {seconds:.1f} s")


@pytest.mark.drill
def test_two_share_the_partitions_and_hand_over(harness: Harness) -> None:
    topic = "shared"
    harness.make(topic)
    with Sender(harness, topic) as sender, harness.program("one", topic) as one:
        eventually(lambda: one.value("stored_objects_total") > 2, 60, "the first stores")
        with harness.program("two", topic) as two:
            eventually(lambda: two.value("stored_objects_total") > 2, 60, "the second stores")
            eventually(lambda: one.value("partitions") + two.value("partitions") == 3, 30, "they share three")
            assert one.ends(30)[0] == 0
            eventually(lambda: two.value("partitions") == 3, 60, "the second has all")
            assert two.ends(30)[0] == 0
    with harness.program("three", topic) as three:
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
        assert three.ends(30)[0] == 0
    archived_records = harness.archived(topic)
    assert {
        (number, record.offset): record[3:] for number, kept in archived_records.items() for record in kept
    } == sender.confirmed


def test_what_retention_removed_before_it_was_archived_is_counted(harness: Harness) -> None:
    topic = "gap"
    harness.make(topic)
    send(harness, topic, 30)
    with harness.program("gap-before", topic) as program:
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
        assert program.ends(30)[0] == 0
    send(harness, topic, 90)
    [deleted] = harness.admin.delete_records([TopicPartition(topic, 0, 25)]).values()
    assert deleted.result(60).low_watermark == 25
    with harness.program("gap-after", topic) as program:
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
        assert program.value('gap_records_total{topic="gap"}') == 15
        assert "15 records from 10 on are gone for good" in program.log.read_text()
    harness.make("gap-copy")
    done = harness.restore(topic, into="gap-copy")
    assert sum(done.records.values()) == 105
    assert [(hole.partition, hole.first, hole.last) for hole in done.holes] == [(0, 10, 24)]


def test_a_topic_that_was_lost_and_made_again_replaces_nothing(harness: Harness) -> None:
    topic = "again"
    for count in (30, 30):
        harness.make(topic)
        send(harness, topic, count)
        with harness.program(f"again-{len(harness.logs)}", topic) as program:
            eventually(lambda: harness.all_stored(topic), 60, "all is stored")
            assert program.ends(30)[0] == 0
        harness.unmake(topic)
    with harness.storage.store("backups/", StorageRole.OPERATOR) as store:
        ids = {
            name.topic_id
            for stored_object in store.objects(names.folder(topic))
            if (name := names.parse(stored_object.name))
        }
    assert len(ids) == 2
    harness.make(topic)
    with pytest.raises(BackupError, match="choose by topic_id"):
        harness.restore(topic)
    for number, topic_id in enumerate(sorted(ids)):
        harness.make(f"again-{number}")
        assert sum(harness.restore(topic, into=f"again-{number}", topic_id=topic_id).records.values()) == 30


def test_a_topic_that_is_made_again_meanwhile_is_archived_under_its_new_id(harness: Harness) -> None:
    topic = "meanwhile"
    harness.make(topic)
    with harness.program("meanwhile", topic) as program:
        send(harness, topic, 60)
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
        harness.unmake(topic)
        eventually(lambda: "nknown topic" in program.log.read_text(), 60, "the archive notices that it is gone")
        harness.make(topic)
        send(harness, topic, 30)
        eventually(lambda: harness.all_stored(topic), 120, "all is stored again")
    with harness.storage.store("backups/", StorageRole.OPERATOR) as store:
        keys = [name for item in store.objects(names.folder(topic)) if (name := names.parse(item.name))]
    assert len({name.topic_id for name in keys}) == 2
    harness.make("meanwhile-copy")
    [newer] = {name.topic_id for name in keys} - {min(keys, key=lambda name: -name.last).topic_id}
    assert sum(harness.restore(topic, into="meanwhile-copy", topic_id=newer).records.values()) == 30


def test_a_topic_that_is_not_there_is_told_and_waited_for(harness: Harness) -> None:
    topic = "later"
    with harness.starting("later", topic) as program:
        eventually(lambda: "later" in program.log.read_text() and "nknown topic" in program.log.read_text(), 60, "told")
        harness.make(topic)
        send(harness, topic, 30)
        eventually(lambda: harness.all_stored(topic), 90, "it was noticed")


def test_old_segments_are_removed_from_a_real_storage(harness: Harness) -> None:
    harness.make("old")
    send(harness, "old", 30)
    with harness.program("old", "old", segment_records=3) as program:
        eventually(lambda: harness.all_stored("old"), 60, "all is stored")
        assert program.ends(30)[0] == 0
    with harness.storage.store("backups/", StorageRole.BACKUP_EXPORTER) as store:
        bucket = BackupBucket(harness.storage.place("backups/", StorageRole.BACKUP_EXPORTER))
        before = len(store.objects(names.folder("old")))
        assert sweep(bucket, store, 30, time.time()) == 0
        assert len(store.objects(names.folder("old"))) == before > 6
        everything = len(store.objects(names.FOLDER))
        assert sweep(bucket, store, 30, time.time() + 31 * 86_400) == everything - len(store.objects(names.FOLDER))
        left = [
            name for stored_object in store.objects(names.folder("old")) if (name := names.parse(stored_object.name))
        ]
    assert [(name.partition, name.last) for name in left] == [(0, 9), (1, 9), (2, 9)]


def test_its_metrics_need_their_password_and_no_secret_is_told(harness: Harness) -> None:
    harness.make("quiet")
    with harness.program("quiet", "quiet") as program:
        assert program.get("/livez").text == "ok\n"
        assert program.get("/metrics", "wrong").status_code == 401
        assert "kafka_archive_records_total" in program.get("/metrics").text
    secrets = [harness.broker.password, harness.storage.secrets.secret, harness.storage.secrets.root_secret]
    told = "".join(log.read_text() for log in harness.logs)
    assert "serving" in told
    assert [secret for secret in secrets if secret in told] == []


def test_a_record_of_any_time_and_size_comes_back(harness: Harness) -> None:
    topic = "odd"
    harness.make(topic, 1)
    producer = Producer(harness.options | {"acks": "all", "message.max.bytes": 2_000_000})
    rows: list[dict[str, Any]] = [
        {"value": b"x" * 1_000_000, "key": b"large"},
        {"value": b"", "key": b"", "timestamp": 1},
        {"value": None, "key": None, "timestamp": 1_900_000},
        {"value": b"v", "headers": [("a", b""), ("a", None), ("", b"empty name")]},
    ]
    for row in rows:
        producer.produce(topic, partition=0, **row)
    assert producer.flush(60) == 0
    with harness.program(topic, topic) as program:
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
        assert program.ends(30)[0] == 0
    assert harness.compare(topic, by_offset=True).same
    harness.make("odd-copy", 1)
    harness.restore(topic, into="odd-copy")
    assert harness.compare(topic, live="odd-copy").same


def test_it_ends_in_time_while_no_broker_answers(harness: Harness) -> None:
    content = harness.content("nowhere")
    content["kafka"]["bootstrap"] = f"127.0.0.1:{free_port()}"
    with harness.starting("nowhere", "nowhere", kafka=content["kafka"]) as program:
        eventually(lambda: "serving" in program.log.read_text(), 30, "it serves")
        assert program.get("/livez").status_code == 200
        code, seconds = program.ends(30)
    assert (code, seconds < 30) == (0, True), program.log.read_text()
