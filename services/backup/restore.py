"""Gets a run back: which runs there are, their objects checked and opened, what a restore is compared with, and Grafana
and the search cluster, as a backup or a restore talks to them.

Where the bucket says who signs (`Store.signers`), a run that is not signed is refused as one that is damaged is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.backup import WAITS_S, BackupError, signature
from services.backup import manifest as form
from services.backup.encryption import Digest, Identity, decrypt
from services.backup.manifest import Manifest, StoredObject
from services.backup.store import NotStoredError, Store
from services.runtime.json_api import ApiError, JsonApi


@contextmanager
def connected(
    name: str,
    url: str,
    ca_file: Path,
    *,
    login: tuple[str, str] | None = None,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[JsonApi]:
    """A client of one server, as one user.

    Args:
        name: Which server, for messages, for example ``Grafana``.
        url: ``https://host:port``.
        ca_file: Authority of its certificate.
        login: Name and password for every request.
        certificate: Files with chain and key of the client, if it has one.

    Raises:
        BackupError: The address is not HTTPS, the authority's file is not there, or a request fails.
    """
    if not url.startswith("https://"):
        raise BackupError(f"{name}: the address is {url!r}; it must be https://host:port")
    if not ca_file.is_file():
        raise BackupError(f"{ca_file}: cannot be read: it must hold the authority of {name}")
    try:
        with JsonApi(name, url, ca_file, login=login, certificate=certificate, waits_s=WAITS_S) as api:
            yield api
    except ApiError as error:
        raise BackupError(str(error)) from None


LATEST = "latest"
NOT_SIGNED = "it is not signed"
NO_SIGNER = "no key is known that signs backups: bring the stack up, or take its output `backups` again"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a restore did.

    Attributes:
        counts: What is there now, counted anew in the target, under the names that the manifest has.
        notes: What was not restored and why, one line each.
    """

    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()


def kept(store: Store, kind: str) -> list[form.Run]:
    """Complete runs of a kind, oldest first.

    Raises:
        BackupError: The storage refuses, or does not answer.
    """
    return [run for run in form.runs(store.objects(f"{kind}/"), kind) if run.complete]


def find(store: Store, kind: str, run: str = LATEST) -> Manifest:
    """Manifest of a run.

    Args:
        store: Where it is.
        kind: Which kind.
        run: Its name, or ``latest``: the newest whole one.

    Raises:
        BackupError: There is no such run, its manifest is none or not signed, or the storage does not answer.
    """
    if run == LATEST:
        for candidate in reversed(kept(store, kind)):
            if isinstance(manifest := look(store, candidate), Manifest):
                return manifest
        raise BackupError(f"{store.where}: there is no whole backup of kind {kind}")
    key = form.manifest_key(kind, run)
    try:
        content = store.get(key, form.MOST_BYTES)
    except NotStoredError:
        raise BackupError(f"{store.where}: there is no whole backup {kind}/{run}") from None
    if problem := unsigned(store, kind, run, content):
        raise BackupError(f"{kind} {run} is refused: {problem}")
    manifest = form.parse(content, key)
    if (manifest.kind, manifest.run) != (kind, run):
        raise BackupError(f"{key} is the manifest of {manifest.kind}/{manifest.run}")
    return manifest


def unsigned(store: Store, kind: str, run: str, content: bytes) -> str:
    """Why a manifest is not taken for one that this platform made; empty where it is signed, or nobody asks.

    Raises:
        BackupError: The storage refuses, or does not answer.
    """
    if store.signers is None:
        return ""
    if not store.signers:
        return NO_SIGNER
    try:
        given = store.get(signature.object_key(kind, run), signature.MOST_BYTES)
    except NotStoredError:
        return NOT_SIGNED
    if signature.is_signed(store.signers, content, given):
        return ""
    return "its signature is not that of this platform: it was changed, or made elsewhere"


def signatures(store: Store, kind: str) -> set[str]:
    """Names of runs that have a signature, good or not.

    Raises:
        BackupError: The storage refuses, or does not answer.
    """
    folder = signature.object_key(kind, "")
    return {stored_object.name.removeprefix(folder) for stored_object in store.objects(folder)}


def look(store: Store, run: form.Run) -> Manifest | str:
    """The manifest of a complete, signed run whose objects are there in their sizes; else what is wrong with it.

    Raises:
        BackupError: The storage refuses, or does not answer.
    """
    sizes = {stored_object.name.rpartition("/")[2]: stored_object.bytes for stored_object in run.objects}
    key = form.manifest_key(run.kind, run.name)
    if sizes[form.FILE] > form.MOST_BYTES:
        return f"its manifest has {sizes[form.FILE]} bytes"
    try:
        content = store.get(key, form.MOST_BYTES)
    except NotStoredError:
        return "its manifest was removed just now"
    if problem := unsigned(store, run.kind, run.name, content):
        return problem
    try:
        manifest = form.parse(content, key)
    except BackupError as error:
        return str(error)
    return form.problem(manifest, run.kind, run.name, sizes) or manifest


def fetch(store: Store, kind: str, run: str, identities: Sequence[Identity], folder: Path) -> Manifest:
    """Download a run, check it and open it.

    The folder holds the plain objects and the manifest then, for its owner alone; an object that does not fit the
    manifest leaves nothing behind.

    Args:
        store: Where it is.
        kind: Which kind.
        run: Its name, or ``latest``.
        identities: Secret keys of an operator; see `services.backup.encryption.read_identities`.
        folder: Where to; it is made, and must be empty.

    Raises:
        BackupError: There is no such run, an object is missing, changed or does not open, or the folder is not empty.
    """
    manifest = find(store, kind, run)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise BackupError(f"{folder}: is not empty; name a new folder")
        for stored_object in manifest.objects:
            _fetch(store, manifest, stored_object, identities, folder)
        (folder / form.FILE).write_bytes(manifest.content())
    except OSError as error:
        raise BackupError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    return manifest


def _fetch(store: Store, run: Manifest, wanted: StoredObject, identities: Sequence[Identity], folder: Path) -> None:
    key = form.object_key(run.kind, run.run, wanted.name)
    encrypted, plain = folder / f"{wanted.name}{form.ENCRYPTED_SUFFIX}", folder / wanted.name
    try:
        _same(key, "stored", store.download(key, encrypted), (wanted.bytes, wanted.sha256))
        plain.touch(0o600, exist_ok=False)
        with encrypted.open("rb") as source, plain.open("wb") as target:
            _, digest = decrypt(source, target, identities)
        _same(key, "encrypted", digest, (wanted.plain_bytes, wanted.plain_sha256))
    except BaseException as error:
        with suppress(OSError):
            plain.unlink(missing_ok=True)
        if isinstance(error, BackupError) and key not in str(error):
            raise BackupError(f"{key}: {error}") from None
        raise
    finally:
        with suppress(OSError):
            encrypted.unlink(missing_ok=True)


def _same(key: str, how: str, digest: Digest, wanted: tuple[int, str]) -> None:
    if (digest.bytes, digest.sha256) != wanted:
        raise BackupError(
            f"{key}: is not what was {how}: {digest.bytes} bytes, SHA-256 {digest.sha256}; the manifest says "
            f"{wanted[0]} bytes, SHA-256 {wanted[1]}"
        )


def opened(folder: Path, kind: str) -> Manifest:
    """The manifest of a fetched run of that kind.

    Raises:
        BackupError: The folder holds none, or one of another kind, or an object is missing.
    """
    file = folder / form.FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BackupError(f"{file}: cannot be read: {error.strerror}; fetch a run into that folder first") from None
    manifest = form.parse(content, str(file))
    if manifest.kind != kind:
        raise BackupError(f"{folder}: holds a backup of kind {manifest.kind}, not of {kind}")
    for stored_object in manifest.objects:
        if not (folder / stored_object.name).is_file():
            raise BackupError(f"{folder / stored_object.name}: is missing; fetch the run again")
    return manifest


def content(folder: Path, name: str) -> Any:
    """A JSON document of a fetched run.

    Raises:
        BackupError: It is missing, or no JSON.
    """
    try:
        return json.loads((folder / name).read_bytes())
    except OSError as error:
        raise BackupError(f"{folder / name}: cannot be read: {error.strerror}; fetch the run again") from None
    except ValueError:
        raise BackupError(f"{folder / name}: is no JSON; fetch the run again") from None


def differences(manifest: Manifest, counts: Mapping[str, int]) -> list[str]:
    """Where the counts of a restore differ from the manifest's, one line each; those that a side lacks count as 0.

    Args:
        manifest: The run's manifest.
        counts: Of `Outcome`; a restore of one database is compared with the counts of that database alone, see
            `services.backup.database.counts_of`.
    """
    return [
        f"{name}: {manifest.counts.get(name, 0)} in the backup, {counts.get(name, 0)} restored"
        for name in sorted({*manifest.counts, *counts})
        if manifest.counts.get(name, 0) != counts.get(name, 0)
    ]
