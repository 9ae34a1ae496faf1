"""The exporter polls a real object storage: it lists what comes after a key, and folders, as S3 says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.backup.manifest import RunSummary, RunWriter
from services.backup_exporter.poller import Archive, BackupBucket, Blocks, Runs, first_ulid
from services.kafka_archive.segments import Name
from services.runtime.settings import Storage
from tests.config.storage_process import StorageProcess, storage_process
from tests.unit.backups.stubs import RECIPIENTS

TOPIC_ID = "aaaaaaaaaaaaaaaaaaaaaa"
NOW = datetime(2026, 11, 25, 15, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("storage")) as process:
        yield process


def bucket(running: StorageProcess, prefix: str) -> BackupBucket:
    place = running.place(prefix)
    return BackupBucket(
        Storage(
            endpoint=place.endpoint,
            region=place.region,
            bucket=place.bucket,
            prefix=place.prefix,
            access_key_id_file=place.access_key_id_file,
            secret_access_key_file=place.secret_access_key_file,
            ca_file=place.ca_file,
        )
    )


def test_runs_are_whole_once_their_manifest_is_there(running: StorageProcess) -> None:
    runs = Runs(bucket(running, "runs/"), print)
    with running.store("runs/") as store:
        target = RunWriter(store, "database", RECIPIENTS, NOW)
        target.add_chunks("grafana.dump", [bytes(100_000)])
        assert runs.poll("database").newest is None
        manifest = target.finish(RunSummary(program="test 1", counts={}), platform="obs", region="one")
    held = runs.poll("database")
    assert (held.newest, held.runs, held.damaged) == (manifest, 1, ())


def test_segments_are_read_from_the_last_one_on_over_pages_and_partitions(running: StorageProcess) -> None:
    archive = Archive(bucket(running, "kept/"), lambda: None)
    assert archive.poll() == {}
    with running.store("kept/") as store:

        def put(partition: int, first: int, last: int) -> None:
            name = Name(topic="telemetry-logs", partition=partition, first=first, last=last, topic_id=TOPIC_ID)
            store.put(name.key, b"x" * 10)

        for number in range(1020):
            put(0, 10 * number, 10 * number + 9)
        put(10, 0, 9)
        seen = archive.poll()["telemetry-logs"]
        assert (seen.segments, seen.bytes, seen.missing) == (1021, 10210, 0)
        put(0, 10_200, 10_209)
        put(0, 10_220, 10_229)
        put(10, 10, 19)
    seen = archive.poll()["telemetry-logs"]
    assert (seen.segments, seen.bytes, seen.missing) == (1024, 10240, 10)


def test_blocks_are_found_from_a_time_on(running: StorageProcess) -> None:
    blocks = Blocks(bucket(running, "metrics/"), {"primary": {"prometheus_replica": "primary"}}, lambda: None)
    assert blocks.poll() == {"primary": None}
    with running.store("metrics/") as store:

        def put(written_at: datetime, end: datetime) -> None:
            ulid = first_ulid(int(written_at.timestamp() * 1000)) + 16 * "0"
            store.put(f"{ulid}/index", b"x")
            store.put(f"{ulid}/chunks/000001", b"x")
            meta = {"maxTime": int(end.timestamp() * 1000), "thanos": {"labels": {"prometheus_replica": "primary"}}}
            store.put(f"{ulid}/meta.json", json.dumps(meta).encode())

        for hours in range(6):
            put(NOW - hours * HOUR, NOW - (hours + 1) * HOUR)
        assert blocks.poll() == {"primary": (NOW - HOUR).timestamp()}
        put(NOW + HOUR, NOW)
    assert blocks.poll() == {"primary": NOW.timestamp()}
