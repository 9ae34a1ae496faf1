"""``ops backup list`` and ``verify``: what is in a bucket, whole or not, as people and machines see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyrage  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import app
from ops.backups.runs import archived, find, runs
from ops.core.errors import OpsError
from services.backup import BackupError
from services.backup.manifest import run_name
from services.backup.store import Store
from tests.unit.ops.backup_harness import METRICS, access_file, ago, identity_file, run, segment, state_run
from tests.unit.services.backup.harness import BUCKET, PREFIX, Harness


def backup(place: Harness, *words: str, identity: bool = False) -> Result:
    more = ["--identity", str(identity_file(place))] if identity else []
    return CliRunner().invoke(app, ["backup", *words, "--access", str(access_file(place)), *more])


def as_json(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_the_newest_runs_come_first_and_a_torn_one_is_named(place: Harness, store: Store) -> None:
    for hours in (3, 2, 1):
        run(store, "database", ago(hours=hours), rows=hours)
    torn = run_name(ago(minutes=1))
    store.put(f"database/{torn}/grafana.dump.age", b"half")
    listing = runs(store, "database", last=2)
    assert [manifest.counts["rows"] for manifest in listing.whole] == [1, 2]
    assert (listing.total, listing.torn) == (3, (torn,))


def test_an_empty_bucket_lists_as_empty(place: Harness) -> None:
    result = backup(place, "list", "--json")
    assert result.exit_code == 0, result.output
    listing = as_json(result)
    assert (listing["runs"], listing["archive"], listing["metrics"]) == ([], [], [])
    assert [kind["kind"] for kind in listing["kinds"]] == [
        *("database", "grafana", "kafka-metadata", "search", "pulumi-state")
    ]


def test_people_are_told_what_is_not_stored(place: Harness, store: Store) -> None:
    run(store, "grafana", ago(hours=1), dashboards=10)
    result = backup(place, "list")
    assert result.exit_code == 0, result.output
    assert "database: none is stored" in result.stdout
    assert "grafana: none is stored" not in result.stdout


def test_the_list_has_runs_topics_and_sizes(place: Harness, store: Store) -> None:
    manifest = run(store, "grafana", ago(hours=1), dashboards=10)
    segment(store, "alerts-raw", 0, 0, 9)
    segment(store, "alerts-raw", 0, 5, 14)
    segment(store, "alerts-raw", 1, 3, 4)
    listing = as_json(backup(place, "list", "--json"))
    [listed] = listing["runs"]
    assert (listed["kind"], listed["run"], listed["counts"]) == ("grafana", manifest.run, {"dashboards": 10})
    [topic] = listing["archive"]
    assert (topic["topic"], topic["partitions"], topic["segments"]) == ("alerts-raw", 2, 3)
    assert (topic["offsets"], topic["missing"]) == (17, 0), "doubled offsets count once"


def test_a_gap_in_the_archive_is_counted(store: Store) -> None:
    segment(store, "alerts-raw", 0, 0, 9)
    segment(store, "alerts-raw", 0, 20, 29)
    [archive] = archived(store)
    assert (archive.missing, archive.offsets) == (10, 20)


def test_a_topic_that_was_made_again_is_no_gap(store: Store) -> None:
    segment(store, "alerts-raw", 0, 100, 109, "AAAAAAAAAAAAAAAAAAAAAA")
    segment(store, "alerts-raw", 0, 0, 9, "BBBBBBBBBBBBBBBBBBBBBB")
    [archive] = archived(store)
    assert (archive.missing, len(archive.lives)) == (0, 2)


def test_a_run_is_found_by_name_or_as_the_newest(store: Store) -> None:
    first = run(store, "grafana", ago(hours=2))
    second = run(store, "grafana", ago(hours=1))
    assert find(store, "grafana", None).run == second.run
    assert find(store, "grafana", first.run).run == first.run
    with pytest.raises(OpsError, match="must be a start in UTC such as"):
        find(store, "grafana", "yesterday")
    with pytest.raises(
        OpsError, match="no search backup is stored that can be restored: `ops backup run search` makes one"
    ):
        find(store, "search", None)


def test_without_the_key_that_signs_no_run_is_found(place: Harness, store: Store) -> None:
    run(store, "grafana", ago(hours=2))
    store.signers = ()
    with pytest.raises(OpsError, match="no key is known that signs backups: bring the stack up, or take its output"):
        find(store, "grafana", None)
    assert runs(store, "grafana").newest is None


@pytest.mark.parametrize("how", ["unreadable", "missing", "short"])
def test_a_damaged_run_hides_none_of_the_whole_ones(place: Harness, store: Store, how: str) -> None:
    oldest = state_run(store, ago(hours=3))
    whole = state_run(store, ago(hours=2))
    damaged = state_run(store, ago(hours=1))
    key = f"pulumi-state/{damaged.run}/state.json.age"
    if how == "unreadable":
        store.put(f"pulumi-state/{damaged.run}/manifest.json", b'{"format": 2}')
    elif how == "missing":
        store.delete([key])
    else:
        store.put(key, b"cut off")
    listing = backup(place, "list", "--kind", "pulumi-state", "--json")
    assert listing.exit_code == 0, listing.output
    assert [listed["run"] for listed in as_json(listing)["runs"]] == [whole.run, oldest.run]
    assert list(as_json(listing)["kinds"][0]["damaged"]) == [damaged.run]
    told = backup(place, "list", "--kind", "pulumi-state")
    assert f"pulumi-state {damaged.run} cannot be restored: " in told.stdout
    target = place.folder / "state.json"
    restored = backup(place, "restore", "pulumi-state", "--to", str(target), identity=True)
    assert restored.exit_code == 0, restored.output
    assert f"passed over: pulumi-state {damaged.run} cannot be restored: " in restored.stderr
    assert f"the state of {whole.started:%Y-%m-%d %H:%M} UTC" in restored.stdout
    verified = backup(place, "verify", "--kind", "pulumi-state", "--json", identity=True)
    assert verified.exit_code == 1
    assert [(proof["run"], proof["good"]) for proof in as_json(verified)["proofs"]] == [
        (damaged.run, False),
        (whole.run, True),
    ]


def test_a_damaged_block_of_metrics_is_named_and_the_rest_is_listed(place: Harness, store: Store) -> None:
    run(store, "grafana", ago(hours=1), dashboards=10)
    block = "01KAWJ0000000000000000000A"
    place.s3.put_object(Bucket=BUCKET, Key=f"{METRICS}{block}/meta.json", Body=b"{}")
    listing = backup(place, "list", "--json")
    assert listing.exit_code == 0, listing.output
    assert [listed["kind"] for listed in as_json(listing)["runs"]] == ["grafana"]
    [problem] = as_json(listing)["damaged_blocks"]
    assert problem.startswith(f"{block}/meta.json: is not what Thanos writes")
    verified = backup(place, "verify", "--kind", "metrics", "--json", identity=True)
    assert verified.exit_code == 1
    assert [proof["problems"] for proof in as_json(verified)["proofs"]] == [[problem]]


def test_a_storage_that_refuses_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store, "grafana", ago(hours=1))

    def refusing(name: str, most: int) -> bytes:
        raise BackupError(f"{name} cannot be read: SlowDown")

    monkeypatch.setattr(store, "get", refusing)
    with pytest.raises(BackupError, match="SlowDown"):
        find(store, "grafana", None)


def test_what_can_be_used_is_proven(place: Harness, store: Store) -> None:
    state_run(store, ago(hours=1))
    result = backup(place, "verify", "--kind", "pulumi-state", "--json", identity=True)
    assert result.exit_code == 0, result.output
    [proof] = as_json(result)["proofs"]
    assert (proof["good"], proof["opened"], proof["problems"]) == (True, True, [])
    assert "1 objects open and hold what 2 counts say" in proof["seen"][0]


def test_counts_that_do_not_fit_are_a_problem(place: Harness, store: Store) -> None:
    state_run(store, ago(hours=1), resources=3, secrets=1)
    result = backup(place, "verify", "--kind", "pulumi-state", "--json", identity=True)
    assert result.exit_code == 1
    assert as_json(result)["proofs"][0]["problems"] == ["resources: 2, the manifest says 3"]


def test_a_changed_object_is_named(place: Harness, store: Store) -> None:
    manifest = state_run(store, ago(hours=1))
    key = f"{PREFIX}pulumi-state/{manifest.run}/state.json.age"
    body = bytearray(place.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    body[-1] ^= 1
    place.s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(body))
    result = backup(place, "verify", "--kind", "pulumi-state", identity=True)
    assert result.exit_code == 1
    told = " ".join(result.stdout.split())
    assert "is not what was" in told


def test_the_wrong_identity_opens_nothing(place: Harness, store: Store) -> None:
    state_run(store, ago(hours=1))
    other = place.folder / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    result = backup(place, "verify", "--kind", "pulumi-state", "--json", "--identity", str(other))
    assert result.exit_code == 1
    [problem] = as_json(result)["proofs"][0]["problems"]
    assert "it cannot be opened" in problem
    assert "AGE-SECRET-KEY" not in result.output


def test_without_an_identity_it_does_not_begin(place: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBS_BACKUP_IDENTITY", raising=False)
    result = backup(place, "verify")
    assert isinstance(result.exception, OpsError)
    assert "--identity is missing" in str(result.exception)


def test_everything_is_verified_and_nothing_stored_is_a_failure(place: Harness, store: Store) -> None:
    segment(store, "alerts-raw", 0, 0, 9)
    result = backup(place, "verify", "--json", identity=True)
    assert result.exit_code == 1
    proofs = {proof["kind"]: proof for proof in as_json(result)["proofs"]}
    assert proofs["database"]["problems"] == ["nothing is stored"]
    assert proofs["archive of alerts-raw"]["good"]
    assert "10 records in the newest ones" in proofs["archive of alerts-raw"]["seen"][0]
    assert proofs["metrics"]["problems"] == ["nothing is stored"]


def test_a_damaged_segment_and_a_gap_are_problems(place: Harness, store: Store) -> None:
    segment(store, "alerts-raw", 0, 0, 9)
    key = PREFIX + segment(store, "alerts-raw", 0, 12, 20)
    stored_object = place.s3.get_object(Bucket=BUCKET, Key=key)
    place.s3.put_object(
        Bucket=BUCKET, Key=key, Body=stored_object["Body"].read() + b"x", Metadata=stored_object["Metadata"]
    )
    result = backup(place, "verify", "--kind", "archive", "--json", identity=True)
    assert result.exit_code == 1
    problems = as_json(result)["proofs"][0]["problems"]
    assert problems[0] == "2 offsets are in no segment: 2 of partition 0"
    assert "is damaged" in problems[1]


def test_a_run_belongs_to_a_kind(place: Harness) -> None:
    result = backup(place, "verify", "--run", "20261125T150405Z", identity=True)
    assert isinstance(result.exception, OpsError)
    assert "name it with --kind" in str(result.exception)


def test_nothing_plain_stays_on_this_machine(
    place: Harness, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("OBS_BACKUP_SCRATCH", str(scratch))
    state_run(store, ago(hours=1))
    assert backup(place, "verify", "--kind", "pulumi-state", identity=True).exit_code == 0
    assert list(scratch.iterdir()) == []
    monkeypatch.setenv("OBS_BACKUP_SCRATCH", str(tmp_path / "none"))
    result = backup(place, "verify", "--kind", "pulumi-state", identity=True)
    assert isinstance(result.exception, OpsError)
    assert "there is no such folder" in str(result.exception)
