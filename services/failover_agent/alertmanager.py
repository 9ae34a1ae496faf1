"""One Alertmanager, asked by its own address: HTTPS verified, a password, every call bounded in time.

It is made to follow the desired state. Handed-over silences of alerts that are over are ended, so that the next time
they fire they are told again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from services.failover_agent import Alertmanagers
from services.failover_agent.notification_gate import DesiredState, NotificationGate
from services.regions import FAILOVER_AGENT, HANDOVER_AUTHOR, MATCHER, REGION_AUTHORS
from services.regions.witness import RegionError, Silence, SilenceMatcher, parse
from services.runtime.serving import DedupLogger

LENGTH = timedelta(days=30)
"""How long the failover agent's silence lasts when nobody renews it."""
_RENEWED_UNDER = timedelta(days=29)
_START_MARGIN = timedelta(minutes=10)
"""A new silence is said to have begun this long ago, so that it counts at once when clocks differ: Alertmanager takes
its own present instead."""
ACTIVE, PENDING = "active", "pending"


@dataclass(frozen=True, kw_only=True)
class StoredSilence:
    """A silence, and its state: ``active``, ``pending`` or ``expired``."""

    state: str
    silence: Silence

    @property
    def lasting(self) -> bool:
        """Whether it has not ended."""
        return self.state in (ACTIVE, PENDING)

    @property
    def author(self) -> str:
        """Who made it."""
        return self.silence.created_by


@dataclass(frozen=True, kw_only=True)
class CreateSilence:
    """Make the failover agent's silence, or let the one of this id last longer."""

    ends: datetime
    id: str | None
    starts: datetime


@dataclass(frozen=True, kw_only=True)
class ExpireSilence:
    """End a silence."""

    id: str


def silenced(held: Iterable[StoredSilence]) -> bool:
    """Whether the failover agent's silence holds."""
    return bool(_agent_silences(held))


def steps(held: Sequence[StoredSilence], *, silent: bool, now: datetime) -> list[CreateSilence | ExpireSilence]:
    """What to do so that the failover agent's silence holds, or no longer does; nothing when all is as it should be."""
    if not silent:
        return [
            ExpireSilence(id=silence_held.silence.id)
            for silence_held in held
            if silence_held.author == FAILOVER_AGENT and silence_held.lasting
        ]
    longest = max(_agent_silences(held), key=lambda agent_silence: agent_silence.ends_at, default=None)
    if longest is None:
        return [CreateSilence(ends=now + LENGTH, id=None, starts=now - _START_MARGIN)]
    if longest.ends_at - now < _RENEWED_UNDER:
        return [CreateSilence(ends=now + LENGTH, id=longest.id, starts=longest.starts_at)]
    return []


def body(step: CreateSilence, region: str) -> dict[str, Any]:
    """What Alertmanager's API is sent for a step."""
    return {
        **({"id": step.id} if step.id else {}),
        "matchers": [dict(MATCHER)],
        "startsAt": step.starts.isoformat(),
        "endsAt": step.ends.isoformat(),
        "createdBy": FAILOVER_AGENT,
        "comment": f"{region} does not hold the lease of the regions: the other one notifies about telemetry. "
        "Ends by itself when the lease comes here; see `ops regions`.",
    }


def operator_silences(held: Iterable[StoredSilence]) -> list[Silence]:
    """What people silenced and acknowledged, and has not ended."""
    return [
        silence_held.silence
        for silence_held in held
        if silence_held.lasting and silence_held.author not in REGION_AUTHORS
    ]


def handed_over(held: Iterable[StoredSilence]) -> dict[str, Silence]:
    """Id -> silence of an alert that the other region has told."""
    return {
        silence_held.silence.id: silence_held.silence
        for silence_held in held
        if silence_held.lasting and silence_held.author == HANDOVER_AUTHOR
    }


def matches(silence: Silence, labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels is kept quiet by a silence; a label that is not there is empty."""
    return all(_met(matcher, labels.get(matcher.name, "")) for matcher in silence.matchers)


def _met(matcher: SilenceMatcher, value: str) -> bool:
    if not matcher.is_regex:
        return (value == matcher.value) is matcher.is_equal
    try:
        return (re.fullmatch(matcher.value, value) is not None) is matcher.is_equal
    except re.error:
        # Alertmanager's expressions know a few words that Python's do not: then the silence is better kept.
        return True


def _agent_silences(held: Iterable[StoredSilence]) -> list[Silence]:
    wanted = (SilenceMatcher(name="layer", value=".+", is_regex=True, is_equal=True),)
    return [
        silence_held.silence
        for silence_held in held
        if silence_held.author == FAILOVER_AGENT
        and silence_held.state == ACTIVE
        and silence_held.silence.matchers == wanted
    ]


_TIMEOUT_S = (2.0, 3.0)
"""Seconds to connect, and to wait for an answer."""
_KEYS = ("id", "startsAt", "endsAt", "createdBy", "comment")
_MOST_SHOWN = 160
EVERY_S = 15.0
_LEAST_AGE_S = 120.0
_LEAST_UP_S = 60.0
"""An Alertmanager that runs for less may not have been sent every alert yet: Prometheus repeats them within 40 s."""


class AlertmanagerError(Exception):
    """It does not answer, or refuses; one line without secrets."""


class _Named(HTTPAdapter):
    """Connections whose certificate must hold a name that is not the host's."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As the base class, with the name."""
        super().init_poolmanager(*arguments, server_hostname=self._name, assert_hostname=self._name, **options)


class Alertmanager:
    """One member; for one thread. Password and authority are read again when they change."""

    def __init__(self, url: str, settings: Alertmanagers) -> None:
        self.name = urlsplit(url).netloc
        self._url, self._settings = url, settings
        self._made: tuple[tuple[str, float], requests.Session] | None = None

    def silences(self) -> list[StoredSilence]:
        """All silences that it keeps, also those that have ended.

        Raises:
            AlertmanagerError: As the class says.
        """
        answer = self._call("GET", "/silences", list)
        with self._shape():
            return [_held(silence) for silence in answer]

    def alerts(self) -> list[Mapping[str, str]]:
        """Labels of each alert that fires, told or not.

        Raises:
            AlertmanagerError: As the class says.
        """
        answer = self._call("GET", "/alerts", list)
        with self._shape():
            return [dict(alert["labels"]) for alert in answer]

    def up_s(self) -> float:
        """For how many seconds it has been running.

        Raises:
            AlertmanagerError: As the class says.
        """
        status = self._call("GET", "/status", dict)
        with self._shape():
            return (datetime.now(UTC) - datetime.fromisoformat(status["uptime"])).total_seconds()

    def silence(self, content: Mapping[str, Any]) -> None:
        """Make a silence, or change the one whose id it has.

        Raises:
            AlertmanagerError: As the class says.
        """
        self._call("POST", "/silences", dict, content)

    def end(self, silence: str) -> None:
        """End a silence.

        Raises:
            AlertmanagerError: As the class says; also when it has ended already.
        """
        self._call("DELETE", f"/silence/{quote(silence, safe='')}", None)

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made[1].close()
            self._made = None

    def _call(self, method: str, path: str, kind: type | None, content: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._session().request(
                method,
                f"{self._url}/api/v2{path}",
                data=None if content is None else json.dumps(content).encode(),
                headers={} if content is None else {"Content-Type": "application/json"},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise AlertmanagerError(f"{self.name}: no answer: {_cause(error)}") from None
        if answer.status_code != requests.codes.ok:
            raise AlertmanagerError(f"{self.name}: {method} {path}: {answer.status_code} {_line(answer.text)}".rstrip())
        if kind is None:
            return None
        with self._shape():
            body = answer.json()
            if not isinstance(body, kind):
                raise TypeError
        return body

    def _session(self) -> requests.Session:
        settings = self._settings
        try:
            known = (settings.login.password_file.read_text().strip(), settings.ca_file.stat().st_mtime)
        except OSError as error:
            raise AlertmanagerError(f"{error.filename} cannot be read: {error.strerror}") from None
        if self._made is None or self._made[0] != known:
            self.close()
            session = requests.Session()
            session.trust_env = False
            session.verify = str(settings.ca_file)
            session.auth = (settings.login.user, known[0])
            if settings.server_name:
                session.mount("https://", _Named(settings.server_name))
            self._made = (known, session)
        return self._made[1]

    @contextmanager
    def _shape(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, RegionError):
            raise AlertmanagerError(f"{self.name}: does not answer as Alertmanager's API, version 2, does") from None


def _held(silence: Mapping[str, Any]) -> StoredSilence:
    matchers = [
        {
            "name": matcher["name"],
            "value": matcher["value"],
            "isRegex": matcher["isRegex"],
            "isEqual": matcher.get("isEqual", True),
        }
        for matcher in silence["matchers"]
    ]
    content = {**{key: silence[key] for key in _KEYS}, "matchers": matchers}
    return StoredSilence(
        state=str(silence["status"]["state"]), silence=parse(Silence, json.dumps(content), "a silence")
    )


def _cause(error: BaseException) -> str:
    """The innermost reason, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return _line(str(error))


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_SHOWN]


class AlertmanagerReconciler:
    """Polls one Alertmanager, and changes it where it is not as it should be.

    Args:
        alertmanager: It, for this thread alone.
        region: Whose failover agent this is.
        gate: Knows what is wanted.
        changed: Called when it fell silent, or tells again.
        log: Hears of that.
        problems: Hears of what goes wrong.

    Attributes:
        name: Host and port.
        silenced: Whether the failover agent's silence held at the last poll that succeeded; None before the first.
        applied: Number of what was wanted and is so; 0 before the first.
        errors: Polls that failed.
        operator_silences: Silences of people at the last poll.
        handed_over: Silences handed over at the last poll, by id.
    """

    def __init__(
        self,
        alertmanager: Alertmanager,
        region: str,
        gate: NotificationGate,
        changed: Callable[[], None],
        log: Callable[[str], None],
        problems: DedupLogger,
    ) -> None:
        self.name = alertmanager.name
        self.silenced: bool | None = None
        self.applied = self.errors = 0
        self.operator_silences: Sequence[Silence] = ()
        self.handed_over: Mapping[str, Silence] = {}
        self._alertmanager, self._region, self._gate = alertmanager, region, gate
        self._changed, self._log, self._problems = changed, log, problems

    def poll(self) -> None:
        """Poll once, and do what is wanted; log a failure once while it lasts."""
        problem = ""
        try:
            held = self._alertmanager.silences()
            self._gate.looked(followed=any(silence_held.author == FAILOVER_AGENT for silence_held in held))
            wanted = self._gate.wanted()
            if wanted is not None and (wanted.firm or wanted.number != self.applied):
                held = self._apply(wanted, held)
            self._keep(held)
        except AlertmanagerError as error:
            self.errors += 1
            problem = str(error)
        self._problems.report(self.name, problem)

    def _apply(self, wanted: DesiredState, held: list[StoredSilence]) -> list[StoredSilence]:
        todo = steps(held, silent=wanted.silent, now=datetime.now(UTC))
        for step in todo:
            if isinstance(step, CreateSilence):
                self._alertmanager.silence(body(step, self._region))
            else:
                # Another member's end of it may have come here first: what counts is what is there afterwards.
                with suppress(AlertmanagerError):
                    self._alertmanager.end(step.id)
        if todo:
            held = self._alertmanager.silences()
        if silenced(held) is not wanted.silent:
            self._keep(held)
            raise AlertmanagerError(f"{self.name}: is still {'not silent' if wanted.silent else 'silent'}")
        self.applied = wanted.number
        return held

    def _keep(self, held: Sequence[StoredSilence]) -> None:
        self.operator_silences, self.handed_over = operator_silences(held), handed_over(held)
        now = silenced(held)
        if now is not self.silenced:
            self.silenced = now
            self._log(f"{self.name}: {'silent about telemetry' if now else 'tells about telemetry'}")
            self._changed()


@dataclass(frozen=True, kw_only=True)
class _Answer:
    alertmanager: Alertmanager
    handed_over: Mapping[str, Silence]
    alerts: Sequence[Mapping[str, str]]


def over(silences: Iterable[Silence], alerts: Sequence[Mapping[str, str]]) -> set[str]:
    """Ids of the silences that no alert meets."""
    return {silence.id for silence in silences if not any(matches(silence, labels) for labels in alerts)}


class SilenceExpirer:
    """Polls alerts and handed-over silences; expires what is over in two polls in a row.

    Args:
        alertmanagers: Every member, for this thread alone.
        least_age_s: How old a silence must be.
        least_up_s: For how long a member must have been running to count.
    """

    def __init__(
        self,
        alertmanagers: Sequence[Alertmanager],
        *,
        least_age_s: float = _LEAST_AGE_S,
        least_up_s: float = _LEAST_UP_S,
    ) -> None:
        self._alertmanagers = alertmanagers
        self._least_age_s, self._least_up_s = least_age_s, least_up_s
        self._over: set[str] = set()

    def poll(self) -> None:
        """Poll once. A member that does not answer is left out: its own polls show that."""
        answers = [answer for alertmanager in self._alertmanagers if (answer := self._ask(alertmanager)) is not None]
        alerts = [labels for answer in answers for labels in answer.alerts]
        known = {id: silence for answer in answers for id, silence in answer.handed_over.items()}
        now_over = over(known.values(), alerts)
        now = datetime.now(UTC)
        for id in now_over & self._over:
            if (now - known[id].starts_at).total_seconds() >= self._least_age_s:
                _end(id, answers)
        self._over = now_over

    def _ask(self, alertmanager: Alertmanager) -> _Answer | None:
        try:
            if alertmanager.up_s() < self._least_up_s:
                return None
            silences = handed_over(alertmanager.silences())
            return _Answer(alertmanager=alertmanager, handed_over=silences, alerts=alertmanager.alerts())
        except AlertmanagerError:
            return None


def _end(id: str, answers: Iterable[_Answer]) -> None:
    for answer in answers:
        if id in answer.handed_over:
            # It may have ended there already, through the other member.
            with suppress(AlertmanagerError):
                answer.alertmanager.end(id)
