"""What the keys of the stored objects say: which reports there are, and of which period each is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from services.report_server.bucket import Object
from services.report_server.settings import KINDS

_PERIODS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "daily": re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])"),
        "weekly": re.compile(r"(?<![0-9])[0-9]{4}-W[0-9]{2}(?![0-9])"),
        "monthly": re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}(?![0-9-])"),
    }
)
_FIRST_DAY = MappingProxyType({"daily": "", "weekly": "-1", "monthly": "-01"})
_WEEK, _MOST_OF_A_MONTH = 7, 31


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
