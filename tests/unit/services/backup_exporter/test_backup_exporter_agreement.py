"""The backup exporter sees what the backup program and the archive really store: all against one object storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from services import backup as backup_settings
from services.backup import store as backup_store
from services.backup.manifest import RunSummary, RunWriter
from services.backup_exporter import KINDS
from services.backup_exporter.poller import Archive, BackupBucket, Runs
from services.kafka_archive.segments import Record, Segment
from services.runtime.settings import WritableStorageSettings
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import Storage
from tests.unit.services.backup_exporter.stored import START, TOPIC_ID, content, settings


@pytest.fixture
def fake_storage(tmp_path: Path) -> Iterator[Storage]:
    with report_server_fakes.storage(tmp_path) as running:
        yield running


@pytest.fixture
def recipient() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


def store(fake_storage: Storage) -> backup_store.Store:
    chosen = WritableStorageSettings.parse(content(fake_storage.folder, fake_storage.endpoint)["storage"]).place
    return backup_store.Store(chosen, login=("key", "secret"))


def test_a_run_of_the_backup_program_is_whole_once_it_is_finished(fake_storage: Storage, recipient: str) -> None:
    runs = Runs(BackupBucket(settings(fake_storage).storage), print)
    target = RunWriter(store(fake_storage), "kafka-metadata", [recipient], START)
    target.add_json("topics.json", [{"name": "alerts-raw"}])
    target.add_chunks("users.json", [b"[]", b"\n"])
    assert runs.poll("kafka-metadata").newest is None
    manifest = target.finish(RunSummary(program="test 1", counts={"topics": 1}), platform="obs", region="one")
    held = runs.poll("kafka-metadata")
    assert (held.newest, held.runs, held.damaged) == (manifest, 1, ())


def test_segments_of_the_archive_are_counted_by_their_keys(fake_storage: Storage, recipient: str) -> None:
    with_gap, size = ((0, 1, 2), (5, 6)), 0
    for offsets in with_gap:
        segment = Segment("alerts-raw", 3)
        for offset in offsets:
            segment.add(Record(offset, 1_700_000_000_000, 1, None, b"x", ()))
        encrypted = segment.encrypt(TOPIC_ID, [recipient])
        store(fake_storage).put(encrypted.name.key, encrypted.content, metadata=encrypted.metadata)
        size += len(encrypted.content)
    seen = Archive(BackupBucket(settings(fake_storage).storage), lambda: None).poll()["alerts-raw"]
    assert (seen.segments, seen.bytes, seen.missing) == (2, size, 2)


def test_every_kind_that_the_program_makes_is_looked_for() -> None:
    assert set(backup_settings.KINDS) < set(KINDS)
