"""What is too old is removed by the backup exporter: runs, unfinished uploads, segments of the archive."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.backup.manifest import manifest_key, run_name
from services.backup_exporter.retention import RUNS, SEGMENTS, UPLOADS, Retention
from services.kafka_archive.segments import Name
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import BUCKET, Storage
from tests.unit.services.backup_exporter.stored import OTHER_ID, PREFIX, TOPIC_ID, put_run, settings

DAY_S = 86_400.0
TOPIC = "telemetry-logs"


@pytest.fixture
def fake_storage(tmp_path: Path) -> Iterator[Storage]:
    with report_server_fakes.storage(tmp_path) as running:
        yield running


def put_segment(fake_storage: Storage, first: int, partition: int = 0, topic_id: str = TOPIC_ID) -> str:
    """Store a segment; returns its key."""
    name = Name(topic=TOPIC, partition=partition, topic_id=topic_id, first=first, last=first)
    fake_storage.put(name.key, b"x", PREFIX)
    return name.key


def keys(fake_storage: Storage) -> set[str]:
    """Keys below the prefix."""
    listed = fake_storage.client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX).get("Contents", ())
    return {str(stored["Key"]).removeprefix(PREFIX) for stored in listed}


def test_runs_that_are_too_old_go_and_the_newest_of_each_kind_stays(fake_storage: Storage) -> None:
    now = datetime.now(UTC)
    for days in (50, 40, 1):
        put_run(fake_storage, "database", now - timedelta(days=days), {"grafana.dump": 3})
    put_run(fake_storage, "grafana", now - timedelta(days=99), {"folders.json": 3})
    put_run(fake_storage, "pulumi-state", now - timedelta(days=3), {"state.json": 3}, whole=False)
    logged: list[str] = []
    retention = Retention(settings(fake_storage), logged.append)
    assert retention.turn(now.timestamp())
    gone = run_name(now - timedelta(days=50))
    assert logged == [
        f"database: removed {gone} and 0 unfinished uploads",
        f"pulumi-state: removed {run_name(now - timedelta(days=3))} and 0 unfinished uploads",
    ]
    left = {key for key in keys(fake_storage) if key.endswith("manifest.json")}
    assert left == {
        manifest_key("database", run_name(now - timedelta(days=40))),
        manifest_key("database", run_name(now - timedelta(days=1))),
        manifest_key("grafana", run_name(now - timedelta(days=99))),
    }
    assert (retention.removed[RUNS], retention.removed[SEGMENTS], retention.failures) == (2, 0, 0)
    assert retention.last == now.timestamp()


def test_of_a_kind_for_which_no_days_are_said_nothing_goes(fake_storage: Storage) -> None:
    now = datetime.now(UTC)
    for days in (50, 40):
        put_run(fake_storage, "search", now - timedelta(days=days), {"logs": 3})
    before = keys(fake_storage)
    keep_days = {"runs": {"database": 1}, "archive": 1}
    assert Retention(settings(fake_storage, keep_days=keep_days), print).turn(now.timestamp())
    assert keys(fake_storage) == before


def test_uploads_that_nobody_finished_are_ended(fake_storage: Storage) -> None:
    # The fake dates every one alike, in the past; tests/config/test_backup_storage.py has young ones.
    run = f"{PREFIX}database/{run_name(datetime.now(UTC))}/grafana.dump.age"
    fake_storage.client.create_multipart_upload(Bucket=BUCKET, Key=run)
    retention = Retention(settings(fake_storage), print)
    assert retention.turn(time.time())
    assert retention.removed[UPLOADS] == 1
    assert fake_storage.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_segments_that_are_too_old_go_and_the_last_one_of_a_partition_stays(fake_storage: Storage) -> None:
    stored = [put_segment(fake_storage, first) for first in range(3)]
    other = put_segment(fake_storage, 0, partition=1)
    fake_storage.put("archive/telemetry-logs/0/a-note.txt", b"x", PREFIX)
    retention = Retention(settings(fake_storage), print)
    now = time.time()
    assert retention.turn(now + 29 * DAY_S)
    assert {*stored, other} <= keys(fake_storage)
    assert retention.turn(now + 31 * DAY_S)
    assert keys(fake_storage) == {stored[-1], other, "archive/telemetry-logs/0/a-note.txt"}
    assert retention.removed[SEGMENTS] == 2


def test_of_a_topic_that_was_made_again_the_older_one_goes(fake_storage: Storage) -> None:
    put_segment(fake_storage, 100, topic_id=OTHER_ID)
    # The storage of this test tells whole seconds.
    time.sleep(1.1)
    newest = put_segment(fake_storage, 0)
    assert Retention(settings(fake_storage), print).turn(time.time() + 31 * DAY_S)
    assert keys(fake_storage) == {newest}


def test_a_storage_that_refuses_is_told_once_and_asked_again(fake_storage: Storage) -> None:
    chosen = settings(fake_storage)
    elsewhere = chosen.model_copy(update={"storage": chosen.storage.model_copy(update={"bucket": "of-nobody"})})
    logged: list[str] = []
    retention = Retention(elsewhere, logged.append)
    began = retention.last
    assert [retention.turn(began + DAY_S), retention.turn(began + DAY_S)] == [False, False]
    [line] = logged
    assert line.startswith("retention: object storage https://")
    assert line.endswith("NoSuchBucket; it is tried again every 300 s")
    assert (retention.failures, retention.last) == (2, began)


def test_it_looks_as_soon_as_it_starts_and_ends_when_asked(fake_storage: Storage) -> None:
    retention = Retention(settings(fake_storage), print)
    began = retention.last
    stop = threading.Event()
    thread = threading.Thread(target=retention.run, args=(stop,), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while retention.last == began and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join(timeout=30)
    assert (retention.last > began, thread.is_alive()) == (True, False)
