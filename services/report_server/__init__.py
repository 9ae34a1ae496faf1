"""The report server: serves the stored reports to people, and to Prometheus how old they are (requirement R1).

It only reads. What is not in the object storage was not made: a job that never ran, or that could not store its
report, is noticed by what is missing.
"""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.runtime.settings import Login, ServerSettings, SettingsModel, StorageSettings, above_zero, checked

KINDS = ("daily", "weekly", "monthly")
"""The reports."""

_Hours = Annotated[int | float, above_zero("hours")]


def _is_zone(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(ZoneInfo(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


class ReportAges(SettingsModel):
    """Hours from the end of the newest report's period until the next report is missing."""

    daily: _Hours
    weekly: _Hours
    monthly: _Hours


class ReportServerSettings(ServerSettings):
    """What the report server shows, and to whom.

    Attributes:
        storage: Where reports are stored.
        time_zone: In which days begin.
        reader: May read reports.
    """

    storage: StorageSettings
    time_zone: Annotated[str, checked(_is_zone, "a name such as Asia/Tokyo")]
    most_age_h: ReportAges
    reader: Login

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)
