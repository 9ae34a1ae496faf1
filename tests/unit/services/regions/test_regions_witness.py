"""The witness bucket on this machine: one writer of the lease wins, and each failure is one line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from services.regions.witness import (
    LEASE_KEY,
    Lease,
    LeaseChangedError,
    ObjectChangedError,
    RegionError,
    Witness,
    WitnessError,
    _age_s,
    dump,
)
from services.runtime.settings import Storage
from tests.config.servers import free_port
from tests.unit.services.regions.test_regions_records import AT, heartbeat

BUCKET, LOGIN = "obs-witness", ("AKIAWITNESS", "secret-of-the-witness")
FIRST = Lease(holder="region-b", epoch=1, notify=False, since=AT, by="ops failover", reason="one")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def storage(url: str) -> Iterator[Storage]:
    client: Any = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=LOGIN[0],
        aws_secret_access_key=LOGIN[1],
    )
    client.create_bucket(Bucket=BUCKET)
    yield Storage(
        endpoint=url,
        region="us-east-1",
        bucket=BUCKET,
        prefix="",
        access_key_id_file=Path("/nonexistent"),
        secret_access_key_file=Path("/nonexistent"),
        ca_file=None,
    )
    for stored_object in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=stored_object["Key"])
    client.close()


@pytest.fixture
def witness(storage: Storage) -> Iterator[Witness]:
    opened_witness = Witness(storage, login=LOGIN, wait=lambda _: None)
    yield opened_witness
    opened_witness.close()


def test_where_no_lease_was_written_there_is_none(witness: Witness) -> None:
    assert witness.lease() is None


def test_a_lease_that_was_taken_is_there_with_its_etag(witness: Witness) -> None:
    etag = witness.take(FIRST, None)
    assert witness.lease() == (FIRST, etag)


def test_only_one_of_two_writes_the_first_lease(witness: Witness) -> None:
    witness.take(FIRST, None)
    with pytest.raises(LeaseChangedError, match="region-b holds it, epoch 1, by ops failover: one"):
        witness.take(replace(FIRST, holder="region-a", reason="two"), None)
    current = witness.lease()
    assert current is not None
    assert current[0].holder == "region-b"


def test_a_lease_is_replaced_only_by_who_read_it_last(witness: Witness) -> None:
    old = witness.take(FIRST, None)
    witness.take(replace(FIRST, epoch=2), old)
    with pytest.raises(LeaseChangedError, match="epoch 2"):
        witness.take(replace(FIRST, epoch=2, holder="region-a"), old)


def test_a_write_whose_answer_was_lost_is_known_as_ones_own(witness: Witness) -> None:
    old = witness.take(FIRST, None)
    lease = replace(FIRST, epoch=2)
    etag = witness.take(lease, old)
    assert witness.take(lease, old) == etag


def test_who_is_overwritten_within_the_moment_learns_it(storage: Storage) -> None:
    other = Witness(storage, login=LOGIN, wait=lambda _: None)

    def overwrite(_: float) -> None:
        current = other.lease()
        assert current is not None
        other.take(replace(FIRST, holder="region-a", reason="later"), current[1])

    slow = Witness(storage, login=LOGIN, wait=overwrite)
    with pytest.raises(LeaseChangedError, match="later"):
        slow.take(FIRST, None)
    slow.close()
    other.close()


def test_a_heartbeat_is_read_as_it_was_written_and_of_its_region_only(witness: Witness) -> None:
    witness.beat(heartbeat())
    assert witness.heartbeat("region-a") == heartbeat()
    assert witness.heartbeat("region-b") is None


def test_what_is_no_lease_is_told_and_not_taken_for_one(witness: Witness) -> None:
    witness.write(LEASE_KEY, {"holder": "region-a"}, None)
    with pytest.raises(RegionError, match=r"^regions/lease.json: epoch: Field required"):
        witness.lease()


def test_other_objects_are_read_written_and_listed(witness: Witness) -> None:
    assert witness.read("regions/operations/one.json") is None
    etag = witness.write("regions/operations/one.json", {"a": "あ"}, None)
    assert witness.read("regions/operations/one.json") == ({"a": "あ"}, etag)
    assert witness.keys("regions/operations/") == ["regions/operations/one.json"]


def test_an_object_is_replaced_only_by_who_read_it_last(witness: Witness) -> None:
    first = witness.write("regions/operations/one.json", {"turn": 1}, None)
    second = witness.write("regions/operations/one.json", {"turn": 2}, first)
    for etag in (None, first):
        with pytest.raises(ObjectChangedError, match=r"^somebody else has written regions/operations/one.json since"):
            witness.write("regions/operations/one.json", {"turn": 3}, etag)
    assert witness.write("regions/operations/one.json", {"turn": 2}, first) == second, "its own answer was lost"
    assert witness.read("regions/operations/one.json") == ({"turn": 2}, second)


def test_a_heartbeat_of_another_revision_is_read_and_what_is_not_known_is_named(witness: Witness) -> None:
    newer = {**json.loads(dump(heartbeat())), "shards": 3}
    witness.write("regions/region-a.json", newer, None)
    sighting = witness.sighting("region-a")
    assert sighting is not None
    assert (sighting.heartbeat, sighting.unknown) == (heartbeat(), ("shards",))


def test_the_key_is_read_again_when_it_changes(storage: Storage, tmp_path: Path) -> None:
    files = {"access_key_id_file": tmp_path / "key", "secret_access_key_file": tmp_path / "secret"}
    witness = Witness(replace(storage, **files))
    with pytest.raises(WitnessError, match="key cannot be read: No such file"):
        witness.lease()
    for file, text in zip(files.values(), LOGIN, strict=True):
        file.write_text(text + "\n")
    assert witness.lease() is None
    witness.close()


def test_a_witness_that_is_gone_is_one_line_without_the_secret(storage: Storage) -> None:
    witness = Witness(replace(storage, endpoint=f"http://127.0.0.1:{free_port()}"), login=LOGIN)
    with pytest.raises(WitnessError, match=r"^the witness: cannot read regions/lease.json: ") as caught:
        witness.lease()
    assert LOGIN[1] not in str(caught.value)
    assert "\n" not in str(caught.value)
    witness.close()


def test_a_bucket_that_is_not_there_is_no_missing_lease(storage: Storage) -> None:
    witness = Witness(replace(storage, bucket="no-such-bucket"), login=LOGIN)
    with pytest.raises(WitnessError, match="NoSuchBucket"):
        witness.lease()
    witness.close()


def test_a_heartbeat_is_as_old_as_the_storage_says_and_not_as_its_clock_shows(witness: Witness) -> None:
    assert witness.sighting("region-a") is None
    witness.beat(heartbeat())
    sighting = witness.sighting("region-a")
    assert sighting is not None
    assert sighting.heartbeat == heartbeat()
    assert sighting.age_s is not None
    assert sighting.age_s < 60


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"LastModified": AT},
        {"LastModified": AT, "ResponseMetadata": {"HTTPHeaders": {"date": "today"}}},
        {"ResponseMetadata": {"HTTPHeaders": {"date": "Wed, 25 Nov 2026 18:00:07 GMT"}}},
    ],
)
def test_a_storage_that_does_not_tell_both_moments_tells_no_age(answer: dict[str, Any]) -> None:
    assert _age_s(answer) is None
    date = {"HTTPHeaders": {"date": "Wed, 25 Nov 2026 18:00:07 GMT"}}
    assert _age_s({"LastModified": AT, "ResponseMetadata": date}) == 7
