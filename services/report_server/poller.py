"""Polls the object storage every minute and keeps what it saw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.report_server.bucket import Bucket, NotStoredError
from services.report_server.settings import KINDS, ReportServerSettings
from services.report_server.stored import Report, reports
from services.runtime.poller import Poller

RUNS = "runs"
"""Folder with a record of the last run of each kind."""
_MOST_RECORD = 64 * 1024
_HOUR = 3600.0


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
        runs: Kind -> its last run; a kind that never ran is missing.
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
        self.snapshot = Snapshot(at=0.0, since=self._began)

    def _poll(self) -> Snapshot:
        now = time.time()
        objects = self._bucket.objects()
        return Snapshot(
            at=now,
            since=min((stored_object.written for stored_object in objects), default=self._began),
            reports=reports(objects, self._settings.zone),
            runs=dict(self._runs({stored_object.key for stored_object in objects})),
        )

    def _runs(self, keys: set[str]) -> Iterator[tuple[str, Run]]:
        for kind in KINDS:
            key = f"{RUNS}/{kind}.json"
            if key not in keys:
                continue
            try:
                content = self._bucket.open(key)
                text = b"".join(content.chunks) if content.size <= _MOST_RECORD else b""
            except NotStoredError:
                continue
            run = read_run(text)
            if run is None:
                self._log(f"{key} is no record of a run: it is passed over")
            else:
                yield kind, run


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
