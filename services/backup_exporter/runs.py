"""Runs of one kind of backup: which there are, and which is the newest whole one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from services.backup import manifest
from services.backup.errors import BackupError
from services.backup.manifest import Manifest
from services.runtime.s3 import Bucket, NotStoredError, Object

_PARTS = 3


@dataclass(frozen=True, kw_only=True)
class KindStatus:
    """What there is of one kind.

    Attributes:
        runs: Runs with a manifest.
        newest: The newest run that is whole; None where there is none.
        damaged: Newer runs whose manifest cannot be read, or names an object that is missing or of another size.
        since: When the oldest object was written; None where there is none.
    """

    runs: int = 0
    newest: Manifest | None = None
    damaged: tuple[str, ...] = ()
    since: float | None = None


class Runs:
    """Reads each manifest once: what is stored under a key does not change."""

    def __init__(self, bucket: Bucket, log: Callable[[str], None]) -> None:
        self._bucket, self._log = bucket, log
        self._read: dict[tuple[str, float], Manifest | str] = {}
        self._logged: set[str] = set()

    def poll(self, kind: str) -> KindStatus:
        """What there is of a kind.

        Raises:
            StorageError: The storage does not answer, or refuses.
        """
        objects = self._bucket.objects(f"{kind}/")
        by_run = _by_run(objects)
        complete = sorted((run for run, files in by_run.items() if manifest.FILE in files), reverse=True)
        self._forget(kind, {(manifest.manifest_key(kind, run), by_run[run][manifest.FILE].written) for run in complete})
        newest, damaged = None, []
        for run in complete:
            read = self._manifest(kind, run, by_run[run][manifest.FILE].written)
            problem = read if isinstance(read, str) else _problem(read, kind, run, by_run[run])
            if not isinstance(read, str) and not problem:
                newest = read
                break
            damaged.append(run)
            self._log_once(f"{kind}/{run} is passed over: {problem}")
        since = min((stored_object.written for stored_object in objects), default=None)
        return KindStatus(runs=len(complete), newest=newest, damaged=tuple(damaged), since=since)

    def _manifest(self, kind: str, run: str, written: float) -> Manifest | str:
        """The manifest, or what is wrong with it."""
        key = manifest.manifest_key(kind, run)
        if (key, written) not in self._read:
            try:
                self._read[key, written] = self._parsed(key)
            except NotStoredError:
                return "its manifest was removed just now"
        return self._read[key, written]

    def _parsed(self, key: str) -> Manifest | str:
        content = self._bucket.open(key)
        if content.size > manifest.MOST_BYTES:
            content.chunks.close()
            return f"its manifest has {content.size} bytes"
        try:
            return manifest.parse(b"".join(content.chunks), key)
        except BackupError as error:
            return str(error)

    def _forget(self, kind: str, known: set[tuple[str, float]]) -> None:
        gone = [key for key in self._read if key[0].startswith(f"{kind}/") and key not in known]
        for key in gone:
            del self._read[key]

    def _log_once(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            self._log(line)


def _by_run(objects: Iterable[Object]) -> dict[str, dict[str, Object]]:
    by_run: dict[str, dict[str, Object]] = {}
    for stored_object in objects:
        parts = stored_object.key.split("/")
        if len(parts) == _PARTS and _is_run(parts[1]):
            by_run.setdefault(parts[1], {})[parts[2]] = stored_object
    return by_run


def _is_run(name: str) -> bool:
    try:
        manifest.run_time(name)
    except ValueError:
        return False
    return True


def _problem(read: Manifest, kind: str, run: str, files: Mapping[str, Object]) -> str:
    """What is wrong with a run, seen from its keys and sizes; empty for nothing."""
    if (read.kind, read.run) != (kind, run):
        return f"its manifest is that of {read.kind}/{read.run}"
    for stored_object in read.objects:
        held = files.get(stored_object.name + manifest.ENCRYPTED_SUFFIX)
        if held is None:
            return f"{stored_object.name}{manifest.ENCRYPTED_SUFFIX} is missing"
        if held.size != stored_object.bytes:
            return (
                f"{stored_object.name}{manifest.ENCRYPTED_SUFFIX} has {held.size} bytes instead of "
                f"{stored_object.bytes}"
            )
    return ""
