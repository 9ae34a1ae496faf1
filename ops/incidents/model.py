"""The record of an incident: what people know and do. Typed, closed to unknown keys, with a version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from urllib.parse import unquote_plus

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from components.rules import Severity
from ops.core.errors import OpsError, one_line

VERSION: Literal[1] = 1
"""Version of the file; a program reads its own version only and says so."""

LONGEST_TEXT = 4000


class Phase(StrEnum):
    """The four phases of requirement 11.2."""

    RESPOND = "respond"
    DIAGNOSE = "diagnose"
    RECOVER = "recover"
    FOLLOW_UP = "follow-up"


class Frozen(BaseModel):
    """A value that cannot change and knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Note(Frozen):
    """What somebody saw or did.

    Attributes:
        at: When it was.
        written: When it was written down.
        author: Who wrote it.
        phase: Phase that it belongs to.
        text: What it was; of the follow-up: what is to be done.
        first_response: Whether it is the first response to the alert, which stops the clock.
        owner: Who does it (follow-up).
        due: Until when (follow-up).
    """

    at: AwareDatetime
    written: AwareDatetime
    author: str = Field(min_length=1, max_length=200)
    phase: Phase
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    first_response: bool = False
    owner: str = Field(default="", max_length=200)
    due: date | None = None


class AlertRecord(Frozen):
    """The alert that an incident is about.

    Attributes:
        alert_id: Identity; the same for the alert and its escalated twin.
        name: Name of the rule.
        severity: Its priority when the incident was opened.
        layer: Layer that it is about; empty for the platform itself.
        labels: All labels.
        annotations: Summary, description, runbook.
        starts: When it began to fire: the clock runs from here.
        ends: When it ended, as far as the source knew.
        expression: PromQL of its rule, as far as the source knew.
        source: Where it was found; ``manual`` when nothing that knows alerts could be asked.
    """

    alert_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    severity: Severity
    layer: str = ""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: AwareDatetime
    ends: AwareDatetime | None = None
    expression: str = ""
    source: Literal["alertmanager", "alerts-raw", "manual"]

    @property
    def subject(self) -> Mapping[str, str]:
        """Labels of the series that fires, without what rules and servers add."""
        return subject_of(self.alert_id)


class Incident(Frozen):
    """One incident.

    Attributes:
        version: Version of the file.
        id: ``INC-<day that it was opened, UTC>-<number>``.
        title: What it is about, in one line.
        severity: Its priority.
        opened: When the record was made.
        opened_by: Who made it.
        alert: The alert.
        notes: What people wrote, in the order in which they wrote it.
        closed: When it was closed.
        closed_by: Who closed it.
        cause: Root cause, as found.
    """

    version: Literal[1] = VERSION
    id: str = Field(pattern=r"^INC-\d{8}-\d{2,}$")
    title: str = Field(min_length=1, max_length=300)
    severity: Severity
    opened: AwareDatetime
    opened_by: str = Field(min_length=1, max_length=200)
    alert: AlertRecord
    notes: tuple[Note, ...] = ()
    closed: AwareDatetime | None = None
    closed_by: str = Field(default="", max_length=200)
    cause: str = Field(default="", max_length=LONGEST_TEXT)

    @property
    def responded(self) -> datetime | None:
        """Moment of the first response: that of the earliest note that is one; closing is one, too."""
        responses = [note.at for note in self.notes if note.first_response]
        return min(responses) if responses else self.closed

    @property
    def state(self) -> str:
        """``open`` or ``closed``."""
        return "closed" if self.closed else "open"

    def noted(self, phase: Phase) -> tuple[Note, ...]:
        """Notes of a phase, oldest first."""
        return tuple(sorted((note for note in self.notes if note.phase is phase), key=lambda note: note.at))


@contextmanager
def valid() -> Iterator[None]:
    """Turn a value that a record may not have into one line for people."""
    try:
        yield
    except ValidationError as error:
        raise OpsError(problem(error)) from None


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, with its key and without its value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"`{'.'.join(str(part) for part in first['loc'])}`: {one_line(first['msg'], 120)}"


def subject_of(alert_id: str) -> dict[str, str]:
    """Labels that an identity names (``components.alerting.identity`` says how they are written)."""
    pairs = [part.partition("=") for part in alert_id.split("/")[1:]]
    return {unquote_plus(key): unquote_plus(value) for key, sign, value in pairs if sign}
