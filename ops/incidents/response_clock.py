"""The clock of requirement 11.2: a first response within 15 minutes of the alert."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ops.incidents.model import Incident

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


def read(incident: Incident, now: datetime) -> Reading:
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
