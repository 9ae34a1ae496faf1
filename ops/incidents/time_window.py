"""Times as operators write them, and the window around an incident that is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.core.errors import OpsError
from ops.incidents.model import Incident

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
