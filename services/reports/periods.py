"""The period of a report: a day, a week from Monday, or a month, in the platform's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.reports.errors import ReportError
from services.reports.model import Kind

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, kw_only=True)
class Period:
    """One period.

    Attributes:
        kind: Of which report.
        name: ``2026-11-25``, ``2026-W48`` or ``2026-11``.
        first: Its first day.
        last: Its last day.
        start: Its begin, seconds since 1970.
        end: Its end.
        zone: Time zone that decides when days begin.
    """

    kind: Kind
    name: str
    first: date
    last: date
    start: float
    end: float
    zone: ZoneInfo

    @property
    def year(self) -> str:
        """Year under which it is stored; of a week: the ISO year."""
        return self.name[:4]

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    @property
    def before(self) -> Period:
        """The period before it."""
        return period(self.kind, self.first - timedelta(days=1), self.zone)


def period(kind: Kind, day: date, zone: ZoneInfo) -> Period:
    """The period of a report that holds a day."""
    if kind is Kind.DAILY:
        first, after, name = day, day + timedelta(days=1), day.isoformat()
    elif kind is Kind.WEEKLY:
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
        year, week, _ = day.isocalendar()
        name = f"{year:04d}-W{week:02d}"
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
        name = f"{first:%Y-%m}"
    start, end = (datetime.combine(boundary, time(), zone).timestamp() for boundary in (first, after))
    return Period(kind=kind, name=name, first=first, last=after - timedelta(days=1), start=start, end=end, zone=zone)


def chosen(kind: Kind, at: date | None, now: float, zone: ZoneInfo) -> Period:
    """The period to report on.

    Args:
        kind: Which report.
        at: A day of the period; None for the last one that is over.
        now: Seconds since 1970.
        zone: Time zone.

    Raises:
        ReportError: The period has not begun.
    """
    today = datetime.fromtimestamp(now, zone).date()
    current = period(kind, at or today, zone)
    if at is None:
        return current.before
    if current.start >= now:
        raise ReportError(
            f"{kind} report of {at.isoformat()}: that period begins in the future; name a day up to {today}"
        )
    return current
