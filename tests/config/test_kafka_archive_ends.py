"""How the archive ends, shares partitions, notices what is missing, and removes what is old; all servers are real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from services.backup.errors import BackupError
from services.kafka_archive import names
from services.kafka_archive.metrics import Metrics
from services.kafka_archive.retention import Retention
from tests.config.alertmanager_line import State
from tests.config.kafka_archive_process import Sender, World, archive_world
from tests.config.servers import eventually, free_port

pytestmark = pytest.mark.timeout(240)
NEVER = {"flush_s": 3600}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with archive_world(tmp_path_factory.mktemp("archive-ends")) as made:
        yield made


def send(world: World, topic: str, count: int) -> None:
    sender = Sender(world, topic)
    for number in range(count):
        sender.send(number)
    sender.finish()


def test_asked_to_end_it_stores_and_commits_what_it_has(world: World) -> None:
    topic = "ends"
    world.make(topic)
    send(world, topic, 300)
    with world.program("ends", topic, **NEVER) as program:
        eventually(lambda: program.value("waiting_records") == 300, 60, "all is read")
        assert program.value("stored_objects_total") == 0
        code, seconds = program.ends(30)
    assert code == 0, program.log.read_text()
    assert world.all_stored(topic)
    assert world.compare(topic, by_offset=True).same
    print(f"archive: SIGTERM with 300 records in memory: ended after {seconds:.1f} s")


@pytest.mark.drill
@pytest.mark.parametrize("state", [State.REFUSED, State.SILENT])
def test_asked_to_end_while_the_storage_is_away_it_ends_in_time_and_loses_nothing(world: World, state: State) -> None:
    topic = f"ends-{state.name.lower()}"
    world.make(topic)
    with world.program(topic, topic) as program:
        send(world, topic, 60)
        eventually(lambda: world.all_stored(topic), 60, "the first are stored")
        world.line.set(state)
        send(world, topic, 60)
        eventually(lambda: program.value("waiting_records") == 60, 30, "the others wait")
        code, seconds = program.ends(30)
        world.line.set(State.WHOLE)
    assert code == 1
    assert seconds < 30
    assert sum(world.committed(topic).values()) == 60
    with world.program(f"{topic}-after", topic):
        eventually(lambda: world.all_stored(topic), 60, "all is stored")
    assert world.compare(topic, by_offset=True).same
    print(f"archive: SIGTERM with the storage {state.name}: ended after {seconds:.1f} s")


@pytest.mark.drill
def test_two_share_the_partitions_and_hand_over(world: World) -> None:
    topic = "shared"
    world.make(topic)
    with Sender(world, topic) as sender, world.program("one", topic) as one:
        eventually(lambda: one.value("stored_objects_total") > 2, 60, "the first stores")
        with world.program("two", topic) as two:
            eventually(lambda: two.value("stored_objects_total") > 2, 60, "the second stores")
            eventually(lambda: one.value("partitions") + two.value("partitions") == 3, 30, "they share three")
            assert one.ends(30)[0] == 0
            eventually(lambda: two.value("partitions") == 3, 60, "the second has all")
            assert two.ends(30)[0] == 0
    with world.program("three", topic) as three:
        eventually(lambda: world.all_stored(topic), 60, "all is stored")
        assert three.ends(30)[0] == 0
    found = world.archived(topic)
    assert {(number, each.offset): each[3:] for number, kept in found.items() for each in kept} == sender.confirmed


def test_what_retention_removed_before_it_was_archived_is_counted(world: World) -> None:
    topic = "gap"
    world.make(topic)
    send(world, topic, 30)
    with world.program("gap-before", topic) as program:
        eventually(lambda: world.all_stored(topic), 60, "all is stored")
        assert program.ends(30)[0] == 0
    send(world, topic, 90)
    [deleted] = world.admin.delete_records([TopicPartition(topic, 0, 25)]).values()
    assert deleted.result(30).low_watermark == 25
    with world.program("gap-after", topic) as program:
        eventually(lambda: world.all_stored(topic), 60, "all is stored")
        assert program.value('gap_records_total{topic="gap"}') == 15
        assert "15 records from 10 on are gone for good" in program.log.read_text()
    world.make("gap-copy")
    done = world.restore(topic, into="gap-copy")
    assert sum(done.records.values()) == 105
    assert [(hole.partition, hole.first, hole.last) for hole in done.holes] == [(0, 10, 24)]


def test_a_topic_that_was_lost_and_made_again_replaces_nothing(world: World) -> None:
    topic = "again"
    for count in (30, 30):
        world.make(topic)
        send(world, topic, count)
        with world.program(f"again-{len(world.logs)}", topic) as program:
            eventually(lambda: world.all_stored(topic), 60, "all is stored")
            assert program.ends(30)[0] == 0
        world.unmake(topic)
    with world.storage.store("backups/") as store:
        ids = {name.topic_id for each in store.objects(names.folder(topic)) if (name := names.parse(each.name))}
    assert len(ids) == 2
    world.make(topic)
    with pytest.raises(BackupError, match="choose by topic_id"):
        world.restore(topic)
    for number, topic_id in enumerate(sorted(ids)):
        world.make(f"again-{number}")
        assert sum(world.restore(topic, into=f"again-{number}", topic_id=topic_id).records.values()) == 30


def test_a_topic_that_is_not_there_is_told_and_waited_for(world: World) -> None:
    topic = "later"
    with world.starting("later", topic) as program:
        eventually(lambda: "later" in program.log.read_text() and "nknown topic" in program.log.read_text(), 60, "told")
        world.make(topic)
        send(world, topic, 30)
        eventually(lambda: world.all_stored(topic), 90, "it was noticed")


def test_old_segments_are_removed_from_a_real_storage(world: World) -> None:
    world.make("old")
    send(world, "old", 30)
    with world.program("old", "old", segment_records=3) as program:
        eventually(lambda: world.all_stored("old"), 60, "all is stored")
        assert program.ends(30)[0] == 0
    with world.storage.store("backups/") as store:
        retention = Retention(lambda: store, 30, Metrics([]), print)
        before = len(store.objects(names.folder("old")))
        retention.sweep(time.time())
        assert len(store.objects(names.folder("old"))) == before > 6
        retention.sweep(time.time() + 31 * 86_400)
        left = [name for each in store.objects(names.folder("old")) if (name := names.parse(each.name))]
    assert [(name.partition, name.last) for name in left] == [(0, 9), (1, 9), (2, 9)]


def test_its_metrics_need_their_password_and_no_secret_is_told(world: World) -> None:
    world.make("quiet")
    with world.program("quiet", "quiet") as program:
        assert program.get("/healthz").text == "ok\n"
        assert program.get("/metrics", "wrong").status_code == 401
        assert "kafka_archive_records_total" in program.get("/metrics").text
    secrets = [world.broker.password, world.storage.secrets.secret, world.storage.secrets.root_secret]
    told = "".join(log.read_text() for log in world.logs)
    assert "serving" in told
    assert [secret for secret in secrets if secret in told] == []


def test_a_record_of_any_time_and_size_comes_back(world: World) -> None:
    topic = "odd"
    world.make(topic, 1)
    producer = Producer(world.options | {"acks": "all", "message.max.bytes": 2_000_000})
    rows: list[dict[str, Any]] = [
        {"value": b"x" * 1_000_000, "key": b"large"},
        {"value": b"", "key": b"", "timestamp": 1},
        {"value": None, "key": None, "timestamp": 1_900_000},
        {"value": b"v", "headers": [("a", b""), ("a", None), ("", b"empty name")]},
    ]
    for row in rows:
        producer.produce(topic, partition=0, **row)
    assert producer.flush(30) == 0
    with world.program(topic, topic) as program:
        eventually(lambda: world.all_stored(topic), 60, "all is stored")
        assert program.ends(30)[0] == 0
    assert world.compare(topic, by_offset=True).same
    world.make("odd-copy", 1)
    world.restore(topic, into="odd-copy")
    assert world.compare(topic, live="odd-copy").same


def test_it_ends_in_time_while_no_broker_answers(world: World) -> None:
    content = world.content("nowhere")
    content["kafka"]["bootstrap"] = f"127.0.0.1:{free_port()}"
    with world.starting("nowhere", "nowhere", kafka=content["kafka"]) as program:
        eventually(lambda: "serving" in program.log.read_text(), 30, "it serves")
        assert program.get("/healthz").status_code == 200
        code, seconds = program.ends(30)
    assert (code, seconds < 30) == (0, True), program.log.read_text()
