"""How long runs are kept: decided from names alone, then applied, the oldest first.

The newest complete run is never removed, whatever its age: when nothing is made any more, the last one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.backup.manifest import FILE, run_time
from services.backup.store import Object, Store, Unfinished

INCOMPLETE_KEPT = timedelta(days=2)
"""What has no manifest is looked after for so long: it may still be written."""


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
    def complete(self) -> bool:
        """Whether it has a manifest; else it does not count as a run."""
        return any(each.name == f"{self.kind}/{self.name}/{FILE}" for each in self.objects)

    @property
    def total_bytes(self) -> int:
        """Size of all its objects."""
        return sum(each.bytes for each in self.objects)


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
    for each in objects:
        parts = each.name.split("/")
        if len(parts) == 3 and parts[0] == kind:
            held.setdefault(parts[1], []).append(each)
    found = []
    for name, those in held.items():
        try:
            started = run_time(name)
        except ValueError:
            continue
        found.append(
            Run(kind=kind, name=name, started=started, objects=tuple(sorted(those, key=lambda each: each.name)))
        )
    return sorted(found, key=lambda each: each.started)


def expired(found: Sequence[Run], keep_days: int, now: datetime) -> list[Run]:
    """The runs to remove, oldest first.

    Args:
        found: All runs of a kind.
        keep_days: Days for which a complete run is kept.
        now: The time.
    """
    newest = max((each.started for each in found if each.complete), default=None)
    return [
        each
        for each in sorted(found, key=lambda each: each.started)
        if (
            each.started != newest and now - each.started > timedelta(days=keep_days)
            if each.complete
            else now - each.started > INCOMPLETE_KEPT
        )
    ]


def forgotten(uploads: Iterable[Unfinished], now: datetime) -> list[Unfinished]:
    """Uploads that nobody will finish."""
    return [each for each in uploads if now - each.begun > INCOMPLETE_KEPT]


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
        store.delete([each.name for each in run.objects if each.name != manifest])
    uploads = forgotten(store.unfinished(f"{kind}/"), now)
    for upload in uploads:
        store.give_up(upload.name, upload.upload)
    return Removed(
        runs=tuple(each.name for each in gone), objects=sum(len(each.objects) for each in gone), uploads=len(uploads)
    )
