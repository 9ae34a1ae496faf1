"""When each report is made, and how old the newest one may get, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

_FIELDS = 5
_TRIES = 3


class Kind(StrEnum):
    """The reports, by the name that the program knows them by."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When one kind of report is made.

    Attributes:
        cron: Minute, hour, day of the month, month and day of the week, in the time zone of the reports.
        start_within_s: How late it may begin, for example since nothing could be started at that time. Later than that
            it is not made by itself.
        most_age_h: Hours from the end of the period of the newest report until people are told that the next one is
            missing: a whole period, the hour of making it, and some for tries.
        tries: How often it is tried again after it failed.
        limit_s: How long all tries together may take.
    """

    cron: str
    start_within_s: int
    most_age_h: int
    tries: int = _TRIES
    limit_s: int = 3600

    def __post_init__(self) -> None:
        if len(self.cron.split()) != _FIELDS:
            raise ValueError(
                f"schedule {self.cron!r} has {len(self.cron.split())} fields, must have {_FIELDS}: "
                "minute, hour, day of the month, month, day of the week"
            )
        for name in ("start_within_s", "most_age_h", "limit_s"):
            if getattr(self, name) < 1:
                raise ValueError(f"schedule {self.cron!r}: {name} is {getattr(self, name)}, must be 1 or more")


SCHEDULES: Final[Mapping[Kind, Schedule]] = MappingProxyType(
    {
        Kind.DAILY: Schedule(cron="10 6 * * *", start_within_s=6 * 3600, most_age_h=24 + 8),
        Kind.WEEKLY: Schedule(cron="30 6 * * 1", start_within_s=24 * 3600, most_age_h=7 * 24 + 9),
        Kind.MONTHLY: Schedule(cron="50 6 1 * *", start_within_s=72 * 3600, most_age_h=31 * 24 + 10),
    }
)
"""Before people come to work; one after the other, since each asks the same stores."""
