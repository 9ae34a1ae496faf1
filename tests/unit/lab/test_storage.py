"""The object storage: a real Versity S3 Gateway over HTTPS, as the lab's daemon runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import BotoCoreError, ClientError, SSLError

from components.storage_roles import StorageRole
from lab import LabError, key_files, storage
from lab.cluster.network import Daemon, wait_until
from lab.paths import LabPaths
from lab.storage import RegionSecrets, Secrets, client
from tests.unit.lab.external_services_harness import loopback_lab, started

BUCKET = storage.BUCKET
KEY = "reports/daily/日報 1.html"


@pytest.fixture(scope="module")
def lab() -> Iterator[LabPaths]:
    with loopback_lab(storage) as (paths, _):
        storage.prepare(paths)
        with started(storage.daemon(paths)):
            storage.wait_ready(paths)
            yield paths


@pytest.fixture
def bucket(lab: LabPaths) -> Iterator[Any]:
    with closing(storage.bucket_client(lab)) as s3:
        yield s3


def authority(lab: LabPaths) -> Path:
    return storage.folder(lab) / "pki" / "ca.crt"


def keys(lab: LabPaths) -> Secrets:
    return key_files.load(Secrets, storage.folder(lab) / "secrets.json", "the object storage")


def region_keys(lab: LabPaths) -> RegionSecrets:
    return key_files.load(RegionSecrets, storage.folder(lab) / "region-secrets.json", "the regions' storage")


@contextmanager
def opened(lab: LabPaths, key: str, secret: str) -> Iterator[Any]:
    with closing(client(storage.URL, authority(lab), key, secret)) as s3:
        yield s3


def refusal(lab: LabPaths, login: tuple[str, str], call: str, **arguments: Any) -> str:
    """Why a call is refused."""
    with opened(lab, *login) as s3, pytest.raises(ClientError) as refused:
        getattr(s3, call)(**arguments)
    return code(refused)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_what_is_put_is_listed_and_got_and_older_versions_stay(bucket: Any) -> None:
    first = bucket.put_object(Bucket=BUCKET, Key=KEY, Body=b"one", ContentType="text/html; charset=utf-8")
    bucket.put_object(Bucket=BUCKET, Key=KEY, Body="二".encode(), ContentType="text/html; charset=utf-8")
    listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix="reports/")["Contents"]
    assert [version["Key"] for version in listed] == [KEY]
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
            closing(client(storage.URL, authority(lab), key, secret)) as stranger,
            pytest.raises(ClientError) as refused,
        ):
            stranger.list_objects_v2(Bucket=BUCKET)
        assert code(refused) == refusal
    assert requests.get(f"{storage.URL}/{BUCKET}", verify=str(authority(lab)), timeout=60).status_code == 403


def test_a_given_buckets_key_may_use_it_and_nothing_else(lab: LabPaths, bucket: Any) -> None:
    given = storage.give_bucket(lab, "given")
    bucket.create_bucket(Bucket="of-others")
    with opened(lab, given["access_key_id"], given["secret_access_key"]) as own:
        version = own.put_object(Bucket="given", Key="kept", Body=b"x")["VersionId"]
        for forbidden in (
            lambda: own.delete_object(Bucket="given", Key="kept", VersionId=version),
            lambda: own.put_bucket_versioning(Bucket="given", VersioningConfiguration={"Status": "Suspended"}),
            lambda: own.put_bucket_policy(Bucket="given", Policy="{}"),
            lambda: own.delete_bucket(Bucket="given"),
            lambda: own.create_bucket(Bucket="mine"),
            lambda: own.list_objects_v2(Bucket="of-others"),
            lambda: own.list_objects_v2(Bucket=BUCKET),
        ):
            with pytest.raises(ClientError) as refused:
                forbidden()
            assert code(refused) == "AccessDenied"


def test_the_common_key_may_do_nothing_where_every_role_has_its_own(lab: LabPaths) -> None:
    for second, name in ((False, BUCKET), (True, storage.SECOND_BUCKET)):
        common = storage.storage_secrets(lab, second=second)
        login = (common["access_key_id"], common["secret_access_key"])
        assert refusal(lab, login, "list_objects_v2", Bucket=name) == "AccessDenied"
        assert refusal(lab, login, "put_object", Bucket=name, Key="reports/mine", Body=b"x") == "AccessDenied"
        roles = storage.role_secrets(lab, second=second)
        assert set(roles) == set(StorageRole)
        assert len({key["access_key_id"] for key in roles.values()}) == len(roles)


def test_each_region_has_a_bucket_of_its_own_and_both_have_the_witness(lab: LabPaths) -> None:
    writers = [storage.role_secrets(lab, second=second)["report-writer"] for second in (False, True)]
    givens = dict(
        zip(("obs-local", "obs-local-dr", "obs-witness"), [*writers, storage.witness_secrets(lab)], strict=True)
    )
    opens = {name: (given["access_key_id"], given["secret_access_key"]) for name, given in givens.items()}
    mine = {"obs-local": "reports/mine", "obs-local-dr": "reports/mine", "obs-witness": "regions/mine"}
    for own, login in opens.items():
        with opened(lab, *login) as s3:
            s3.put_object(Bucket=own, Key=mine[own], Body=own.encode())
            assert s3.get_object(Bucket=own, Key=mine[own])["Body"].read() == own.encode()
        for other in opens.keys() - {own}:
            for forbidden in ("get_object", "put_object", "list_objects_v2"):
                key = {} if forbidden == "list_objects_v2" else {"Key": mine[other]}
                assert refusal(lab, login, forbidden, Bucket=other, **key) == "AccessDenied"
    for given in (storage.storage_secrets(lab), storage.storage_secrets(lab, second=True), givens["obs-witness"]):
        assert given["authority"] == authority(lab).read_text()


def test_the_witness_keeps_no_versions_since_heartbeats_never_end(lab: LabPaths) -> None:
    with opened(lab, keys(lab).root_key, keys(lab).root_secret) as root:
        statuses = {
            name: root.get_bucket_versioning(Bucket=name).get("Status") for name in ("obs-local-dr", "obs-witness")
        }
    assert statuses == {"obs-local-dr": "Enabled", "obs-witness": None}


def test_a_lease_is_taken_by_one_and_forgotten_with_the_last_region(lab: LabPaths) -> None:
    known = region_keys(lab)
    login = (known.witness_key, known.witness_secret)
    lease = {"Bucket": "obs-witness", "Key": "regions/lease.json"}
    with opened(lab, *login) as s3:
        first = s3.put_object(**lease, Body=b"a", IfNoneMatch="*")
        for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"00000000000000000000000000000000"'}):
            assert refusal(lab, login, "put_object", **lease, Body=b"b", **condition) == "PreconditionFailed"
        s3.put_object(**lease, Body=b"b", IfMatch=first["ETag"])
        assert refusal(lab, login, "put_object", **lease, Body=b"c", IfMatch=first["ETag"]) == "PreconditionFailed"
        assert s3.get_object(**lease)["Body"].read() == b"b"
        s3.put_object(Bucket="obs-witness", Key="regions/operations/1.json", Body=b"x")
        assert refusal(lab, login, "put_object", Bucket="obs-witness", Key="else", Body=b"x") == "AccessDenied"
        with closing(storage.bucket_client(lab)) as root:
            root.put_object(Bucket="obs-witness", Key="else", Body=b"x")
        storage.forget_regions(lab)
        storage.forget_regions(lab)
        left = [stored_object["Key"] for stored_object in s3.list_objects_v2(Bucket="obs-witness")["Contents"]]
        assert "else" in left
        assert not [key for key in left if key.startswith("regions/")]
        s3.put_object(**lease, Body=b"c", IfNoneMatch="*")


def test_a_running_storage_of_an_older_lab_learns_the_new_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_lab(storage) as (paths, _):
        storage.prepare(paths)
        accounts, regions = (
            storage.folder(paths) / "accounts" / "users.json",
            storage.folder(paths) / "region-secrets.json",
        )
        content = json.loads(accounts.read_text())
        content["accessAccounts"] = {keys(paths).key: content["accessAccounts"][keys(paths).key]}
        accounts.write_text(json.dumps(content))
        regions.unlink()
        (storage.folder(paths) / "role-secrets.json").unlink()
        with started(storage.daemon(paths)) as process:
            root = client(storage.URL, authority(paths), keys(paths).root_key, keys(paths).root_secret)
            with closing(root):
                wait_until("it to answer", lambda: answers(root), timeout_s=30)
            pid = process.pid()
            storage.prepare(paths)
            assert process.pid() == pid, "what runs may be in use: it must not be ended for this"
            storage.wait_ready(paths)
            known = region_keys(paths)
            with opened(paths, known.witness_key, known.witness_secret) as s3:
                s3.put_object(Bucket="obs-witness", Key="regions/k", Body=b"x")
            given = storage.role_secrets(paths)["archive"]
            with opened(paths, given["access_key_id"], given["secret_access_key"]) as s3:
                s3.put_object(Bucket=BUCKET, Key="backups/archive/k", Body=b"x")


def answers(root: Any) -> bool:
    try:
        root.list_buckets()
    except BotoCoreError:
        return False
    return True


def test_an_authority_of_somebody_else_does_not_open_a_connection(lab: LabPaths, tmp_path: Path) -> None:
    key_files.create_authority(tmp_path / "other")
    known = keys(lab)
    stranger = client(storage.URL, tmp_path / "other" / "ca.crt", known.key, known.secret)
    with closing(stranger), pytest.raises(SSLError, match="certificate verify failed"):
        stranger.list_objects_v2(Bucket=BUCKET)


def test_no_secret_is_on_its_command_line_or_in_its_log(lab: LabPaths) -> None:
    process = storage.daemon(lab)
    pid = process.pid()
    assert pid is not None
    line = Path(f"/proc/{pid}/cmdline").read_text()
    assert "versitygw" in line
    assert not [
        secret for secret in [*keys(lab).all(), *region_keys(lab).all()] if secret in line + process.log.read_text()
    ]


def test_files_are_made_once_and_objects_outlive_the_process(lab: LabPaths, bucket: Any) -> None:
    bucket.put_object(Bucket=BUCKET, Key="lasting", Body=b"x")
    process, before = storage.daemon(lab), storage.storage_secrets(lab)
    pid = process.pid()
    storage.prepare(lab)
    assert (process.pid(), storage.storage_secrets(lab)) == (pid, before)
    assert before["authority"] == (lab.state / "receivers" / "pki" / "ca.crt").read_text()
    assert all(
        (storage.folder(lab) / name).stat().st_mode & 0o077 == 0
        for name in ("secrets.json", "region-secrets.json", "role-secrets.json", "accounts", ".")
    )
    process.stop()
    process.start()
    storage.wait_ready(lab)
    assert bucket.get_object(Bucket=BUCKET, Key="lasting")["Body"].read() == b"x"


def test_a_process_that_would_be_started_differently_now_is_ended(
    lab: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with loopback_lab(storage) as (paths, _):
        other = Daemon("storage", [sys.executable, "-c", "import time; time.sleep(60)"], paths.state)
        monkeypatch.setattr(storage, "daemon", lambda _: other)
        storage.prepare(paths)
        with started(other):
            storage.prepare(paths)
            assert other.pid() is not None
            (storage.folder(paths) / "started-as.json").write_text("older")
            storage.prepare(paths)
            assert other.pid() is None


def test_a_storage_that_ends_at_once_is_told_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with loopback_lab(storage) as (paths, _):
        storage.prepare(paths)
        ending = Daemon("storage", [sys.executable, "-c", "print('no such address')"], paths.state)
        monkeypatch.setattr(storage, "daemon", lambda _: ending)
        with started(ending), pytest.raises(LabError, match=r"storage ended; log .*storage\.log:\nno such address"):
            storage.wait_ready(paths)


def test_without_a_lab_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    for ask in (storage.storage_secrets, storage.wait_ready, storage.bucket_client):
        with pytest.raises(LabError, match=r"secrets of the object storage: .* run `make up`"):
            ask(LabPaths("x"))
