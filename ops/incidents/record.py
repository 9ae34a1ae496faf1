"""The record of an incident, what people know and do: typed, closed to unknown keys, with a version; one JSON file on
disk each, for the owner or the group of the folder, written whole or not at all. And its times: the clock of
requirement 11.2 (a first response within 15 minutes of the alert), times as operators write them, the window that is
looked at, and times as a report writes them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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
    """Labels that an identity names (``components.rules`` says how they are written)."""
    pairs = [part.partition("=") for part in alert_id.split("/")[1:]]
    return {unquote_plus(key): unquote_plus(value) for key, sign, value in pairs if sign}


DEFAULT = Path("~/.local/share/obs/incidents")
VARIABLE = "OBS_INCIDENTS"


class Store:
    """The incidents of one folder; several people and programs may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def create(self, build: Callable[[str], Incident], opened: datetime) -> Incident:
        """Make a record with the next free id of the day.

        Args:
            build: Makes the incident, given its id.
            opened: The day that is part of the id.

        Raises:
            OpsError: An incident about the same firing of the same alert is open already, or the folder is unusable.
        """
        with self._locked():
            day = f"INC-{opened:%Y%m%d}-"
            # What was collected about a record that was moved away must not become another's.
            taken = {file.name.removeprefix(day).partition(".")[0] for file in self.folder.glob(f"{day}*.json")}
            numbers = [int(number) for number in taken if number.isdecimal()]
            incident = build(f"{day}{max(numbers, default=0) + 1:02d}")
            for other in self.all()[0]:
                same = (other.alert.alert_id, other.alert.starts) == (incident.alert.alert_id, incident.alert.starts)
                if same and other.closed is None:
                    raise OpsError(
                        f"{other.id} is open for this alert since {other.opened:%Y-%m-%d %H:%M} UTC "
                        f"(by {other.opened_by}): add to it with `ops incident note {other.id} TEXT`"
                    )
            self._write(self._file(incident.id), incident)
        return incident

    def read(self, identifier: str) -> Incident:
        """One incident.

        Raises:
            OpsError: There is none such, or its file cannot be used.
        """
        return self._parse(self._known(identifier))

    def change(self, identifier: str, change: Callable[[Incident], Incident]) -> Incident:
        """Change one incident; nobody else can meanwhile.

        Raises:
            OpsError: There is none such, or ``change`` refuses.
        """
        with self._locked():
            file = self._known(identifier)
            with valid():
                # A changed copy has not been checked yet, and what cannot be read again must not be written.
                changed = Incident.model_validate(change(self._parse(file)).model_dump())
            self._write(file, changed)
        return changed

    def all(self) -> tuple[list[Incident], list[str]]:
        """All incidents, the newest first, and what is wrong with files that cannot be used."""
        incidents, problems = [], []
        for file in self._files():
            try:
                incidents.append(self._parse(file))
            except OpsError as error:
                problems.append(str(error))
        return sorted(incidents, key=lambda incident: (incident.opened, incident.id), reverse=True), problems

    def keep(self, identifier: str, name: str, content: BaseModel) -> None:
        """Keep something that belongs to an incident, for example what was collected, beside its record."""
        with self._locked():
            self._write(self._file(identifier, name), content)

    def kept(self, identifier: str, name: str) -> str:
        """What was kept, or nothing."""
        try:
            return self._file(identifier, name).read_text()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise OpsError(f"{self._file(identifier, name)}: cannot be read: {error.strerror}") from None

    def _known(self, identifier: str) -> Path:
        file = self._file(identifier.strip().upper())
        if "/" in identifier or not file.is_file():
            raise OpsError(f"no incident {identifier!r} in {self.folder}: `ops incident list` shows those there are")
        return file

    def _file(self, identifier: str, name: str = "") -> Path:
        return self.folder / f"{identifier}{f'.{name}' if name else ''}.json"

    def _files(self) -> list[Path]:
        return [file for file in sorted(self.folder.glob("INC-*.json")) if file.name.count(".") == 1]

    def _parse(self, file: Path) -> Incident:
        try:
            content = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise OpsError(f"{file}: cannot be read as JSON: {one_line(error, 120)}") from None
        version = content.get("version") if isinstance(content, dict) else None
        if version != VERSION:
            raise OpsError(f"{file}: version is {version!r}, this program reads version {VERSION}: use its own program")
        try:
            return Incident.model_validate_json(json.dumps(content))
        except ValidationError as error:
            raise OpsError(f"{file}: {problem(error)}: mend the file or move it away") from None

    def _write(self, file: Path, content: BaseModel) -> None:
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=self.folder, prefix=f".{file.stem}-", suffix=".new", delete=False
            ) as draft:
                os.fchmod(draft.fileno(), self._mode())
                draft.write(content.model_dump_json(indent=2) + "\n")
                draft.flush()
                os.fsync(draft.fileno())
            Path(draft.name).replace(file)
        except OSError as error:
            raise OpsError(f"{file}: cannot be written: {error.strerror}") from None

    def _mode(self) -> int:
        """For its owner, and for the group where the folder is the group's; never for everybody."""
        return stat.S_IMODE(self.folder.stat().st_mode) & 0o660

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self.folder / ".lock"
            if not file.exists():
                file.touch()
                file.chmod(self._mode())
            lock = file.open("w")
        except OSError as error:
            raise OpsError(
                f"the folder of incidents {self.folder} cannot be used: {error.strerror}: name another with --folder "
                f"or {VARIABLE}"
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


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
