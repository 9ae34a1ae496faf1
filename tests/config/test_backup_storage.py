"""Backups in a real object storage (versitygw): parts, unfinished uploads, versions, and what comes back."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from lab.storage import client
from ops.checks.recovery import deletions
from services.backup import BackupError
from services.backup import manifest as retention
from services.backup.encryption import Identity
from services.backup.manifest import RunSummary, RunWriter
from services.backup.restore import fetch, kept
from services.backup.store import Store
from tests.config.storage_process import BUCKET, StorageProcess, storage_process

PART = 5 * 2**20
_PLAIN = str.maketrans("[]", "--")
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("storage")) as started:
        yield started


@pytest.fixture
def store(storage: StorageProcess, request: pytest.FixtureRequest) -> Iterator[Store]:
    with storage.store(f"{request.node.name.translate(_PLAIN)}/", part_bytes=PART) as opened_store:
        yield opened_store


@pytest.fixture(scope="module")
def identity() -> Identity:
    return pyrage.x25519.Identity.generate()


def stored(store: Store, identity: Identity, content: bytes, age: timedelta = timedelta(0)) -> str:
    """A run with one object; its name."""
    target = RunWriter(store, "pulumi-state", [str(identity.to_public())], NOW - age)
    target.add("state.bin", io.BytesIO(content))
    return target.finish(RunSummary(program="test 1", counts={}), platform="obs", region="tokyo").run


@pytest.mark.parametrize("size", [0, 1000, PART, 3 * PART + 17])
def test_objects_of_any_size_come_back_whole(store: Store, identity: Identity, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    stored(store, identity, content)
    fetch(store, "pulumi-state", "latest", [identity], tmp_path / "run")
    assert (tmp_path / "run/state.bin").read_bytes() == content


def test_a_changed_object_is_named(storage: StorageProcess, store: Store, identity: Identity, tmp_path: Path) -> None:
    run = stored(store, identity, os.urandom(2 * PART))
    below = storage.folder / "objects" / BUCKET / store._storage.prefix
    (file,) = below.rglob("state.bin.age")
    with file.open("r+b") as changed:
        changed.seek(PART)
        changed.write(b"changed behind the storage's back")
    with pytest.raises(BackupError, match=rf"pulumi-state/{run}/state\.bin\.age: is not what was stored"):
        fetch(store, "pulumi-state", "latest", [identity], tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(store: Store) -> None:
    def tear() -> None:
        with store.writing("kind/large.bin") as upload:
            upload.write(os.urandom(2 * PART))
            assert [unfinished.name for unfinished in store.unfinished("kind/")] == ["kind/large.bin"]
            raise LookupError

    with pytest.raises(LookupError):
        tear()
    assert store.unfinished() == []
    assert store.objects() == []


def test_retention_removes_old_runs_and_forgotten_uploads(store: Store, identity: Identity) -> None:
    runs = [stored(store, identity, b"x", timedelta(days=days)) for days in (90, 40, 1)]
    store.begin_parts(f"pulumi-state/{runs[0]}/large.bin.age")
    store.begin_parts("grafana/other.bin.age")
    later = NOW + timedelta(days=3)
    removed = retention.apply(store, "pulumi-state", 30, later)
    assert (removed.runs, removed.objects, removed.uploads) == ((runs[0],), 2, 1)
    assert [run.name for run in kept(store, "pulumi-state")] == runs[1:], "the second was the newest until yesterday"
    assert [unfinished.name for unfinished in store.unfinished()] == ["grafana/other.bin.age"]


def test_whether_deleted_backups_stay_is_seen_with_the_platforms_key(storage: StorageProcess, store: Store) -> None:
    assert deletions(store) == "the bucket keeps versions of deleted objects"
    root = client(storage.url, storage.ca_file, storage.secrets.root_key, storage.secrets.root_secret)
    root.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    try:
        assert deletions(store).startswith("deleted backups cannot be recovered: the bucket keeps no versions")
    finally:
        root.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    policy = root.get_bucket_policy(Bucket=BUCKET)["Policy"]
    root.put_bucket_policy(Bucket=BUCKET, Policy=policy.replace("s3:GetBucketVersioning", "s3:GetBucketTagging"))
    try:
        assert re.fullmatch(
            r"cannot determine whether the bucket keeps versions of deleted backups: .*AccessDenied", deletions(store)
        )
    finally:
        root.put_bucket_policy(Bucket=BUCKET, Policy=policy)


def test_the_platforms_key_cannot_end_a_version_for_good(
    storage: StorageProcess, store: Store, identity: Identity
) -> None:
    stored(store, identity, b"precious")
    names = [stored_object.name for stored_object in store.objects()]
    store.delete(names)
    assert store.objects() == []
    client = storage.client()
    prefix = f"{store._storage.prefix}pulumi-state/"
    left = client.list_object_versions(Bucket=BUCKET, Prefix=prefix)
    assert sorted(version["Key"] for version in left["Versions"]) == [
        f"{store._storage.prefix}{name}" for name in names
    ]
    client.close()
