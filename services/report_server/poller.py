"""Polls the object storage every minute and keeps what it saw.

Keys of the stored objects say which reports there are, and of which period each is.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from services.report_server import KINDS, ReportServerSettings
from services.runtime import s3
from services.runtime.s3 import Content, NotStoredError, Object, Poller, StorageError

__all__ = ["Bucket", "Content", "NotStoredError", "Object", "StorageError"]
_PERIODS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "daily": re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])"),
        "weekly": re.compile(r"(?<![0-9])[0-9]{4}-W[0-9]{2}(?![0-9])"),
        "monthly": re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}(?![0-9-])"),
    }
)
_FIRST_DAY = MappingProxyType({"daily": "", "weekly": "-1", "monthly": "-01"})
_WEEK, _MOST_OF_A_MONTH = 7, 31
RUNS = "runs"
"""Folder with a record of the last run about each period: ``runs/<kind>/<period>.json``."""
_RUNS_READ = 14
"""Records of each kind that are read: those that were written last."""
_MOST_RECORD = 64 * 1024
_HOUR = 3600.0


class Bucket(s3.Bucket):
    """Reports below the prefix."""

    things = "the reports"


@dataclass(frozen=True, kw_only=True)
class Report:
    """One stored report.

    Attributes:
        kind: ``daily``, ``weekly`` or ``monthly``.
        period: ``2026-11-25``, ``2026-W48`` or ``2026-11``.
        end: End of the period, seconds since 1970.
        files: Its objects, by key.
    """

    kind: str
    period: str
    end: float
    files: tuple[Object, ...]

    @property
    def written(self) -> float:
        """When the newest of its files was written."""
        return max(file.written for file in self.files)


def period_end(kind: str, period: str, zone: ZoneInfo) -> float | None:
    """End of a period, seconds since 1970; None for a name that is no period of that kind."""
    try:
        first = date.fromisoformat(period + _FIRST_DAY[kind])
    except ValueError:
        return None
    if kind == "monthly":
        after = (first + timedelta(days=_MOST_OF_A_MONTH)).replace(day=1)
    else:
        after = first + timedelta(days=_WEEK if kind == "weekly" else 1)
    return datetime.combine(after, datetime.min.time(), zone).timestamp()


def reports(objects: Iterable[Object], zone: ZoneInfo) -> tuple[Report, ...]:
    """The reports among some objects, by kind and the newest period first; what is no report is passed over."""
    files: dict[tuple[str, str], list[Object]] = {}
    for stored_object in objects:
        kind, _, rest = stored_object.key.partition("/")
        match = _PERIODS[kind].search(rest) if kind in KINDS else None
        if match:
            files.setdefault((kind, match[0]), []).append(stored_object)
    published_reports = [
        Report(kind=kind, period=period, end=end, files=tuple(held))
        for (kind, period), held in files.items()
        if (end := period_end(kind, period, zone)) is not None
    ]
    return tuple(sorted(published_reports, key=lambda report: (KINDS.index(report.kind), -report.end)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """How the last run of a kind ended.

    Attributes:
        ended: Seconds since 1970.
        failed: Whether its report was not made, not stored or not sent.
        period: Of which period; may be empty.
        problem: Why it failed; else empty.
    """

    ended: float
    failed: bool
    period: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was there at the last poll that succeeded.

    Attributes:
        at: When that was, seconds since 1970; 0 before the first.
        since: When the oldest object was written, else when the report server began.
        reports: All reports.
        runs: Kind -> its newest run that failed and whose period was not made since, else its last run; a kind that
            never ran is missing.
    """

    at: float
    since: float
    reports: tuple[Report, ...] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)

    def newest(self, kind: str) -> Report | None:
        """The report of the latest period that was over at that poll, and when the report was stored."""
        whole = (
            report for report in self.reports if report.kind == kind and report.end <= min(self.at, report.written)
        )
        return next(whole, None)

    def due(self, kind: str, most_age_h: float) -> float:
        """When the next report of a kind is missing, seconds since 1970.

        Of a kind that has no report yet, the time counts from the oldest object.
        """
        newest = self.newest(kind)
        return (newest.end if newest else self.since) + most_age_h * _HOUR


class ReportPoller(Poller[Snapshot]):
    """Polls in a thread of its own."""

    def __init__(self, settings: ReportServerSettings, bucket: Bucket, log: Callable[[str], None]) -> None:
        super().__init__(log)
        self._settings, self._bucket = settings, bucket
        self._records: dict[Object, Run | None] = {}
        self.snapshot = Snapshot(at=0.0, since=self._began)

    def _poll(self) -> Snapshot:
        now = time.time()
        objects = self._bucket.objects()
        return Snapshot(
            at=now,
            since=min((stored_object.written for stored_object in objects), default=self._began),
            reports=reports(objects, self._settings.zone),
            runs=self._runs(objects),
        )

    def _runs(self, objects: Sequence[Object]) -> dict[str, Run]:
        """The run of each kind; a record that was read before is not read again."""
        wanted = [record for kind in KINDS for record in _newest(objects, f"{RUNS}/{kind}/")]
        self._records = {
            record: self._records[record] if record in self._records else self._read(record.key) for record in wanted
        }
        runs: dict[str, Run] = {}
        for kind in KINDS:
            known = [run for record, run in self._records.items() if run and record.key.startswith(f"{RUNS}/{kind}/")]
            if known:
                runs[kind] = max(known, key=lambda run: (run.failed, run.ended))
        return runs

    def _read(self, key: str) -> Run | None:
        try:
            content = self._bucket.open(key)
            text = b"".join(content.chunks) if content.size <= _MOST_RECORD else b""
        except NotStoredError:
            return None
        run = read_run(text)
        if run is None:
            self._log(f"{key} is no record of a run: it is passed over")
        return run


def _newest(objects: Iterable[Object], folder: str) -> list[Object]:
    records = [stored_object for stored_object in objects if stored_object.key.startswith(folder)]
    return sorted(records, key=lambda record: record.written)[-_RUNS_READ:]


def read_run(text: bytes) -> Run | None:
    """The record of a run; None when it is none."""
    try:
        document = json.loads(text)
        return Run(
            ended=datetime.fromisoformat(document["ended_at"]).astimezone(UTC).timestamp(),
            failed=bool(document["failed"]),
            period=str(document.get("period") or ""),
            problem=str(document.get("problem") or ""),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
