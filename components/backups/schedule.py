"""When each backup is made, and how old the newest one may get: all from its line of cron."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from components.k8s import Schedule

_BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_ITEM = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?")
_SUNDAY = 7
_TWICE = 2
_FIRST, _LAST = date(2023, 1, 1), date(2032, 12, 31)
"""Years that hold every sort of year, two leap years one after the other among them."""
_SEARCHED_DAYS = 8 * 366 + 1
"""The 29th of February may be eight years away."""
_DAY_MINUTES = 24 * 60
_LEAST_GAP_S = 600
_MOST_LATE_S, _MOST_RUN_S = 6 * 3600, 2 * 3600
_TRIES = 2
STATE_AGE_S: Final = 8 * 24 * 3600
"""How old the newest copy of Pulumi's state may be: operators make it, weekly."""


class Kind(StrEnum):
    """What jobs back up, by the name that the program and the bucket know it by."""

    DATABASE = "database"
    GRAFANA = "grafana"
    KAFKA_METADATA = "kafka-metadata"
    SEARCH = "search"


def job_schedule(cron: str) -> Schedule:
    """When a backup is made: it may begin late and take long, but never into the time of the next one.

    Raises:
        ValueError: The line of cron is none, never comes true, or comes true too often.
    """
    gap = longest_gap_s(cron)
    if gap < _LEAST_GAP_S:
        raise ValueError(f"schedule {cron!r}: it comes true every {gap} s; allowed are {_LEAST_GAP_S} s or more")
    return Schedule(
        cron=cron, start_within_s=min(gap // 2, _MOST_LATE_S), limit_s=min(gap // 2, _MOST_RUN_S), tries=_TRIES
    )


def most_age_s(cron: str) -> int:
    """Seconds from the start of the newest run until on-call is notified that the next one is missing.

    That is the longest time between two runs, how late a run may begin, and how long it may take with all its tries.

    Raises:
        ValueError: As `job_schedule`.
    """
    schedule = job_schedule(cron)
    return longest_gap_s(cron) + schedule.start_within_s + schedule.limit_s


@functools.cache
def longest_gap_s(cron: str) -> int:
    """The longest time between two runs of a line of cron, in seconds; a change of the clocks is not in it.

    Raises:
        ValueError: The line is none (numbers, ``*``, ranges, lists and steps are), or it comes true less than twice.
    """
    times, runs = _parsed(cron)
    every = (_FIRST + timedelta(days=number) for number in range((_LAST - _FIRST).days + 1))
    days = [day for day in every if runs(day)]
    if len(days) < _TWICE:
        raise ValueError(_told(cron, "it never comes true"))
    within = [later - earlier for earlier, later in itertools.pairwise(times)]
    between = [
        (later - earlier).days * _DAY_MINUTES + times[0] - times[-1] for earlier, later in itertools.pairwise(days)
    ]
    return 60 * max([*within, *between])


def next_time(cron: str, after: datetime) -> datetime:
    """The first moment after ``after``, in its time zone, at which a line of cron comes true.

    Raises:
        ValueError: As `longest_gap_s`.
    """
    times, runs = _parsed(cron)
    for number in range(_SEARCHED_DAYS):
        day = after.date() + timedelta(days=number)
        if not runs(day):
            continue
        for minutes in times:
            at = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=after.tzinfo)
            if at > after:
                return at
    raise ValueError(_told(cron, "it never comes true"))


def _parsed(cron: str) -> tuple[list[int], Callable[[date], bool]]:
    """Minutes of the day, sorted, and whether a day is one on which the line comes true."""
    fields = cron.split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(_told(cron, f"it has {len(fields)} fields"))
    minutes, hours, days, months, weekdays = (
        _numbers(cron, field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)
    )
    times = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    # Cron's own rule: where both kinds of days are limited, either is enough.
    either = not fields[2].startswith("*") and not fields[4].startswith("*")

    def runs(day: date) -> bool:
        of_month, of_week = day.day in days, day.isoweekday() in weekdays
        return day.month in months and (of_month or of_week if either else of_month and of_week)

    return times, runs


def _numbers(cron: str, field: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(_told(cron, f"{item!r} is none of a number, *, a range or a step"))
        first = int(match[1]) if match[1] else low
        last = int(match[2]) if match[2] else first if match[1] and not match[3] else high
        if not low <= first <= last <= high:
            raise ValueError(_told(cron, f"{item!r} is not within {low} to {high}"))
        numbers |= set(range(first, last + 1, int(match[3] or 1)))
    # Sunday is 0 or 7.
    return numbers | {_SUNDAY} if high == _SUNDAY and 0 in numbers else numbers


def _told(cron: str, problem: str) -> str:
    return (
        f"schedule {cron!r}: {problem}; it must be minute, hour, day of the month, month and day of the week in numbers"
    )
