"""Proof that a backup can be used: every object is what was stored, opens, and holds what the manifest counts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ops.backups import destinations, pulumi_state
from ops.backups.runs import PULUMI_STATE, Archived, missing
from services.backup import BackupError, grafana, kafka_metadata, restore
from services.backup import database as dumps
from services.backup.database import DUMP
from services.backup.encryption import Identity
from services.backup.manifest import Manifest, object_key
from services.backup.store import Store
from services.kafka_archive import segments
from services.kafka_archive.segments import Name

_LIST_S = 120.0
_MOST_SEGMENT = 2**30
_TABLE = " TABLE DATA "
_VIEW = " MATERIALIZED VIEW "


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was found about one run.

    Attributes:
        kind: Which kind.
        run: Its name, or what of it was looked at.
        objects: Objects that were downloaded.
        bytes: Size of them.
        opened: Whether they were decrypted; else only their checksums were compared.
        seen: What holds.
        problems: What does not.
    """

    kind: str
    run: str
    objects: int
    bytes: int
    opened: bool
    seen: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it can be used, as far as it was looked at."""
        return not self.problems


Content = Callable[[Path, Manifest], list[str]]
"""Looks at a fetched run; what is wrong with it."""


def prove(store: Store, manifest: Manifest, identities: Sequence[Identity] | None, folder: Path) -> Proof:
    """Look at every object of a run.

    Args:
        store: Where it is.
        manifest: Its manifest.
        identities: Secret keys of an operator; None: compare the encrypted objects with their checksums, open nothing.
        folder: Where to; it is made, and what it gets is removed with whatever the caller keeps it in.
    """
    problems: list[str] = []
    seen: list[str] = []
    try:
        if identities is None:
            problems = encrypted(store, manifest, folder)
        else:
            restore.fetch(store, manifest.kind, manifest.run, identities, folder)
            look = CONTENTS.get(manifest.kind)
            problems = look(folder, manifest) if look else []
            seen = [] if problems or not look else [counted(manifest)]
    except BackupError as error:
        problems = [str(error)]
    return Proof(
        kind=manifest.kind,
        run=manifest.run,
        objects=len(manifest.objects),
        bytes=manifest.total_bytes,
        opened=identities is not None,
        seen=tuple(seen),
        problems=tuple(problems),
    )


def encrypted(store: Store, manifest: Manifest, folder: Path) -> list[str]:
    """Objects that are missing or not what was stored; nothing is opened."""
    problems = []
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "encrypted"
    for stored_object in manifest.objects:
        key = object_key(manifest.kind, manifest.run, stored_object.name)
        try:
            digest = store.download(key, file)
        except BackupError as error:
            problems.append(str(error))
            continue
        finally:
            file.unlink(missing_ok=True)
        if (digest.bytes, digest.sha256) != (stored_object.bytes, stored_object.sha256):
            problems.append(f"{key}: is not what was stored: {digest.bytes} bytes, SHA-256 {digest.sha256}")
    return problems


def counted(manifest: Manifest) -> str:
    """What a run holds, in few words."""
    total = sum(manifest.counts.values())
    return f"{len(manifest.objects)} objects open and hold what {len(manifest.counts)} counts say ({total:,} in all)"


def database(folder: Path, manifest: Manifest) -> list[str]:
    """Dumps that ``pg_restore --list`` cannot read, or that lack the data of a table."""
    problems = []
    for name in dumps.databases(manifest):
        try:
            listed = dumps.run([dumps.program("pg_restore"), "--list", str(folder / f"{name}{DUMP}")], {}, (), _LIST_S)
        except BackupError as error:
            problems.append(f"{name}{DUMP}: {error}")
            continue
        held = {_table(line) for line in listed.splitlines() if _TABLE in line or _VIEW in line}
        wanted = {key.removeprefix(f"{name}.") for key in dumps.counts_of(manifest, name) if key.startswith(f"{name}.")}
        lacking = sorted(wanted - held)
        if lacking:
            problems.append(f"{name}{DUMP}: has no data of {', '.join(lacking)}")
    return problems


def _table(line: str) -> str:
    """``schema.table`` of a line of the list: ``3412; 0 16411 TABLE DATA public dashboard grafana``, the owner last."""
    schema, *name = line.partition(_TABLE if _TABLE in line else _VIEW)[2].split(" ")[:-1]
    return f"{schema}.{' '.join(name)}"


def definitions(folder: Path, manifest: Manifest) -> list[str]:
    """Definitions of Grafana that are not as many as the manifest says."""
    return restore.differences(manifest, grafana.load(folder).counts())


def metadata(folder: Path, manifest: Manifest) -> list[str]:
    """Metadata of Kafka that is not as much as the manifest says."""
    return restore.differences(manifest, kafka_metadata.load(folder).counts())


CONTENTS: dict[str, Content] = {
    "database": database,
    "grafana": definitions,
    "kafka-metadata": metadata,
    "search": destinations.check,
    PULUMI_STATE: pulumi_state.check,
}
"""Kind -> what looks at its content."""


def archive(store: Store, archived: Archived, identities: Sequence[Identity] | None) -> Proof:
    """Look at the archive of a topic: no offsets are missing, and the newest segment of each partition is whole."""
    problems: list[str] = []
    if archived.missing:
        problems.append(f"{archived.missing} offsets are in no segment: {_where(archived)}")
    chosen = newest_of_each(archived.segments)
    size = records = 0
    for segment in chosen:
        try:
            held, content = store.head(segment.key), store.get(segment.key, _MOST_SEGMENT)
            size += len(content)
            if identities is not None:
                records += sum(1 for _ in segments.read(segment, content, held.metadata, identities))
            else:
                problems += _checked(segment, content, held.metadata)
        except BackupError as error:
            problems.append(str(error))
    opened = identities is not None
    return Proof(
        kind=f"archive of {archived.topic}",
        run=f"{archived.partitions} partitions",
        objects=len(chosen),
        bytes=size,
        opened=opened,
        seen=(f"{len(archived.segments)} segments without a gap; {records} records in the newest ones",)
        if opened
        else (),
        problems=tuple(problems),
    )


def newest_of_each(segment_names: Sequence[Name]) -> list[Name]:
    """The segment with the highest offset of each partition of the topic's every life."""
    newest: dict[tuple[str, int], Name] = {}
    for segment in segment_names:
        place = (segment.topic_id, segment.partition)
        if place not in newest or segment.last > newest[place].last:
            newest[place] = segment
    return [newest[place] for place in sorted(newest)]


def _where(archived: Archived) -> str:
    order = sorted(archived.segments, key=lambda segment: (segment.topic_id, segment.partition))
    places = []
    for (life, partition), group in groupby(order, key=lambda segment: (segment.topic_id, segment.partition)):
        gone = missing(list(group))
        if gone:
            places.append(f"{gone} of partition {partition}" + (f" ({life})" if len(archived.lives) > 1 else ""))
    return ", ".join(places)


def _checked(name: Name, content: bytes, metadata: Mapping[str, str]) -> list[str]:
    digest = hashlib.sha256(content).hexdigest()
    return [] if metadata.get(segments.SHA256) == digest else [f"{name.key} is damaged: its sha256 is {digest}"]
