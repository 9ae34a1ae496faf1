"""The archive with a real broker and a real object storage: killed and cut off, and what a restore brings back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from confluent_kafka import Consumer

from services.backup import BackupError
from services.backup.store import Store
from services.kafka_archive import KafkaArchiveSettings
from services.kafka_archive.archiver import Archiver
from services.kafka_archive.metrics import Metrics
from services.kafka_archive.upload_pool import TopicIds, UploadPool
from tests.config.alertmanager_line import State
from tests.config.kafka_archive_process import MEBIBYTE, Harness, Program, Sender, archive_harness
from tests.config.servers import eventually


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with archive_harness(tmp_path_factory.mktemp("archive")) as running_world:
        yield running_world


def stored(program: Program, objects: int) -> bool:
    return program.value("stored_objects_total") > objects


def test_a_killed_archive_brings_back_every_acknowledged_record_exactly_once(harness: Harness) -> None:
    topic = "killed"
    harness.make(topic)
    with Sender(harness, topic, pause_s=0.04) as sender:
        for repetition in range(2):
            with harness.program(f"killed-{repetition}", topic, segment_records=150) as program:
                eventually(partial(stored, program, 3), 60, "something is stored")
                program.kill()
        time.sleep(1)
        eventually(lambda: len(sender.confirmed) > 2000, 60, "more than 2000 records are confirmed")
    with harness.program("after", topic) as program:
        eventually(lambda: harness.all_stored(topic), 90, "all is stored")
        assert program.ends(30)[0] == 0
    assert len(sender.confirmed) > 2000
    archived_records = harness.archived(topic)
    assert {
        (number, record.offset): record[3:] for number, kept in archived_records.items() for record in kept
    } == sender.confirmed
    assert harness.compare(topic, by_offset=True).same

    harness.make("copy")
    done = harness.restore(topic, into="copy")
    assert sum(done.records.values()) == len(sender.confirmed)
    assert done.records == {number: len(kept) for number, kept in archived_records.items()}
    assert done.holes == ()
    result = harness.compare(topic, live="copy")
    assert result.same, result.told
    assert result.equal == Counter(done.records)
    with pytest.raises(BackupError, match="topic copy is not empty: partition"):
        harness.restore(topic, into="copy")
    print(f"archive: {len(sender.confirmed)} records, killed twice, {done.doubled} stored twice, each restored once")


def test_what_is_stored_twice_is_restored_once(harness: Harness) -> None:
    topic = "killed"
    settings, metrics = KafkaArchiveSettings.parse(harness.content(topic, segment_records=77)), Metrics([topic])
    store = Store(settings.storage.place)
    ids = TopicIds(harness.options)
    pool = UploadPool(lambda: store, ids.of, settings.recipients)
    again = Archiver(settings, pool, ids, metrics, print, lambda given: Consumer(given | {"group.id": "again"}))
    ends = sum((harness.end(topic) or {}).values())
    deadline, read = time.monotonic() + 60, 0
    while read < ends and time.monotonic() < deadline:
        read += again.turn()
    assert again.finish()
    assert read == ends
    harness.make("once")
    done = harness.restore(topic, into="once")
    assert done.doubled >= ends
    assert sum(done.records.values()) == ends
    assert harness.compare(topic, live="once").same


def test_a_storage_that_is_away_for_20_seconds_loses_nothing_and_memory_stays_bounded(harness: Harness) -> None:
    topic = "away"
    harness.make(topic)
    limits = {"memory_bytes": 8 * MEBIBYTE, "segment_bytes": MEBIBYTE}
    with harness.program("away", topic, **limits) as program:
        [member] = harness.members()
        with Sender(harness, topic, pause_s=0.035, size=20_000) as sender:
            eventually(lambda: program.value("stored_objects_total") > 3, 30, "something is stored")
            harness.line.set(State.REFUSED)
            away = time.monotonic() + 20
            seen = [(0.0, 0.0)]
            while time.monotonic() < away:
                seen.append((program.value("waiting_bytes"), program.value("paused")))
                time.sleep(1)
            assert program.value("failed_stores_total") > 0
            harness.line.set(State.WHOLE)
            eventually(lambda: program.value("paused") == 0, 60, "it reads again")
        eventually(lambda: harness.all_stored(topic), 60, "all is stored")
        assert harness.members() == [member], "it stayed in its group"
        assert program.value("paused") == 0
        assert max(paused for _, paused in seen) == 1, "the memory was full"
        assert max(size for size, _ in seen) < limits["memory_bytes"] + 3 * MEBIBYTE
        assert program.value('gap_records_total{topic="away"}') == 0
        assert program.value('skipped_offsets_total{topic="away"}') == 0
        assert program.ends(30)[0] == 0
    archived_records = harness.archived(topic)
    assert {
        (number, record.offset): record[3:] for number, kept in archived_records.items() for record in kept
    } == sender.confirmed
    assert "begins again" not in program.log.read_text()
    assert "storage: all is well again" in program.log.read_text()
