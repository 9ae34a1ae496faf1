"""The lease in a real object storage (versitygw): of several writers exactly one has it, and each knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.regions.witness import Heartbeat, Lease, LeaseChangedError, ObjectChangedError, Witness
from services.runtime.settings import Storage
from tests.config.storage_process import StorageProcess, storage_process

WRITERS, ROUNDS = 4, 5
AT = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)
FIRST = Lease(holder="region-b", epoch=1, notify=False, since=AT, by="ops failover", reason="first")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("storage") / "new") as storage_server:
        yield storage_server


def witness(process: StorageProcess, prefix: str, **options: Any) -> Witness:
    settings = process.settings(prefix)
    files = {name: Path(settings[name]) for name in ("access_key_id_file", "secret_access_key_file", "ca_file")}
    return Witness(Storage(**{**settings, **files}), **options)


def test_a_lease_is_written_once_and_replaced_only_by_who_read_it_last(process: StorageProcess) -> None:
    one = witness(process, "once/")
    assert one.lease() is None
    etag = one.take(FIRST, None)
    with pytest.raises(LeaseChangedError):
        one.take(replace(FIRST, reason="second"), None)
    later = one.take(replace(FIRST, epoch=2), etag)
    with pytest.raises(LeaseChangedError, match="region-b holds it, epoch 2"):
        one.take(replace(FIRST, epoch=2, holder="region-a"), etag)
    assert one.lease() == (replace(FIRST, epoch=2), later)
    one.close()


def test_of_writers_at_the_same_moment_one_has_the_lease_and_the_others_know_it(process: StorageProcess) -> None:
    writers = [witness(process, "race/") for _ in range(WRITERS)]
    start = threading.Barrier(WRITERS)

    def write(number: int, turn: int) -> str | None:
        current = writers[number].lease()
        start.wait(120)
        mine = replace(FIRST, epoch=turn, reason=f"writer {number}, turn {turn}")
        try:
            writers[number].take(mine, current[1] if current else None)
        except LeaseChangedError:
            return None
        return mine.reason

    with ThreadPoolExecutor(WRITERS) as pool:
        for turn in range(1, ROUNDS + 1):
            told = [outcome for outcome in pool.map(write, range(WRITERS), [turn] * WRITERS) if outcome]
            current = writers[0].lease()
            assert current is not None
            assert told == [current[0].reason]
    for writer in writers:
        writer.close()


def test_a_heartbeat_and_a_journal_are_read_as_they_were_written(process: StorageProcess) -> None:
    one = witness(process, "rest/")
    beat = Heartbeat(
        region="region-a",
        role="primary",
        at=AT,
        epoch=1,
        holder="region-b",
        notifies=False,
        isolated=False,
        fingerprints={"rules": "abc"},
        silences=(),
    )
    assert one.heartbeat("region-a") is None
    one.beat(beat)
    sighting = one.sighting("region-a")
    assert sighting is not None
    assert sighting.heartbeat == beat
    assert sighting.age_s is not None
    assert sighting.age_s < 20, "its age is that of the object, whatever it says itself"
    process.age("rest/regions/region-a.json", 90)
    sighting = one.sighting("region-a")
    assert sighting is not None
    assert sighting.age_s is not None
    assert 89 <= sighting.age_s < 120
    etag = one.write("regions/operations/x.json", {"b": 1, "a": "長い"}, None)
    assert one.read("regions/operations/x.json") == ({"b": 1, "a": "長い"}, etag)
    later = one.write("regions/operations/x.json", {"b": 2}, etag)
    with pytest.raises(ObjectChangedError):
        one.write("regions/operations/x.json", {"b": 3}, etag)
    with pytest.raises(ObjectChangedError):
        one.write("regions/operations/x.json", {"b": 3}, None)
    assert one.read("regions/operations/x.json") == ({"b": 2}, later)
    assert one.keys("regions/operations/") == ["regions/operations/x.json"]
    one.close()
