"""Signs runs of backups that jobs of this platform made, and sees whether those that are signed still are as they were.

What is signed is a manifest, by which a restore knows every object again. It is signed once it has the seal of its
kind's job, is of this platform and region, was stored when it says that it was finished, and its objects are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.backup import BackupError, manifest, signature
from services.backup.store import Store
from services.backup_exporter import SigningSettings
from services.runtime.s3 import Bucket, NotStoredError, Object
from services.runtime.settings import SettingsError, Storage, secret

_MOST_AT_ONCE = 100
"""Manifests of a kind that one poll looks at which none looked at before."""


@dataclass(frozen=True, kw_only=True)
class SigningStatus:
    """How far the runs of one kind are signed.

    Attributes:
        signed: Runs whose signature is that of their manifest.
        refused: Run -> why it is not signed, and will not be.
        waiting: When the oldest run was stored that is to be signed and is not yet, seconds since 1970; None: all are.
    """

    signed: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    waiting: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Run:
    kind: str
    name: str
    files: Mapping[str, Object]
    signature: Object | None

    @property
    def manifest(self) -> Object:
        return self.files[manifest.FILE]

    @property
    def state(self) -> tuple[str, str, float, float]:
        """What was looked at is looked at again once either was stored anew."""
        return self.kind, self.name, self.manifest.written, self.signature.written if self.signature else 0.0


class Signer:
    """Holds the key.

    Args:
        storage: The bucket below the prefix of the backups.
        bucket: The same, to read.
        settings: Keys, and whose runs are signed.
        log: Gets a line for each run that is signed, and for each that is refused.
    """

    def __init__(self, storage: Storage, bucket: Bucket, settings: SigningSettings, log: Callable[[str], None]) -> None:
        self._storage, self._bucket, self._settings, self._log = storage, bucket, settings, log
        self._verdicts: dict[tuple[str, str, float, float], str] = {}
        self._logged: dict[str, str] = {}

    def poll(self, kind: str, by_run: Mapping[str, Mapping[str, Object]]) -> SigningStatus:
        """Sign what is to be signed of a kind.

        Args:
            kind: Which.
            by_run: Run -> its objects by the last part of their keys.

        Raises:
            StorageError: The storage does not answer, or refuses to be read.
        """
        folder = signature.object_key(kind, "")
        held = {stored.key.removeprefix(folder): stored for stored in self._bucket.objects(folder)}
        runs = [
            _Run(kind=kind, name=name, files=files, signature=held.get(name))
            for name, files in sorted(by_run.items(), reverse=True)
            if manifest.FILE in files
        ]
        known = {run.state for run in runs}
        self._verdicts = {state: said for state, said in self._verdicts.items() if state[0] != kind or state in known}
        try:
            self._look([run for run in runs if run.state not in self._verdicts][:_MOST_AT_ONCE])
            self._remove(kind, held.keys() - by_run.keys())
            problem = ""
        except (BackupError, SettingsError) as error:
            problem = str(error)
        if problem and problem != self._logged.get(kind):
            self._log(problem)
        self._logged[kind] = problem
        return self._status(runs)

    def _status(self, runs: list[_Run]) -> SigningStatus:
        verdicts = {run.name: self._verdicts.get(run.state) for run in runs}
        signed = [run for run in runs if verdicts[run.name] == ""]
        began = min((run.manifest.written for run in signed), default=None)
        waiting = [run.manifest.written for run in runs if verdicts[run.name] is None and not run.signature]
        # What was stored before the first one was signed is of a release that signed nothing.
        refused = {
            run.name: said
            for run in runs
            if (said := verdicts[run.name]) and (run.signature or (began is not None and run.manifest.written >= began))
        }
        return SigningStatus(signed=len(signed), refused=refused, waiting=min(waiting, default=None))

    def _look(self, runs: list[_Run]) -> None:
        """Find out about runs.

        Raises:
            StorageError: The storage does not answer, or refuses to be read.
            BackupError: A signature cannot be stored.
            SettingsError: A key cannot be read.
        """
        if not runs:
            return
        key = signature.private_key(secret(self._settings.key_file))
        for run in runs:
            try:
                said = self._verdict(run, key)
            except NotStoredError:
                continue
            if said is None:
                continue
            self._verdicts[run.state] = said
            if said:
                self._log(f"{run.kind}/{run.name} is not signed: {said}")

    def _verdict(self, run: _Run, key: Ed25519PrivateKey) -> str | None:
        """Sign a run that is to be: empty once it is signed, else why it is refused; None: it is not whole (yet)."""
        name = manifest.manifest_key(run.kind, run.name)
        if run.manifest.size > manifest.MOST_BYTES:
            return f"its manifest has {run.manifest.size} bytes"
        stored = self._bucket.open(name)
        content = b"".join(stored.chunks)
        if run.signature and self._is_signed(run, content, key):
            return ""
        given = stored.metadata.get(signature.SEAL, "")
        if problem := self._refusal(run, content, given):
            return problem
        sizes = {file: stored_object.size for file, stored_object in run.files.items()}
        if manifest.problem(manifest.parse(content, name), run.kind, run.name, sizes):
            return None
        store = Store(self._storage)
        try:
            store.put(signature.object_key(run.kind, run.name), signature.sign(key, content), kind="text/plain")
        finally:
            store.close()
        self._log(f"{run.kind}/{run.name} is signed")
        return ""

    def _is_signed(self, run: _Run, content: bytes, key: Ed25519PrivateKey) -> bool:
        stored = self._bucket.open(signature.object_key(run.kind, run.name))
        if stored.size > signature.MOST_BYTES:
            stored.chunks.close()
            return False
        return signature.is_signed([signature.public_key(key)], content, b"".join(stored.chunks))

    def _refusal(self, run: _Run, content: bytes, given: str) -> str:
        file = self._settings.seal_key_files.get(run.kind)
        if file is None or not given:
            return "it has no seal: no job of this platform made it"
        if not signature.sealed(secret(file), content, given):
            return "its seal is not that of its manifest: it was changed, or made elsewhere"
        try:
            parsed = manifest.parse(content, manifest.manifest_key(run.kind, run.name))
        except BackupError as error:
            return str(error)
        own = f"{self._settings.platform}/{self._settings.region}"
        if (origin := f"{parsed.platform}/{parsed.region}") != own:
            return f"it is of {origin}, and this is {own}"
        if (parsed.kind, parsed.run) != (run.kind, run.name):
            return f"its manifest is that of {parsed.kind}/{parsed.run}"
        written = datetime.fromtimestamp(run.manifest.written, UTC)
        return signature.late(manifest.run_time(run.name), parsed.finished, written)

    def _remove(self, kind: str, runs: set[str]) -> None:
        """Remove signatures of runs that are gone."""
        if runs:
            store = Store(self._storage)
            try:
                store.delete([signature.object_key(kind, run) for run in sorted(runs)])
            finally:
                store.close()
