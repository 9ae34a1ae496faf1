"""When each report is made, and how old the newest one may get, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from components.k8s import workload


class Kind(StrEnum):
    """The reports, by the name that the program knows them by."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, kw_only=True)
class Schedule(workload.Schedule):
    """When one kind of report is made.

    Attributes:
        most_age_h: Hours from the end of the period of the newest report until on-call is notified that the next one is
            missing: a whole period, the hour of making it, and some for tries.
    """

    most_age_h: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_age_h < 1:
            raise ValueError(f"schedule {self.cron!r}: most_age_h is {self.most_age_h}, must be 1 or more")


SCHEDULES: Final[Mapping[Kind, Schedule]] = MappingProxyType(
    {
        Kind.DAILY: Schedule(cron="10 6 * * *", start_within_s=6 * 3600, most_age_h=24 + 8),
        Kind.WEEKLY: Schedule(cron="30 6 * * 1", start_within_s=24 * 3600, most_age_h=7 * 24 + 9),
        Kind.MONTHLY: Schedule(cron="50 6 1 * *", start_within_s=72 * 3600, most_age_h=31 * 24 + 10),
    }
)
"""Before people come to work; one after the other, since each asks the same stores."""
