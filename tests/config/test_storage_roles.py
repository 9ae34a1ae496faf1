"""Keys of roles at a real object storage: each may do what its program does, and is refused everything else."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from components.backups.config import Kind
from components.storage_roles import (
    ARCHIVE_PREFIX,
    BACKUP_PREFIX,
    METRICS_PREFIX,
    RECORD_PREFIX,
    REPORT_PREFIX,
    RIGHTS,
    SIGNATURE_PREFIX,
    Right,
    StorageRole,
    backup_role,
)
from lab.storage import client
from services.backup import BackupError
from services.backup.manifest import RunSummary, RunWriter, apply, manifest_key
from services.backup.store import Store
from tests.config.storage_process import ROLE_BUCKET, StorageProcess, storage_process

RECIPIENT = str(pyrage.x25519.Identity.generate().to_public())
PREFIXES = (
    *(f"{BACKUP_PREFIX}{kind}/" for kind in (*map(str, Kind), "pulumi-state")),
    SIGNATURE_PREFIX,
    ARCHIVE_PREFIX,
    METRICS_PREFIX,
    f"{REPORT_PREFIX}daily/",
    f"{REPORT_PREFIX}index",
    RECORD_PREFIX,
    "elsewhere/",
)


def key_below(prefix: str) -> str:
    """The object of a prefix that is there from the start."""
    return f"{prefix}kept"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("storage")) as started:
        with closing(started.root()) as root:
            for prefix in PREFIXES:
                root.put_object(Bucket=ROLE_BUCKET, Key=key_below(prefix), Body=b"x")
        yield started


@contextmanager
def opened(storage: StorageProcess, role: StorageRole) -> Iterator[Any]:
    """boto3's client with the key of a role."""
    with closing(client(storage.url, storage.ca_file, *storage.role(role))) as s3:
        yield s3


def allowed(call: Callable[[], Any]) -> bool:
    """Whether a call is let through; refused for another reason than rights it fails."""
    try:
        call()
    except ClientError as refused:
        assert refused.response["Error"]["Code"] == "AccessDenied"  # noqa: PT017  (what else fails is no refusal)
        return False
    return True


def tries(s3: Any, prefix: str, upload: str) -> dict[Right, bool]:
    """What a key may do below a prefix, where an upload in parts has begun."""
    at: dict[str, str] = {"Bucket": ROLE_BUCKET, "Key": key_below(prefix)}
    new: dict[str, str] = {"Bucket": ROLE_BUCKET, "Key": f"{prefix}new"}
    return {
        Right.GET: allowed(lambda: s3.get_object(**at)),
        Right.LIST: allowed(lambda: s3.list_objects_v2(Bucket=ROLE_BUCKET, Prefix=prefix)),
        Right.PUT: allowed(lambda: s3.put_object(**new, Body=b"y")),
        Right.END_PARTS: allowed(lambda: s3.abort_multipart_upload(**at, UploadId=upload)),
        Right.DELETE: allowed(lambda: s3.delete_object(**new)),
    }


@pytest.mark.parametrize(("role", "prefix"), list(itertools.product(StorageRole, PREFIXES)))
def test_a_role_may_do_what_it_needs_below_its_prefixes_and_nothing_outside(
    storage: StorageProcess, role: StorageRole, prefix: str
) -> None:
    with closing(storage.root()) as root, opened(storage, role) as s3:
        upload = root.create_multipart_upload(Bucket=ROLE_BUCKET, Key=key_below(prefix))["UploadId"]
        assert tries(s3, prefix, upload) == {right: RIGHTS[role].may(right, prefix) for right in Right}


@pytest.mark.parametrize("role", StorageRole)
def test_no_role_changes_the_bucket_or_ends_a_version_for_good(storage: StorageProcess, role: StorageRole) -> None:
    with closing(storage.root()) as root:
        for prefix in PREFIXES:
            versions = root.list_object_versions(Bucket=ROLE_BUCKET, Prefix=key_below(prefix))["Versions"]
            version = versions[0]["VersionId"]
            with opened(storage, role) as s3:
                gone = {"Bucket": ROLE_BUCKET, "Key": key_below(prefix), "VersionId": version}
                assert not allowed(lambda gone=gone, s3=s3: s3.delete_object(**gone))
    suspended = {"Bucket": ROLE_BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}
    with opened(storage, role) as s3:
        assert not allowed(lambda: s3.put_bucket_versioning(**suspended))
        assert not allowed(lambda: s3.put_bucket_policy(Bucket=ROLE_BUCKET, Policy="{}"))
        assert not allowed(lambda: s3.get_bucket_policy(Bucket=ROLE_BUCKET))
        assert not allowed(lambda: s3.delete_bucket(Bucket=ROLE_BUCKET))
        versioning = "s3:GetBucketVersioning" in RIGHTS[role].bucket_actions
        assert allowed(lambda: s3.get_bucket_versioning(Bucket=ROLE_BUCKET)) is versioning
        uploads = "s3:ListBucketMultipartUploads" in RIGHTS[role].bucket_actions
        assert allowed(lambda: s3.list_multipart_uploads(Bucket=ROLE_BUCKET)) is uploads
        # Names of the whole bucket: only to roles that ask for objects that may not be there.
        assert allowed(lambda: s3.list_objects_v2(Bucket=ROLE_BUCKET)) is RIGHTS[role].probes


def a_run(target: Store, kind: str, age: timedelta, content: bytes = b"content") -> str:
    """Store a run that began so long ago; returns its name."""
    run = RunWriter(target, kind, [RECIPIENT], datetime.now(UTC) - age)
    run.add("content", io.BytesIO(content))
    return run.finish(RunSummary(program="test 1", counts={}), platform="obs", region="tokyo").run


def given_up(target: Store, name: str) -> None:
    """An upload in parts that ends with an error."""
    with target.writing(name) as upload:
        upload.write(bytes(6 * 2**20))
        upload.write(bytes(1 // 0))


@pytest.mark.parametrize("kind", list(map(str, Kind)))
def test_a_job_stores_runs_in_parts_and_removes_none_which_the_exporter_does(
    storage: StorageProcess, kind: str
) -> None:
    now = datetime.now(UTC)
    with storage.store(BACKUP_PREFIX, backup_role(kind), part_bytes=5 * 2**20) as job:
        # More than a part: it is put in parts, and given up where it ends with an error.
        old = a_run(job, kind, timedelta(days=60), bytes(11 * 2**20))
        newer = a_run(job, kind, timedelta(days=50))
        newest = a_run(job, kind, timedelta(minutes=1))
        with pytest.raises(ZeroDivisionError):
            given_up(job, f"{kind}/broken")
        with pytest.raises(BackupError, match="cannot be removed"):
            apply(job, kind, 30, now)
        for run in (old, newer, newest):
            assert job.get(manifest_key(kind, run), 2**20)
    with storage.store(BACKUP_PREFIX, StorageRole.BACKUP_EXPORTER) as exporter:
        assert [upload.name for upload in exporter.unfinished(f"{kind}/broken")] == []
        assert apply(exporter, kind, 30, now).runs == (old,)
        assert [name for name in (old, newer, newest) if exporter.objects(f"{kind}/{name}/")] == [newer, newest]


def test_a_job_can_neither_replace_nor_remove_a_run_of_another_kind(storage: StorageProcess) -> None:
    with storage.store(BACKUP_PREFIX, StorageRole.BACKUP_GRAFANA) as grafana:
        run = a_run(grafana, "grafana", timedelta(minutes=2))
        kept = grafana.get(manifest_key("grafana", run), 2**20)
        with storage.store(BACKUP_PREFIX, StorageRole.BACKUP_DATABASE) as database:
            for change in (
                lambda: database.put(manifest_key("grafana", run), b"{}"),
                lambda: database.delete([manifest_key("grafana", run)]),
                lambda: a_run(database, "grafana", timedelta(0)),
                lambda: database.put(f"signatures/grafana/{run}", b"mine"),
            ):
                with pytest.raises(BackupError, match="AccessDenied"):
                    change()
        assert grafana.get(manifest_key("grafana", run), 2**20) == kept


def test_what_a_role_replaces_or_removes_stays_as_an_older_version(storage: StorageProcess) -> None:
    key = f"{BACKUP_PREFIX}search/20261125T150405Z/manifest.json"
    at = {"Bucket": ROLE_BUCKET, "Key": key}
    with opened(storage, StorageRole.BACKUP_SEARCH) as job, opened(storage, StorageRole.BACKUP_EXPORTER) as exporter:
        first = job.put_object(**at, Body=b"first")["VersionId"]
        job.put_object(**at, Body=b"forged")
        exporter.delete_object(**at)
    with closing(storage.root()) as root:
        assert root.get_object(**at, VersionId=first)["Body"].read() == b"first"
