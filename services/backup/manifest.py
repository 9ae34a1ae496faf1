"""What a run of a backup consists of: its keys, the manifest that makes it a run and goes last, behind encrypted
objects, and how long it is kept.

What is removed is decided from names alone, then applied, the oldest first. The newest complete run is never removed,
whatever its age: when nothing is made any more, the last one stays, and it stays for its days once something is again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from services.backup import BackupError, signature
from services.backup.encryption import Chunks, Readable, encrypt
from services.backup.store import Object, Store, Unfinished
from services.runtime import one_line

FORMAT = 1
FILE = "manifest.json"
ENCRYPTED_SUFFIX = ".age"
"""What the key of every other object of a run ends with."""
MOST_BYTES = 64 * 2**20
"""A manifest is never larger."""
_RUN = "%Y%m%dT%H%M%SZ"
_RUN_NAME = re.compile(r"\d{8}T\d{6}Z")
_KIND = r"[a-z][a-z0-9-]{0,62}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,240}"
_SHA256 = r"[0-9a-f]{64}"
_Count = Annotated[int, Field(ge=0)]
INCOMPLETE_KEPT = timedelta(days=2)
"""What has no manifest is looked after for so long: it may still be written."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoredObject(_Model):
    """One object of a run.

    Attributes:
        name: Its name in the run, without ``.age``.
        bytes: Size of the encrypted object.
        sha256: Digest of the encrypted object.
        plain_bytes: Size of what was encrypted.
        plain_sha256: Digest of what was encrypted.
    """

    name: str = Field(pattern=f"^{_NAME}$")
    bytes: _Count
    sha256: str = Field(pattern=f"^{_SHA256}$")
    plain_bytes: _Count
    plain_sha256: str = Field(pattern=f"^{_SHA256}$")


class Manifest(_Model):
    """A whole run.

    Attributes:
        format: Version of this form.
        kind: What was backed up, for example ``database``.
        run: Name of the run: its start in UTC, as ``20261125T150405Z``.
        platform: Name of the platform.
        region: Its region.
        started: When it began.
        finished: When its last object was stored.
        program: What made it, with version.
        recipients: Public keys of those who can open it.
        objects: Its objects.
        counts: What a restore is compared with: rows by table, documents by index, topics, dashboards ...
    """

    format: Literal[1] = 1
    kind: str = Field(pattern=f"^{_KIND}$")
    run: str
    platform: str = Field(min_length=1)
    region: str = Field(min_length=1)
    started: datetime
    finished: datetime
    program: str = Field(min_length=1)
    recipients: tuple[str, ...] = Field(min_length=1)
    objects: tuple[StoredObject, ...]
    counts: Mapping[str, _Count]

    @field_validator("run")
    @classmethod
    def _is_a_run(cls, value: str) -> str:
        run_time(value)
        return value

    @field_validator("started", "finished")
    @classmethod
    def _has_a_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("a time needs its zone, for example 2026-11-25T15:04:05Z")
        return value.astimezone(UTC)

    @model_validator(mode="after")
    def _fits(self) -> Manifest:
        names = [stored_object.name for stored_object in self.objects]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"objects has {twice[0]} twice")
        if self.finished < self.started:
            raise ValueError("finished is before started")
        return self

    @property
    def total_bytes(self) -> int:
        """Size of all its objects."""
        return sum(stored_object.bytes for stored_object in self.objects)

    @property
    def duration_s(self) -> float:
        """Seconds that it took."""
        return (self.finished - self.started).total_seconds()

    def content(self) -> bytes:
        """The manifest as it is stored."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def parse(content: bytes, where: str) -> Manifest:
    """Read a stored manifest.

    Args:
        content: What is stored.
        where: Its key, for messages.

    Raises:
        BackupError: It is none, or of another version.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its content"
        raise BackupError(f"{where} is no manifest of format {FORMAT}: {place}: {one_line(first['msg'])}") from None


def problem(manifest: Manifest, kind: str, run: str, sizes: Mapping[str, int]) -> str:
    """What is wrong with a run, seen from keys and sizes alone; empty for nothing.

    Args:
        manifest: What is stored as its manifest.
        kind: The kind of the key that it has.
        run: The run of that key.
        sizes: Last part of the key of each object of the run -> its size.
    """
    if (manifest.kind, manifest.run) != (kind, run):
        return f"its manifest is that of {manifest.kind}/{manifest.run}"
    for wanted in manifest.objects:
        file = f"{wanted.name}{ENCRYPTED_SUFFIX}"
        if file not in sizes:
            return f"{file} is missing"
        if sizes[file] != wanted.bytes:
            return f"{file} has {sizes[file]} bytes instead of {wanted.bytes}"
    return ""


def run_name(moment: datetime) -> str:
    """Name of a run that begins at that moment."""
    return moment.astimezone(UTC).strftime(_RUN)


def run_time(run: str) -> datetime:
    """When a run began.

    Raises:
        ValueError: It is no name of a run.
    """
    if not _RUN_NAME.fullmatch(run):
        raise ValueError(f"run is {run!r}; it must be a start in UTC such as 20261125T150405Z")
    return datetime.strptime(run, _RUN).replace(tzinfo=UTC)


def manifest_key(kind: str, run: str) -> str:
    """Key of a run's manifest below the bucket's prefix."""
    return f"{kind}/{run}/{FILE}"


def object_key(kind: str, run: str, name: str) -> str:
    """Key of an object of a run below the bucket's prefix.

    Raises:
        BackupError: The name has signs that no name may have.
    """
    if not re.fullmatch(_NAME, name):
        raise BackupError(
            f"the name of an object is {name!r}; allowed: letters, digits and . _ % + -, no more than 241"
        )
    return f"{kind}/{run}/{name}{ENCRYPTED_SUFFIX}"


def as_counts(counts: Mapping[str, Any]) -> dict[str, int]:
    """Counts in a fixed order."""
    return {key: int(counts[key]) for key in sorted(counts)}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as the bucket shows it.

    Attributes:
        kind: Which.
        name: Its name.
        started: When it began.
        objects: Its objects, the manifest among them, by name.
    """

    kind: str
    name: str
    started: datetime
    objects: tuple[Object, ...]

    @property
    def stored(self) -> datetime | None:
        """When its manifest was stored; None where it has none, so that it does not count as a run."""
        key = manifest_key(self.kind, self.name)
        return next((stored_object.written for stored_object in self.objects if stored_object.name == key), None)

    @property
    def complete(self) -> bool:
        """Whether it has a manifest."""
        return self.stored is not None

    @property
    def total_bytes(self) -> int:
        """Size of all its objects."""
        return sum(stored_object.bytes for stored_object in self.objects)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What retention removed.

    Attributes:
        runs: Names of runs, complete or not.
        objects: How many objects.
        uploads: How many unfinished uploads.
    """

    runs: tuple[str, ...]
    objects: int
    uploads: int


def runs(objects: Iterable[Object], kind: str) -> list[Run]:
    """The runs of a kind among some objects, oldest first; what is no run's is passed over."""
    held: dict[str, list[Object]] = {}
    for stored_object in objects:
        parts = stored_object.name.split("/")
        if len(parts) == 3 and parts[0] == kind:
            held.setdefault(parts[1], []).append(stored_object)
    parsed_runs = []
    for name, those in held.items():
        try:
            started = run_time(name)
        except ValueError:
            continue
        parsed_runs.append(
            Run(
                kind=kind,
                name=name,
                started=started,
                objects=tuple(sorted(those, key=lambda stored_object: stored_object.name)),
            )
        )
    return sorted(parsed_runs, key=lambda run: run.started)


def expired(all_runs: Sequence[Run], keep_days: int, now: datetime) -> list[Run]:
    """The runs to remove, oldest first.

    The days of a complete run count from the start of the next one, until which it was the newest: after a platform was
    gone for longer than that, the first backup of its successor does not remove the last one from before.

    Args:
        all_runs: All runs of a kind.
        keep_days: Days for which a complete run is kept.
        now: The time.
    """
    ordered = sorted(all_runs, key=lambda run: run.started)
    complete = [run for run in ordered if run.complete]
    kept = timedelta(days=keep_days)
    replaced = {run.name for run, later in pairwise(complete) if now - later.started > kept}
    return [run for run in ordered if (run.name in replaced if run.complete else now - run.started > INCOMPLETE_KEPT)]


def forgotten(uploads: Iterable[Unfinished], now: datetime) -> list[Unfinished]:
    """Uploads that nobody will finish."""
    return [upload for upload in uploads if now - upload.begun > INCOMPLETE_KEPT]


def apply(store: Store, kind: str, keep_days: int, now: datetime) -> Removed:
    """Remove what is too old of one kind, and nothing else.

    Raises:
        BackupError: The storage refuses, or does not answer.
    """
    gone = expired(runs(store.objects(f"{kind}/"), kind), keep_days, now)
    for run in gone:
        # The manifest goes first and alone: half removed, it is no run any more.
        manifest = f"{kind}/{run.name}/{FILE}"
        if run.complete:
            store.delete([manifest])
        store.delete([stored_object.name for stored_object in run.objects if stored_object.name != manifest])
    uploads = forgotten(store.unfinished(f"{kind}/"), now)
    for upload in uploads:
        store.give_up(upload.name, upload.upload)
    return Removed(
        runs=tuple(run.name for run in gone), objects=sum(len(run.objects) for run in gone), uploads=len(uploads)
    )


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What a kind tells about its run.

    Attributes:
        program: What made it, with version.
        counts: What a restore is compared with.
    """

    program: str
    counts: Mapping[str, int]


class RunWriter:
    """One run of one kind.

    Attributes:
        kind: Which.
        run: Its name.
    """

    def __init__(self, store: Store, kind: str, recipients: Sequence[str], started: datetime | None = None) -> None:
        """Begin a run.

        Args:
            store: Where it goes.
            kind: Which, for example ``database``.
            recipients: Public keys of those who can open it.
            started: When it began; None: now.

        Raises:
            BackupError: There is one that began at the same second, or the storage does not answer.
        """
        self._store, self._recipients = store, tuple(recipients)
        self._started = (started or datetime.now(UTC)).astimezone(UTC)
        self._objects: list[StoredObject] = []
        self.kind, self.run = kind, run_name(self._started)
        if store.objects(f"{kind}/{self.run}/"):
            raise BackupError(f"{kind}: run {self.run} is there already: two began at the same second")

    def add(self, name: str, source: Readable) -> StoredObject:
        """Store everything that can be read as an object.

        Raises:
            BackupError: It cannot be encrypted or stored, or its name is there already.
            Exception: Whatever reading raises; nothing is stored then.
        """
        if any(stored_object.name == name for stored_object in self._objects):
            raise BackupError(f"{self.kind}: {name} is there twice")
        with self._store.writing(object_key(self.kind, self.run, name)) as upload:
            plain, encrypted = encrypt(source, upload, self._recipients)
        stored = StoredObject(
            name=name,
            bytes=encrypted.bytes,
            sha256=encrypted.sha256,
            plain_bytes=plain.bytes,
            plain_sha256=plain.sha256,
        )
        self._objects.append(stored)
        return stored

    def add_chunks(self, name: str, chunks: Iterable[bytes]) -> StoredObject:
        """Store what is yielded; see `add`."""
        return self.add(name, Chunks(chunks))

    def add_json(self, name: str, content: Any) -> StoredObject:
        """Store data; see `add`."""
        text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True)
        return self.add(name, BytesIO(text.encode() + b"\n"))

    def finish(self, run_summary: RunSummary, *, platform: str, region: str, seal_key: str | None = None) -> Manifest:
        """Store the manifest: from now on it is a run.

        Args:
            run_summary: What the kind tells about it.
            platform: Name of the platform.
            region: Its region.
            seal_key: Key of the kind; None: it gets no seal, and is never signed.

        Raises:
            BackupError: The storage refuses it, or does not answer.
        """
        manifest = Manifest(
            kind=self.kind,
            run=self.run,
            platform=platform,
            region=region,
            started=self._started,
            finished=max(datetime.now(UTC), self._started),
            program=run_summary.program,
            recipients=self._recipients,
            objects=tuple(self._objects),
            counts=as_counts(run_summary.counts),
        )
        content = manifest.content()
        self._store.put(
            manifest_key(self.kind, self.run),
            content,
            kind="application/json",
            metadata={signature.SEAL: signature.seal(seal_key, content)} if seal_key else {},
        )
        return manifest
