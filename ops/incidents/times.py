"""Times of an incident: the clock of requirement 11.2 (a first response within 15 minutes of the alert), times as
operators write them, the window that is looked at, and times as a report writes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ops.core.errors import OpsError
from ops.incidents.record import Incident

LIMIT = timedelta(minutes=15)


class State(StrEnum):
    """State of the clock.

    Attributes:
        RUNNING: Nobody responded yet, and there is time left.
        OVERDUE: Nobody responded yet, and the time is over.
        MET: Responded in time.
        MISSED: Responded too late.
    """

    RUNNING = "running"
    OVERDUE = "overdue"
    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the clock shows.

    Attributes:
        state: Its state.
        elapsed: From the alert to the response, or to now.
        difference: Time that was left or is left; when it is too late, by how much.
        share: Part of the limit that was used, 0 and more.
    """

    state: State
    elapsed: timedelta
    difference: timedelta
    share: float


def read_clock(incident: Incident, now: datetime) -> Reading:
    """Read the clock of an incident.

    A response that began before the alert fired counts as one at once.
    """
    responded = incident.responded
    elapsed = max((responded or now) - incident.alert.starts, timedelta())
    late = elapsed > LIMIT
    states = (State.RUNNING, State.OVERDUE) if responded is None else (State.MET, State.MISSED)
    return Reading(state=states[late], elapsed=elapsed, difference=abs(LIMIT - elapsed), share=elapsed / LIMIT)


def span(length: timedelta) -> str:
    """A length of time, to the second up to an hour: minutes count here."""
    seconds = round(max(length.total_seconds(), 0))
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


BEFORE = timedelta(minutes=30)
AFTER = timedelta(minutes=15)
LONGEST = timedelta(hours=24)

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_CLOCK_ERROR = timedelta(minutes=1)


def moment(text: str, option: str, now: datetime) -> datetime:
    """The moment that a text stands for.

    Args:
        text: ISO 8601 (UTC where it names no zone), or how long ago, like ``15m``.
        option: Where it was given, for the message.
        now: The present.

    Raises:
        OpsError: It is neither, or it lies in the future.
    """
    try:
        if match := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        local_time = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise OpsError(
            f"{option} is {text!r}, must be a time like 2026-11-24T22:10Z (UTC where no zone is named), "
            "or how long ago it was, like 15m"
        ) from None
    timestamp = local_time.replace(tzinfo=UTC) if local_time.tzinfo is None else local_time.astimezone(UTC)
    if timestamp > now + _CLOCK_ERROR:
        raise OpsError(f"{option} is {text}, which is in the future (now: {now:%Y-%m-%dT%H:%MZ})")
    return timestamp


@dataclass(frozen=True, kw_only=True)
class TimeWindow:
    """The time that is looked at.

    Attributes:
        start: Its begin.
        end: Its end.
        cut: Whether the incident lasted longer than is looked at: then the first part is.
    """

    start: datetime
    end: datetime
    cut: bool = False

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()

    def holds(self, at: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.start <= at <= self.end


def window(incident: Incident, now: datetime) -> TimeWindow:
    """From half an hour before the alert to a quarter of an hour after the end, at most a day."""
    start = incident.alert.starts - BEFORE
    ended = [timestamp for timestamp in (incident.closed, incident.alert.ends) if timestamp is not None]
    end = min(now, max(ended) + AFTER) if ended else now
    end = max(end, incident.alert.starts + timedelta(minutes=1))
    return TimeWindow(start=start, end=min(end, start + LONGEST), cut=end - start > LONGEST)


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
