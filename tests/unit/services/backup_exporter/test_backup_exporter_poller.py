"""What the backup exporter sees: whole runs, how far the archive and the blocks of metrics reach, what is missing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from components.shards import RULER_SHARD, external_labels
from services.backup.manifest import manifest_key
from services.backup_exporter import poller as poller_module
from services.backup_exporter.poller import (
    ANEW_S,
    LISTING_S,
    Archive,
    ArchiveCoverage,
    BackupBucket,
    BackupPoller,
    Blocks,
    Runs,
    first_ulid,
    made_ms,
)
from services.runtime.s3 import Bucket, Content, Object, StorageError
from tests.unit.reports import report_server_fakes
from tests.unit.reports.report_server_fakes import BUCKET, Storage
from tests.unit.services.backup_exporter.stored import (
    BLOCKS,
    OTHER_ID,
    PREFIX,
    SERVERS,
    START,
    content,
    put_block,
    put_run,
    put_segment,
    remove,
    settings,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def fake_storage(tmp_path: Path) -> Iterator[Storage]:
    with report_server_fakes.storage(tmp_path) as running:
        yield running


def bucket(fake_storage: Storage, prefix: str = PREFIX) -> BackupBucket:
    storage = {**content(fake_storage.folder, fake_storage.endpoint)["storage"], "prefix": prefix}
    return BackupBucket(settings(fake_storage, storage=storage).storage)


class Clock:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_run_with_a_manifest_counts_and_an_unfinished_one_does_not(fake_storage: Storage) -> None:
    put_run(fake_storage, "database", START - HOUR, {"grafana.dump": 10})
    put_run(fake_storage, "database", START, {"grafana.dump": 20, "roles.sql": 5})
    put_run(fake_storage, "database", START + HOUR, {"grafana.dump": 30}, whole=False)
    held = Runs(bucket(fake_storage), print).poll("database")
    assert held.newest is not None
    assert (held.newest.started, held.newest.total_bytes, held.newest.duration_s) == (START, 25, 90)
    assert (held.runs, held.damaged) == (2, ())


@pytest.mark.parametrize("how", ["missing", "short", "foreign", "unreadable"])
def test_a_run_that_is_not_whole_is_passed_over_and_told_once(fake_storage: Storage, how: str) -> None:
    put_run(fake_storage, "database", START - HOUR, {"grafana.dump": 10})
    run = put_run(fake_storage, "database", START, {"grafana.dump": 20})
    if how == "missing":
        remove(fake_storage, f"database/{run}/grafana.dump.age")
    elif how == "short":
        fake_storage.put(f"database/{run}/grafana.dump.age", bytes(19), PREFIX)
    elif how == "foreign":
        other = put_run(fake_storage, "grafana", START, {"all.json": 1})
        text = fake_storage.client.get_object(Bucket=BUCKET, Key=f"{PREFIX}grafana/{other}/manifest.json")[
            "Body"
        ].read()
        fake_storage.put(manifest_key("database", run), text, PREFIX)
    else:
        fake_storage.put(manifest_key("database", run), '{"format": 2}', PREFIX)
    told: list[str] = []
    runs = Runs(bucket(fake_storage), told.append)
    for _ in range(2):
        held = runs.poll("database")
        assert held.newest is not None
        assert held.newest.started == START - HOUR
        assert (held.runs, held.damaged) == (2, (run,))
    [line] = told
    assert line.startswith(f"database/{run} is passed over: ")
    expected = {
        "missing": "grafana.dump.age is missing",
        "short": "has 19 bytes instead of 20",
        "foreign": "its manifest is that of grafana/",
        "unreadable": "is no manifest of format 1",
    }
    assert expected[how] in line


def test_a_manifest_is_read_once(fake_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    put_run(fake_storage, "database", START, {"grafana.dump": 10})
    watched = bucket(fake_storage)
    runs = Runs(watched, print)
    runs.poll("database")
    monkeypatch.setattr(watched, "open", lambda key: pytest.fail(f"{key} is read again"))
    assert runs.poll("database").newest is not None


def test_the_archive_is_summed_up_by_topic_and_gaps_are_counted(fake_storage: Storage) -> None:
    put_segment(fake_storage, 0, 99)
    put_segment(fake_storage, 100, 149)
    put_segment(fake_storage, 160, 199)
    put_segment(fake_storage, 5, 9, partition=1)
    put_segment(fake_storage, 0, 4, topic="alerts-raw")
    fake_storage.put("archive/telemetry-logs/0/readme.txt", "x", PREFIX)
    seen = Archive(bucket(fake_storage), lambda: None).poll()
    assert {topic: (reach.segments, reach.bytes, reach.missing) for topic, reach in seen.items()} == {
        "alerts-raw": (1, 10, 0),
        "telemetry-logs": (4, 40, 10),
    }


def test_what_is_stored_twice_is_no_gap_and_hides_none(fake_storage: Storage) -> None:
    put_segment(fake_storage, 0, 99)
    put_segment(fake_storage, 0, 49)
    put_segment(fake_storage, 50, 120)
    put_segment(fake_storage, 130, 140)
    assert Archive(bucket(fake_storage), lambda: None).poll()["telemetry-logs"].missing == 9


def test_a_poll_asks_only_for_what_came_after_the_last_and_finds_a_gap_there(
    fake_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_segment(fake_storage, 0, 99)
    watched = bucket(fake_storage)
    archive = Archive(watched, lambda: None, Clock())
    archive.poll()
    start_keys: list[str] = []
    walk = watched.walk

    def asking(below: str = "", after: str = "") -> Iterator[Object]:
        start_keys.append(after)
        return walk(below, after)

    monkeypatch.setattr(watched, "walk", asking)
    put_segment(fake_storage, 110, 119)
    assert archive.poll()["telemetry-logs"] == ArchiveCoverage(
        segments=2, bytes=20, written=last_written(fake_storage), missing=10
    )
    assert [after.rpartition("/")[2][:41] for after in start_keys] == [f"{0:020d}-{99:020d}"]


def last_written(fake_storage: Storage) -> float:
    listed = fake_storage.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}archive/")["Contents"]
    return float(max(entry["LastModified"].timestamp() for entry in listed))


def test_what_was_removed_is_seen_when_all_is_listed_anew(fake_storage: Storage) -> None:
    first = put_segment(fake_storage, 0, 99)
    put_segment(fake_storage, 100, 149)
    clock = Clock()
    archive = Archive(bucket(fake_storage), lambda: None, clock)
    archive.poll()
    remove(fake_storage, first)
    assert archive.poll()["telemetry-logs"].segments == 2
    clock.now += ANEW_S
    assert archive.poll()["telemetry-logs"].segments == 1


def test_a_topic_that_was_made_again_counts_for_itself(fake_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    put_segment(fake_storage, 0, 99)
    put_segment(fake_storage, 100, 199)
    clock = Clock()
    archive = Archive(bucket(fake_storage), lambda: None, clock)
    archive.poll()
    monkeypatch.setattr(poller_module, "_MOST_AT_ONCE", 2)
    # The storage tells whole seconds: what comes later has to be seen as later.
    time.sleep(1.1)
    put_segment(fake_storage, 0, 9, topic_id=OTHER_ID)
    clock.now += ANEW_S
    assert archive.poll()["telemetry-logs"].missing == 0
    put_segment(fake_storage, 15, 19, topic_id=OTHER_ID)
    seen = archive.poll()["telemetry-logs"]
    assert (seen.segments, seen.missing) == (4, 5)


def test_a_poll_that_fails_half_way_is_made_up_for_by_the_next(
    fake_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_segment(fake_storage, 0, 99, topic="alerts-raw")
    put_segment(fake_storage, 0, 99)
    watched = bucket(fake_storage)
    archive = Archive(watched, lambda: None, Clock())
    archive.poll()
    put_segment(fake_storage, 100, 109, topic="alerts-raw")
    put_segment(fake_storage, 100, 109)
    walk = watched.walk

    def fails(below: str = "", after: str = "") -> Iterator[Object]:
        if "telemetry-logs" in below:
            raise StorageError("away")
        return walk(below, after)

    monkeypatch.setattr(watched, "walk", fails)
    with pytest.raises(StorageError, match="away"):
        archive.poll()
    monkeypatch.setattr(watched, "walk", walk)
    assert {topic: reach.segments for topic, reach in archive.poll().items()} == {"alerts-raw": 2, "telemetry-logs": 2}


def test_a_large_archive_is_listed_over_several_looks(fake_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    for partition in range(3):
        put_segment(fake_storage, 0, 99, partition=partition)
    put_segment(fake_storage, 0, 99, topic="alerts-raw")
    clock = Clock()
    watched = bucket(fake_storage)
    walk = watched.walk

    def slow(below: str = "", after: str = "") -> Iterator[Object]:
        clock.now += 0 if after else LISTING_S
        return walk(below, after)

    monkeypatch.setattr(watched, "walk", slow)
    archive = Archive(watched, lambda: None, clock)
    assert [list(archive.poll()) for _ in range(4)] == [
        ["alerts-raw"],
        ["alerts-raw"],
        ["alerts-raw"],
        ["alerts-raw", "telemetry-logs"],
    ]


def test_a_ulid_tells_when_a_block_was_made() -> None:
    assert made_ms("01ARZ3NDEKTSV4RRFFQ69G5FAV") == 1469922850259
    assert first_ulid(1469922850259) == "01ARZ3NDEK"


def polls(storage: Bucket, servers: Mapping[str, Mapping[str, str]] = SERVERS) -> Blocks:
    return Blocks(storage, servers, lambda: None)


def test_blocks_reach_up_to_the_latest_end_whatever_was_made_last(fake_storage: Storage) -> None:
    put_block(fake_storage, START - 5 * HOUR, START - 6 * HOUR)
    put_block(fake_storage, START - HOUR, START - 2 * HOUR)
    # Made anew from old ones.
    put_block(fake_storage, START - HOUR / 2, START - 20 * HOUR)
    put_block(fake_storage, START, None)
    blocks = polls(bucket(fake_storage, BLOCKS))
    assert blocks.poll() == {"primary": (START - 2 * HOUR).timestamp(), "secondary": None}
    put_block(fake_storage, START + HOUR, START)
    assert blocks.poll() == {"primary": START.timestamp(), "secondary": None}


def test_a_block_is_read_once_and_those_before_the_reach_never(
    fake_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in range(1, 9):
        for number, labels in enumerate(SERVERS.values()):
            put_block(fake_storage, START - hours * HOUR, START - (hours + 1) * HOUR, number, labels)
    watched = bucket(fake_storage, BLOCKS)
    read: list[str] = []
    opened = watched.open

    def reading(key: str) -> Content:
        read.append(key)
        return opened(key)

    monkeypatch.setattr(watched, "open", reading)
    beats: list[None] = []
    blocks = Blocks(watched, SERVERS, lambda: beats.append(None))
    blocks.poll()
    blocks.poll()
    assert (len(read), len(beats)) == (4, 4)


def test_without_blocks_nothing_is_said_and_lost_ones_are_noticed(fake_storage: Storage) -> None:
    blocks = polls(bucket(fake_storage, BLOCKS), {"primary": SERVERS["primary"]})
    assert blocks.poll() == {"primary": None}
    put_block(fake_storage, START - 5 * HOUR, START - 6 * HOUR)
    newest = put_block(fake_storage, START, START - HOUR)
    assert blocks.poll() == {"primary": (START - HOUR).timestamp()}
    for name in ("index", "meta.json"):
        remove(fake_storage, f"{newest}/{name}", BLOCKS)
    assert blocks.poll() == {"primary": (START - 6 * HOUR).timestamp()}


def test_no_server_that_ships_nothing_is_hidden_by_another_one_or_by_a_ruler(
    fake_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = external_labels("obs", "one", "primary", 1)
    servers = {**SERVERS, "primary-shard-1": shard}
    put_block(fake_storage, START - 5 * HOUR, START - 6 * HOUR, labels=shard)
    put_block(fake_storage, START - 2 * HOUR, START - 3 * HOUR, labels=SERVERS["secondary"])
    put_block(fake_storage, START - HOUR, START - 2 * HOUR)
    put_block(fake_storage, START, START - HOUR, labels=external_labels("obs", "one", "primary", RULER_SHARD))
    watched = bucket(fake_storage, BLOCKS)
    blocks = polls(watched, servers)
    ends = {
        "primary": (START - 2 * HOUR).timestamp(),
        "secondary": (START - 3 * HOUR).timestamp(),
        "primary-shard-1": (START - 6 * HOUR).timestamp(),
    }
    assert blocks.poll() == ends
    monkeypatch.setattr(watched, "open", lambda key: pytest.fail(f"{key} is read again"))
    assert blocks.poll() == ends


def test_a_block_does_not_reach_into_the_future(fake_storage: Storage) -> None:
    put_block(fake_storage, START, START + 100 * HOUR)
    assert polls(bucket(fake_storage, BLOCKS)).poll()["primary"] == START.timestamp()


def test_a_poll_sees_all_and_says_when_the_next_run_is_missing(fake_storage: Storage) -> None:
    put_run(fake_storage, "database", START, {"grafana.dump": 10})
    put_segment(fake_storage, 0, 9)
    put_block(fake_storage, START, START - HOUR)
    poller = BackupPoller(settings(fake_storage), print)
    poller.poll()
    seen = poller.snapshot
    assert seen.due("database", 7200) == START.timestamp() + 7200
    # Of a server that ships nothing the time counts from when the backup exporter began.
    assert seen.blocks_due(4800) == {
        "primary": (START - HOUR).timestamp() + 4800,
        "secondary": poller.began + 4800,
    }
    assert seen.archive["telemetry-logs"].segments == 1
    # Of a kind without any run the time counts from the oldest object.
    assert seen.since <= seen.at
    assert seen.due("grafana", 60) == seen.since + 60


def test_while_the_storage_is_away_the_last_poll_counts_and_it_is_told_once(
    fake_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(fake_storage, "database", START, {"grafana.dump": 10})
    told: list[str] = []
    poller = BackupPoller(settings(fake_storage), told.append)
    poller.poll()
    before = poller.snapshot
    told.clear()
    key = fake_storage.folder / "secret-key"
    key.unlink()
    poller.poll()
    poller.poll()
    assert poller.snapshot is before
    assert (poller.failures, poller.failing) == (2, True)
    assert told == [f"{key} cannot be read: No such file or directory"]
    key.write_text("secret\n")
    poller.poll()
    assert told[1:] == ["the object storage answers again"]
    assert not poller.failing
