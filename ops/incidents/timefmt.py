"""Times as a report writes them, in one time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ops.core.errors import OpsError


@dataclass(frozen=True)
class TimeFormat:
    """Writes times in a zone."""

    zone: tzinfo

    @property
    def name(self) -> str:
        """Name of the zone."""
        return str(self.zone) if isinstance(self.zone, ZoneInfo) else "UTC"

    def full(self, at: datetime) -> str:
        """Day and time, to the second."""
        return f"{at.astimezone(self.zone):%Y-%m-%d %H:%M:%S}"

    def short(self, at: datetime, start: datetime) -> str:
        """Time, with the day where it is not that of ``start``."""
        local = at.astimezone(self.zone)
        same = local.date() == start.astimezone(self.zone).date()
        return f"{local:%H:%M:%S}" if same else f"{local:%m-%d %H:%M:%S}"


def after(at: datetime, start: datetime) -> str:
    """Time since ``start``, or before it, as a stopwatch shows it: ``+4:30``, ``-1:05:00``."""
    seconds = round((at - start).total_seconds())
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{sign}{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{sign}{minutes}:{seconds % 60:02d}"


def zone(name: str) -> tzinfo:
    """A time zone by its name.

    Raises:
        OpsError: There is none such on this machine.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise OpsError(f"--zone is {name!r}, must be the name of a time zone, for example UTC or Asia/Tokyo") from None
