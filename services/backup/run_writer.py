"""A run while it is made: objects go out encrypted, and the manifest that makes them a run goes last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from services.backup import BackupError
from services.backup.encryption import Chunks, Readable, encrypt
from services.backup.manifest import Manifest, StoredObject, as_counts, manifest_key, object_key, run_name
from services.backup.store import Store


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

    def finish(self, run_summary: RunSummary, *, platform: str, region: str) -> Manifest:
        """Store the manifest: from now on it is a run.

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
        self._store.put(manifest_key(self.kind, self.run), manifest.content(), kind="application/json")
        return manifest
