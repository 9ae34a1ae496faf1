"""Work that was done on the platform: runs of the maintenance and of drills, as ``ops`` stores them beside the reports
(``records/<time>-<work>-<name>.json``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from services.reports.model import ReportError

FOLDER: Final = "records/"
"""Below the prefix of the reports."""
MOST: Final = 500
"""Records of one period that are read; those beyond are counted."""
_TIME: Final = "%Y%m%dT%H%M%SZ"
_KEY = re.compile(r"records/(\d{8}T\d{6}Z)-(maintenance|drill)-[a-z0-9-]+\.json")


class WorkRecord(BaseModel):
    """One run.

    Attributes:
        work: Maintenance or drill.
        name: ``daily``, ``weekly``, ``monthly``, or the drill's name.
        started: When it began; of a drill: when its evidence was written.
        recorded_by: Who stored the record.
        checks: How many checks it had; 0 of a drill.
        problems: Checks that failed, or why the drill failed; empty when it passed.
        commit: Version of the checkout that it ran from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    work: Literal["maintenance", "drill"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,80}$")
    started: AwareDatetime
    recorded_by: str = Field(min_length=1, max_length=200)
    checks: int = Field(default=0, ge=0)
    problems: tuple[str, ...] = ()
    commit: str = ""

    @property
    def key(self) -> str:
        """Key below the prefix of the reports; the same run has the same key."""
        return f"{FOLDER}{self.started.astimezone(UTC):{_TIME}}-{self.work}-{self.name}.json"


class RecordStore(Protocol):
    """Where records are; `services.reports.delivery.Store` is one."""

    def names(self, below: str = "") -> list[tuple[str, datetime]]:
        """Keys that begin so, and when each was written."""

    def get(self, name: str) -> bytes | None:
        """An object; None where it is not there."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What was done in a period.

    Attributes:
        records: Oldest first.
        unreadable: Keys of records that are none.
        beyond: How many were not read since there are too many.
    """

    records: Sequence[WorkRecord] = ()
    unreadable: Sequence[str] = ()
    beyond: int = 0

    def of(self, work: Literal["maintenance", "drill"]) -> list[WorkRecord]:
        """Records of one kind of work."""
        return [record for record in self.records if record.work == work]


def read(store: RecordStore, start: float, end: float) -> Work:
    """Records of runs that began from ``start`` up to ``end``, seconds since 1970.

    Raises:
        ReportError: The storage refuses, or does not answer.
    """
    keys = [key for key, _ in store.names(FOLDER) if start <= _began(key) < end]
    records: list[WorkRecord] = []
    unreadable: list[str] = []
    for key in sorted(keys)[:MOST]:
        try:
            record = WorkRecord.model_validate_json(store.get(key) or b"")
        except ValidationError:
            unreadable.append(key)
            continue
        if record.key == key:
            records.append(record)
        else:
            unreadable.append(key)
    return Work(records=records, unreadable=unreadable, beyond=max(len(keys) - MOST, 0))


def _began(key: str) -> float:
    """When the run of a key began; infinity where it is the key of none."""
    match = _KEY.fullmatch(key)
    try:
        return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC).timestamp() if match else float("inf")
    except ValueError:
        return float("inf")


class WorkLog(Protocol):
    """Who knows what was done."""

    def work(self, start: float, end: float) -> Work:
        """As `read` says.

        Raises:
            ReportError: It cannot be read.
        """


@dataclass(frozen=True)
class StoredWork:
    """Records of the object storage."""

    store: RecordStore

    def work(self, start: float, end: float) -> Work:
        """As `read` says."""
        return read(self.store, start, end)


@dataclass(frozen=True)
class NoWork:
    """Nobody knows what was done, for a reason."""

    reason: str = "reports are stored nowhere, and with them no record of work"

    def work(self, start: float, end: float) -> Work:
        """Refuse.

        Raises:
            ReportError: Always.
        """
        raise ReportError(self.reason)
