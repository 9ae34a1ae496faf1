"""Runs: what was stored comes back the same; what is torn, changed or strange is no run, or an error that names it."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest
import yaml

from services.backup import BackupError, BackupSettings, restore, signature
from services.backup import __main__ as program
from services.backup.manifest import Manifest, RunSummary, RunWriter, manifest_key
from services.backup.restore import fetch
from services.backup.store import NotStoredError, Store
from tests.unit.services.backup.harness import BUCKET, IDENTITY, PREFIX, RECIPIENT, Harness
from tests.unit.services.backup.test_backup_settings import content

LARGE = os.urandom(11 * 2**20)
LIMIT_S = 600
STARTED = datetime(2026, 11, 25, 15, 4, 5, tzinfo=UTC)


def stored(store: Store, started: datetime = STARTED, kind: str = "pulumi-state") -> Manifest:
    """A run of two objects, one of them in parts."""
    target = RunWriter(store, kind, [RECIPIENT], started)
    target.add("large.bin", io.BytesIO(LARGE))
    target.add_json("small.json", {"名": [1, 2]})
    return target.finish(RunSummary(program="test 1", counts={"things": 2}), platform="obs", region="tokyo")


def test_a_run_comes_back_as_it_was(place: Harness, tmp_path: Path) -> None:
    with place.store() as store:
        manifest = stored(store)
        fetched = fetch(store, "pulumi-state", "latest", [IDENTITY], tmp_path / "run")
        assert fetched == manifest == restore.opened(tmp_path / "run", "pulumi-state")
    assert (tmp_path / "run/large.bin").read_bytes() == LARGE
    assert json.loads((tmp_path / "run/small.json").read_text()) == {"名": [1, 2]}
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["large.bin", "manifest.json", "small.json"]
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
    run = f"{PREFIX}pulumi-state/20261125T150405Z"
    assert place.names == [f"{run}/large.bin.age", f"{run}/manifest.json", f"{run}/small.json.age"]


def test_what_is_in_the_bucket_cannot_be_read_without_the_key(place: Harness, tmp_path: Path) -> None:
    with place.store() as store:
        target = RunWriter(store, "grafana", [RECIPIENT], STARTED)
        target.add_json("folders.json", [{"title": "a title that nobody may read"}])
        target.finish(RunSummary(program="test 1", counts={}), platform="obs", region="tokyo")
    for name in place.names:
        assert b"nobody may read" not in place.s3.get_object(Bucket=BUCKET, Key=name)["Body"].read()


def changed(place: Harness, name: str, offset: int) -> None:
    """Change a byte of an object."""
    body = bytearray(place.s3.get_object(Bucket=BUCKET, Key=name)["Body"].read())
    body[offset] ^= 1
    place.s3.put_object(Bucket=BUCKET, Key=name, Body=bytes(body))


@pytest.mark.parametrize("offset", [0, 500, -1])
def test_a_changed_object_is_noticed_and_named_and_nothing_of_it_stays(
    place: Harness, tmp_path: Path, offset: int
) -> None:
    name = "pulumi-state/20261125T150405Z/large.bin.age"
    with place.store() as store:
        stored(store)
        changed(place, PREFIX + name, offset)
        with pytest.raises(BackupError, match=f"{name}: is not what was stored: "):
            fetch(store, "pulumi-state", "latest", [IDENTITY], tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_an_object_that_was_swapped_for_another_encrypted_one_is_noticed(place: Harness, tmp_path: Path) -> None:
    with place.store() as store:
        manifest = stored(store)
        # Public keys are public: anybody can encrypt. A manifest that was changed along still does not fit the content.
        other = RunWriter(store, "other", [RECIPIENT], STARTED).add("large.bin", io.BytesIO(b"something else"))
        encrypted = store.get("other/20261125T150405Z/large.bin.age", 2**20)
        store.put("pulumi-state/20261125T150405Z/large.bin.age", encrypted)
        forged = manifest.objects[0].model_copy(update={"bytes": other.bytes, "sha256": other.sha256})
        whole = manifest.model_copy(update={"objects": (forged, *manifest.objects[1:])})
        store.put("pulumi-state/20261125T150405Z/manifest.json", whole.content())
        with pytest.raises(BackupError, match=r"large\.bin\.age: is not what was encrypted: 14 bytes"):
            fetch(store, "pulumi-state", "latest", [IDENTITY], tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_missing_object_and_a_wrong_key_are_named(place: Harness, tmp_path: Path) -> None:
    name = "pulumi-state/20261125T150405Z/large.bin.age"
    with place.store() as store:
        stored(store)
        with pytest.raises(BackupError, match=f"{name}: it cannot be opened: No matching keys found"):
            fetch(store, "pulumi-state", "latest", [pyrage.x25519.Identity.generate()], tmp_path / "one")
        store.delete([name])
        with pytest.raises(NotStoredError, match=f"{name} cannot be read"):
            fetch(store, "pulumi-state", "20261125T150405Z", [IDENTITY], tmp_path / "two")
        with pytest.raises(BackupError, match="there is no whole backup of kind pulumi-state"):
            fetch(store, "pulumi-state", "latest", [IDENTITY], tmp_path / "three")


def test_a_folder_that_is_not_empty_is_refused(place: Harness, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with place.store() as store:
        stored(store)
        with pytest.raises(BackupError, match="is not empty; name a new folder"):
            fetch(store, "pulumi-state", "latest", [IDENTITY], tmp_path)


def test_a_run_that_was_interrupted_is_no_run_and_leaves_no_upload(place: Harness) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(size)
            if self.tell() > 8 * 2**20:
                raise program.InterruptedRunError("was told to stop")
            return chunk

    with place.store() as store:
        stored(store)
        later = STARTED + timedelta(hours=1)
        target = RunWriter(store, "pulumi-state", [RECIPIENT], later)
        target.add("first.bin", io.BytesIO(b"whole"))
        with pytest.raises(program.InterruptedRunError):
            target.add("large.bin", Torn(LARGE))
        assert [stored_object.name for stored_object in store.objects("pulumi-state/20261125T160405Z/")] == [
            "pulumi-state/20261125T160405Z/first.bin.age"
        ]
        assert store.unfinished() == []
        assert [run.name for run in restore.kept(store, "pulumi-state")] == ["20261125T150405Z"]
        with pytest.raises(BackupError, match="there is no whole backup pulumi-state/20261125T160405Z"):
            restore.find(store, "pulumi-state", "20261125T160405Z")
        with pytest.raises(BackupError, match="there is no whole backup of kind grafana"):
            restore.find(store, "grafana")


def test_two_runs_of_one_second_do_not_mix(place: Harness) -> None:
    with place.store() as store:
        stored(store)
        with pytest.raises(BackupError, match="run 20261125T150405Z is there already"):
            RunWriter(store, "pulumi-state", [RECIPIENT], STARTED)


def test_a_manifest_of_another_run_is_refused_and_hides_no_whole_one(place: Harness) -> None:
    with place.store() as store:
        manifest = stored(store)
        store.put("pulumi-state/20261125T160405Z/manifest.json", manifest.content())
        with pytest.raises(BackupError, match="is the manifest of pulumi-state/20261125T150405Z"):
            restore.find(store, "pulumi-state", "20261125T160405Z")
        assert restore.find(store, "pulumi-state") == manifest


def test_what_a_restore_lacks_is_told_line_by_line(place: Harness) -> None:
    with place.store() as store:
        manifest = stored(store)
    assert restore.differences(manifest, {"things": 2}) == []
    assert restore.differences(manifest, {"more": 1}) == [
        "more: 0 in the backup, 1 restored",
        "things: 2 in the backup, 0 restored",
    ]


def test_errors_of_the_storage_are_one_line_without_keys(place: Harness) -> None:
    with place.store(bucket="elsewhere") as store, pytest.raises(BackupError) as refused:
        store.put("x", b"y")
    with place.store(endpoint="https://localhost:1") as store, pytest.raises(BackupError) as away:
        store.objects()
    assert str(refused.value) == f"object storage {place.url}, bucket elsewhere: x cannot be stored: NoSuchBucket"
    assert str(away.value).startswith("object storage https://localhost:1, bucket monitoring: the bucket cannot be")
    assert "\n" not in str(away.value)


def test_metadata_and_folders_are_told(place: Harness) -> None:
    with place.store() as store:
        store.put("archive/topic-a/0/1.avro.age", b"12345", metadata={"records": "7"})
        store.put("archive/topic-b/0/1.avro.age", b"1")
        head = store.head("archive/topic-a/0/1.avro.age")
        assert (head.bytes, dict(head.metadata)) == (5, {"records": "7"})
        assert store.folders("archive/") == ["topic-a", "topic-b"]
        assert store.folders() == ["archive"]
        with pytest.raises(BackupError, match="has 5 bytes; no more than 4 are expected"):
            store.get("archive/topic-a/0/1.avro.age", 4)


@pytest.fixture
def config(place: Harness, tmp_path: Path) -> Path:
    """A settings file whose password is there."""
    (tmp_path / "password").write_text("the-password\n")
    (tmp_path / "seal-key").write_text("the-key-of-the-kind\n")
    file = tmp_path / "config.yaml"
    whole = content(storage=place.storage(), seal_key_file=str(tmp_path / "seal-key"))
    whole["grafana"] |= {"ca_file": str(place.folder / "ca.crt"), "password_file": str(tmp_path / "password")}
    file.write_text(yaml.safe_dump({**whole, "limit_s": LIMIT_S}))
    return file


def test_the_program_tells_what_it_stored_and_removes_nothing(
    place: Harness, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(section: Any, target: RunWriter) -> RunSummary:
        target.add("folders.json", io.BytesIO(b"[]"))
        return RunSummary(program="Grafana 13", counts={"folders": 0})

    monkeypatch.setitem(program._MAKERS, "grafana", make)
    with place.store() as store:
        old, last = (stored(store, datetime.now(UTC) - timedelta(days=days), "grafana") for days in (92, 91))
        assert program.main(["--config", str(config), "grafana"]) == 0
        *before, run = restore.kept(store, "grafana")
        assert [kept.name for kept in before] == [old.run, last.run]
        manifest = restore.find(store, "grafana")
        assert manifest.program == "Grafana 13"
        sealed = store.head(manifest_key("grafana", run.name)).metadata[signature.SEAL]
        assert signature.sealed("the-key-of-the-kind", manifest.content(), sealed)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"backup: grafana: run {run.name} is stored: 1 objects, ")


def never_ends(monkeypatch: pytest.MonkeyPatch, begin: Callable[[], object]) -> None:
    """Make the backup of Grafana one that goes on for ever, after what happens at its begin."""

    def endless() -> Iterator[bytes]:
        begin()
        while True:
            threading.Event().wait(0.05)
            yield b"x"

    def make(section: Any, target: RunWriter) -> RunSummary:
        target.add_chunks("folders.json", endless())
        return RunSummary(program="Grafana 13", counts={})

    monkeypatch.setitem(program._MAKERS, "grafana", make)


def test_the_program_ends_with_1_when_it_is_told_to_stop_or_takes_too_long(
    place: Harness, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both fall into the middle of an object: an interrupt while a connection is made leaves its socket to Python."""
    left: list[float] = []

    def nearly_over() -> None:
        left.append(signal.setitimer(signal.ITIMER_REAL, 0.1)[0])

    never_ends(monkeypatch, begin=nearly_over)
    assert program.main(["--config", str(config), "grafana"]) == 1
    assert 0 < left[0] <= LIMIT_S
    stop = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    never_ends(monkeypatch, begin=stop.start)
    assert program.main(["--config", str(config), "grafana"]) == 1
    stop.join()
    assert capsys.readouterr().err.splitlines() == [
        f"backup: grafana: took longer than {LIMIT_S} s (limit_s)",
        "backup: grafana: was told to stop",
    ]
    assert place.names == []


def test_a_stop_that_falls_into_the_end_of_an_object_is_not_forgotten(
    place: Harness, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Thing:
        pass

    never_ends(monkeypatch, begin=lambda: weakref.finalize(Thing(), signal.raise_signal, signal.SIGTERM))
    hook = sys.unraisablehook
    assert program.main(["--config", str(config), "grafana"]) == 1
    assert capsys.readouterr().err == "backup: grafana: was told to stop\n"
    assert place.names == []
    assert sys.unraisablehook is hook


def test_a_kind_without_a_section_is_a_mistake(
    place: Harness, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = yaml.safe_load(config.read_text())
    del whole["search"]
    config.write_text(yaml.safe_dump(whole))
    assert BackupSettings.parse(whole).search is None
    assert program.main(["--config", str(config), "search"]) == 2
    assert capsys.readouterr().err == ("backup: search is missing: without that section no search backup can be made\n")
