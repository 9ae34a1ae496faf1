"""The object storage: a real Versity S3 Gateway over HTTPS, as the lab's daemon runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, SSLError

from lab import secret_file
from lab.cluster.processes import Daemon
from lab.errors import LabError
from lab.paths import LabPaths
from lab.receivers import certificates
from lab.storage import places, setup
from lab.storage.client import client
from lab.storage.keys import Secrets
from tests.unit.lab.outside_places import loopback_lab, started

BUCKET = places.BUCKET
KEY = "reports/daily/日報 1.html"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabPaths]:
    with loopback_lab(setup) as (paths, _):
        setup.prepare(paths)
        with started(setup.daemon(paths)):
            setup.wait_ready(paths)
            yield paths


@pytest.fixture
def bucket(lab: LabPaths) -> Iterator[Any]:
    with closing(setup.bucket_client(lab)) as found:
        yield found


def authority(lab: LabPaths) -> Path:
    return places.folder(lab) / "pki" / "ca.crt"


def keys(lab: LabPaths) -> Secrets:
    return secret_file.load(Secrets, places.folder(lab) / "secrets.json", "the object storage")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_what_is_put_is_listed_and_got_and_older_versions_stay(bucket: Any) -> None:
    first = bucket.put_object(Bucket=BUCKET, Key=KEY, Body=b"one", ContentType="text/html; charset=utf-8")
    bucket.put_object(Bucket=BUCKET, Key=KEY, Body="二".encode(), ContentType="text/html; charset=utf-8")
    listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix="reports/")["Contents"]
    assert [each["Key"] for each in listed] == [KEY]
    got = bucket.get_object(Bucket=BUCKET, Key=KEY)
    assert (got["Body"].read().decode(), got["ContentType"]) == ("二", "text/html; charset=utf-8")
    older = bucket.get_object(Bucket=BUCKET, Key=KEY, VersionId=first["VersionId"])
    assert older["Body"].read() == b"one"
    bucket.delete_object(Bucket=BUCKET, Key=KEY)
    assert bucket.list_objects_v2(Bucket=BUCKET, Prefix="reports/").get("Contents", []) == []
    assert bucket.get_object(Bucket=BUCKET, Key=KEY, VersionId=first["VersionId"])["Body"].read() == b"one"


def test_a_large_object_comes_back_whole(bucket: Any) -> None:
    body = bytes(range(256)) * 4096 * 3
    bucket.put_object(Bucket=BUCKET, Key="large", Body=body)
    assert bucket.get_object(Bucket=BUCKET, Key="large")["Body"].read() == body


def test_a_wrong_key_an_unknown_key_and_no_key_are_refused(lab: LabPaths) -> None:
    known = keys(lab)
    for key, secret, refusal in (
        (known.key, known.root_secret, "SignatureDoesNotMatch"),
        ("AKIA" + "X" * 16, known.secret, "InvalidAccessKeyId"),
    ):
        with (
            closing(client(setup.URL, authority(lab), key, secret)) as stranger,
            pytest.raises(ClientError) as refused,
        ):
            stranger.list_objects_v2(Bucket=BUCKET)
        assert code(refused) == refusal
    assert requests.get(f"{setup.URL}/{BUCKET}", verify=str(authority(lab)), timeout=5).status_code == 403


def test_the_stacks_key_may_use_its_bucket_and_nothing_else(lab: LabPaths, bucket: Any) -> None:
    version = bucket.put_object(Bucket=BUCKET, Key="kept", Body=b"x")["VersionId"]
    known = keys(lab)
    with closing(client(setup.URL, authority(lab), known.root_key, known.root_secret)) as root:
        root.create_bucket(Bucket="of-others")
    for forbidden in (
        lambda: bucket.delete_object(Bucket=BUCKET, Key="kept", VersionId=version),
        lambda: bucket.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}),
        lambda: bucket.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda: bucket.delete_bucket(Bucket=BUCKET),
        lambda: bucket.create_bucket(Bucket="mine"),
        lambda: bucket.list_objects_v2(Bucket="of-others"),
    ):
        with pytest.raises(ClientError) as refused:
            forbidden()
        assert code(refused) == "AccessDenied"


def test_an_authority_of_somebody_else_does_not_open_a_connection(lab: LabPaths, tmp_path: Path) -> None:
    certificates.create_authority(tmp_path / "other")
    known = keys(lab)
    stranger = client(setup.URL, tmp_path / "other" / "ca.crt", known.key, known.secret)
    with closing(stranger), pytest.raises(SSLError, match="certificate verify failed"):
        stranger.list_objects_v2(Bucket=BUCKET)


def test_no_secret_is_on_its_command_line_or_in_its_log(lab: LabPaths) -> None:
    process = setup.daemon(lab)
    pid = process.pid()
    assert pid is not None
    line = Path(f"/proc/{pid}/cmdline").read_text()
    assert "versitygw" in line
    assert not [secret for secret in keys(lab).all() if secret in line + process.log.read_text()]


def test_files_are_made_once_and_objects_outlive_the_process(lab: LabPaths, bucket: Any) -> None:
    bucket.put_object(Bucket=BUCKET, Key="lasting", Body=b"x")
    process, before = setup.daemon(lab), setup.storage_secrets(lab)
    pid = process.pid()
    setup.prepare(lab)
    assert (process.pid(), setup.storage_secrets(lab)) == (pid, before)
    assert before["authority"] == (lab.state / "receivers" / "pki" / "ca.crt").read_text()
    assert all((places.folder(lab) / name).stat().st_mode & 0o077 == 0 for name in ("secrets.json", "accounts", "."))
    process.stop()
    process.start()
    setup.wait_ready(lab)
    assert bucket.get_object(Bucket=BUCKET, Key="lasting")["Body"].read() == b"x"


def test_a_process_that_would_be_started_differently_now_is_ended(
    lab: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback_lab(setup) as (paths, _):
        other = Daemon("storage", [sys.executable, "-c", "import time; time.sleep(60)"], paths.state)
        monkeypatch.setattr(setup, "daemon", lambda _: other)
        setup.prepare(paths)
        with started(other):
            setup.prepare(paths)
            assert other.pid() is not None
            (places.folder(paths) / "started-as.json").write_text("older")
            setup.prepare(paths)
            assert other.pid() is None


def test_a_storage_that_ends_at_once_is_told_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_lab(setup) as (paths, _):
        setup.prepare(paths)
        ending = Daemon("storage", [sys.executable, "-c", "print('no such address')"], paths.state)
        monkeypatch.setattr(setup, "daemon", lambda _: ending)
        with started(ending), pytest.raises(LabError, match=r"storage ended; log .*storage\.log:\nno such address"):
            setup.wait_ready(paths)


def test_without_a_lab_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    for ask in (setup.storage_secrets, setup.wait_ready, setup.bucket_client):
        with pytest.raises(LabError, match=r"secrets of the object storage: .* run `make up`"):
            ask(LabPaths("x"))
