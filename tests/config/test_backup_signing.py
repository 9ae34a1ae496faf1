"""Runs are signed, in a real object storage, and nothing is restored that is not: forged, changed, moved, another's."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from ops.backups import runs as stored_runs
from services.backup import BackupError, signature
from services.backup.encryption import Identity
from services.backup.manifest import Manifest, RunSummary, RunWriter, manifest_key
from services.backup.restore import fetch, find
from services.backup.store import Store
from services.backup_exporter import SigningSettings
from services.backup_exporter.poller import BackupBucket, KindStatus, Runs
from services.backup_exporter.signing import Signer
from tests.config.storage_process import StorageProcess, storage_process

SIGNING_KEY, OTHER_KEY = "0123456789abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuv0123456789"
SEAL_KEY = "key-of-the-job-of-databases"
KIND = "database"
MANIFEST_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class Place:
    """A prefix of the bucket, the writers' store there, and who signs."""

    storage: StorageProcess
    prefix: str
    folder: Path
    writer: Store
    identity: Identity
    logged: list[str]

    def run(self, age: timedelta = timedelta(0), *, seal_key: str | None = SEAL_KEY, region: str = "tokyo") -> Manifest:
        """A run of one object that began so long ago."""
        target = RunWriter(self.writer, KIND, [str(self.identity.to_public())], datetime.now(UTC) - age)
        target.add("grafana.dump", io.BytesIO(b"content"))
        summary = RunSummary(program="test 1", counts={"rows": 1})
        return target.finish(summary, platform="obs", region=region, seal_key=seal_key)

    def signer(self, key: str = SIGNING_KEY) -> Runs:
        """A backup exporter that has just started."""
        for name, text in (("signing", key), ("seal", SEAL_KEY)):
            (self.folder / name).write_text(text + "\n")
        settings = SigningSettings(
            key_file=self.folder / "signing",
            seal_key_files={KIND: self.folder / "seal"},
            platform="obs",
            region="tokyo",
        )
        place = self.storage.place(self.prefix)
        bucket = BackupBucket(place)
        return Runs(bucket, self.logged.append, Signer(place, bucket, settings, self.logged.append))

    def poll(self, key: str = SIGNING_KEY) -> KindStatus:
        """What one that has just started sees."""
        return self.signer(key).poll(KIND)

    def reader(self, key: str = SIGNING_KEY) -> Store:
        """An operator's store, which knows the public key."""
        public = signature.public_key(signature.private_key(key))
        return Store(self.storage.place(self.prefix), signers=[public])

    def put(self, manifest: Manifest, run: str = "", *, seal_key: str | None = None) -> None:
        """Put a manifest in the place of another, as somebody who may write to the bucket can."""
        content = manifest.content()
        metadata = {signature.SEAL: signature.seal(seal_key, content)} if seal_key else {}
        self.writer.put(manifest_key(KIND, run or manifest.run), content, metadata=metadata)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageProcess]:
    with storage_process(tmp_path_factory.mktemp("storage")) as started:
        yield started


@pytest.fixture
def place(storage: StorageProcess, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    prefix = f"{request.node.name.translate(str.maketrans('[]', '--'))}/"
    with storage.store(prefix) as writer:
        yield Place(
            storage=storage,
            prefix=prefix,
            folder=tmp_path,
            writer=writer,
            identity=pyrage.x25519.Identity.generate(),
            logged=[],
        )


def refusal(place: Place, run: str, folder: Path) -> str:
    """Why a run is not restored; nothing of it is on the disk then."""
    with pytest.raises(BackupError) as refused:
        fetch(place.reader(), KIND, run, [place.identity], folder)
    assert not folder.exists()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_run_of_the_job_is_signed_and_restored(place: Place, tmp_path: Path) -> None:
    run = place.run().run
    assert refusal(place, run, tmp_path / "run") == f"{KIND} {run} is refused: it is not signed"
    exporter = place.signer()
    status = exporter.poll(KIND).signing
    assert (status.signed, dict(status.refused), status.waiting) == (1, {}, None)
    assert fetch(place.reader(), KIND, run, [place.identity], tmp_path / "run").run == run
    assert (tmp_path / "run/grafana.dump").read_bytes() == b"content"
    assert exporter.poll(KIND).signing == place.poll().signing == status
    assert place.logged == [f"{KIND}/{run} is signed"]


def test_two_exporters_store_the_same_signature(place: Place) -> None:
    run = place.run().run
    place.poll()
    first = place.writer.get(signature.object_key(KIND, run), 1024)
    place.writer.delete([signature.object_key(KIND, run)])
    place.poll()
    assert place.writer.get(signature.object_key(KIND, run), 1024) == first


@pytest.mark.parametrize(
    ("seal_key", "reason"),
    [
        (None, "it has no seal: no job of this platform made it"),
        ("guessed", "its seal is not that of its manifest: it was changed, or made elsewhere"),
    ],
)
def test_a_forged_run_is_not_signed_and_not_restored(
    place: Place, tmp_path: Path, seal_key: str | None, reason: str
) -> None:
    good = place.run(timedelta(hours=1)).run
    exporter = place.signer()
    exporter.poll(KIND)
    forged = place.run(seal_key=seal_key).run
    for _ in range(2):
        status = exporter.poll(KIND).signing
        assert (status.signed, dict(status.refused), status.waiting) == (1, {forged: reason}, None)
    assert place.logged[-1] == f"{KIND}/{forged} is not signed: {reason}"
    assert refusal(place, forged, tmp_path / "run") == f"{KIND} {forged} is refused: it is not signed"
    # Who forges may write a signature of their own, too.
    content = place.writer.get(manifest_key(KIND, forged), MANIFEST_BYTES)
    place.writer.put(signature.object_key(KIND, forged), signature.sign(signature.private_key(OTHER_KEY), content))
    assert dict(exporter.poll(KIND).signing.refused) == {forged: reason}
    assert refusal(place, forged, tmp_path / "run") == (
        f"{KIND} {forged} is refused: its signature is not that of this platform: it was changed, or made elsewhere"
    )
    assert find(place.reader(), KIND).run == good, "the newest that is signed"


def test_a_signed_manifest_that_is_changed_is_refused_and_not_signed_again(place: Place, tmp_path: Path) -> None:
    manifest = place.run()
    exporter = place.signer()
    exporter.poll(KIND)
    changed = manifest.model_copy(update={"counts": {"rows": 2}})
    place.put(changed)
    reason = "it has no seal: no job of this platform made it"
    assert dict(exporter.poll(KIND).signing.refused) == {manifest.run: reason}
    assert "its signature is not that of this platform" in refusal(place, manifest.run, tmp_path / "run")


@pytest.mark.parametrize(
    ("finished", "reason"),
    [
        (timedelta(seconds=90), "it says that it was finished at "),
        (timedelta(days=3), "it says that it began at "),
    ],
)
def test_not_even_the_jobs_own_key_makes_up_the_past(
    place: Place, tmp_path: Path, finished: timedelta, reason: str
) -> None:
    place.run(timedelta(hours=1))
    exporter = place.signer()
    exporter.poll(KIND)
    manifest = place.run(timedelta(days=3))
    backdated = manifest.model_copy(update={"finished": manifest.started + finished})
    place.put(backdated, seal_key=SEAL_KEY)
    [refused] = exporter.poll(KIND).signing.refused.values()
    assert refused.startswith(reason)
    assert refusal(place, manifest.run, tmp_path / "run").endswith("it is not signed")


def test_a_signed_manifest_under_another_name_and_one_of_another_region_are_refused(
    place: Place, tmp_path: Path
) -> None:
    manifest = place.run(timedelta(hours=2))
    exporter = place.signer()
    exporter.poll(KIND)
    foreign = place.run(timedelta(hours=1), region="osaka").run
    copied = place.run().run
    place.put(manifest, copied, seal_key=SEAL_KEY)
    assert dict(exporter.poll(KIND).signing.refused) == {
        foreign: "it is of obs/osaka, and this is obs/tokyo",
        copied: f"its manifest is that of {KIND}/{manifest.run}",
    }
    signed = place.writer.get(signature.object_key(KIND, manifest.run), 1024)
    place.writer.put(signature.object_key(KIND, copied), signed)
    assert f"is the manifest of {KIND}/{manifest.run}" in refusal(place, copied, tmp_path / "run")
    assert refusal(place, foreign, tmp_path / "run").endswith("it is not signed")


def test_a_run_that_is_not_whole_waits(place: Place) -> None:
    manifest = place.run()
    dump = f"{KIND}/{manifest.run}/grafana.dump.age"
    content = place.writer.get(dump, 2**16)
    place.writer.delete([dump])
    status = place.poll()
    assert (status.signing.signed, status.damaged) == (0, (manifest.run,))
    assert status.signing.waiting is not None
    assert abs(status.signing.waiting - datetime.now(UTC).timestamp()) < 60
    place.writer.put(dump, content)
    assert place.poll().signing.signed == 1


def test_another_key_signs_again_what_has_its_seal(place: Place) -> None:
    run = place.run().run
    place.poll()
    assert find(place.reader(), KIND, run).run == run
    with pytest.raises(BackupError, match="its signature is not that of this platform"):
        find(place.reader(OTHER_KEY), KIND, run)
    status = place.poll(OTHER_KEY).signing
    assert (status.signed, dict(status.refused)) == (1, {})
    assert find(place.reader(OTHER_KEY), KIND, run).run == run


def test_runs_of_a_release_that_signed_nothing_are_no_alarm_and_not_restored(place: Place, tmp_path: Path) -> None:
    former = place.run(timedelta(hours=2), seal_key=None).run
    exporter = place.signer()
    assert exporter.poll(KIND).signing.refused == {}
    reader = place.reader()
    assert stored_runs.runs(reader, KIND).unsigned == (former,), "it may be signed soon"
    # The storage tells whole seconds.
    place.storage.age(f"{place.prefix}{manifest_key(KIND, former)}", 7200)
    signed = place.run().run
    status = exporter.poll(KIND).signing
    assert (status.signed, dict(status.refused), status.waiting) == (1, {}, None)
    held = stored_runs.runs(reader, KIND)
    assert ([manifest.run for manifest in held.whole], held.damaged, held.unsigned) == ([signed], {}, (former,))
    assert refusal(place, former, tmp_path / "run").endswith("it is not signed")


def test_a_run_that_is_missing_its_signature_for_long_is_a_problem(place: Place) -> None:
    first = place.run(timedelta(hours=2)).run
    place.poll()
    forged = place.run(timedelta(hours=1), seal_key=None).run
    place.storage.age(f"{place.prefix}{manifest_key(KIND, forged)}", 3600)
    held = stored_runs.runs(place.reader(), KIND)
    assert ([manifest.run for manifest in held.whole], held.unsigned) == ([first], ())
    assert held.problems == [f"{KIND} {forged} cannot be restored: it is not signed"]
    told: list[str] = []
    assert stored_runs.find(place.reader(), KIND, None, told.append).run == first
    assert told == held.problems


def test_a_signature_goes_with_its_run(place: Place) -> None:
    run = place.run().run
    exporter = place.signer()
    exporter.poll(KIND)
    place.writer.delete([stored.name for stored in place.writer.objects(f"{KIND}/{run}/")])
    exporter.poll(KIND)
    assert place.writer.objects() == []


def test_a_key_that_is_missing_is_told_once_and_nothing_is_signed(place: Place) -> None:
    place.run()
    exporter = place.signer()
    (place.folder / "signing").unlink()
    for _ in range(2):
        status = exporter.poll(KIND).signing
        assert status.signed == 0
        assert status.waiting is not None
    assert place.logged == [f"{place.folder}/signing: cannot be read: No such file or directory"]


def test_without_a_public_key_nothing_is_restored(place: Place) -> None:
    run = place.run().run
    place.poll()
    with pytest.raises(BackupError, match="no key is known that signs backups"):
        find(Store(place.storage.place(place.prefix), signers=[]), KIND, run)
