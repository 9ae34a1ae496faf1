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
        return any(stored_object.name == f"{self.kind}/{self.name}/{FILE}" for stored_object in self.objects)

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

    Args:
        found: All runs of a kind.
        keep_days: Days for which a complete run is kept.
        now: The time.
    """
    newest = max((run.started for run in all_runs if run.complete), default=None)
    return [
        run
        for run in sorted(all_runs, key=lambda run: run.started)
        if (
            run.started != newest and now - run.started > timedelta(days=keep_days)
            if run.complete
            else now - run.started > INCOMPLETE_KEPT
        )
    ]


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
