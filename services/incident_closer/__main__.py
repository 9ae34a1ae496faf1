"""The program: poll the Alertmanager beside it, and close what is open for nobody.

Alertmanager closes an incident of the pager when the alert ends, except when the alert is silenced or inhibited then:
what is muted is not told, its end neither. Such an incident would stay open for ever, and the pager would merge the
next alert of the same labels into it: it would ring nobody. So an incident is closed as soon as its alert is muted.
Somebody who acknowledged has it, or the inhibiting alert has an incident of its own; when the mute is over and the
alert still fires, Alertmanager tells it again, which opens a new incident and rings.

In a pair of regions an alert may be quiet for another reason: the other region tells, or has told (the silences of the
failover agent and of the handover). That nobody has taken: its incident stays open, and is closed when the alert ends.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.incident_closer import IncidentCloserSettings, Paged
from services.regions import REGION_AUTHORS
from services.runtime import serving
from services.runtime.serving import DedupLogger, PeriodicTask, operator_log

AGAIN_S = (0.0, 15.0, 60.0)
"""Seconds after which a muted alert's incident is closed, and closed again: a notification that was under way when the
mute began may open it a little later."""
AWAY_S = 60.0
"""Seconds for which an alert that the other region tells has to be away until it counts as ended: an Alertmanager that
has restarted knows no alert, and Prometheus repeats them within 40 s."""
MOST_ENDING = 10_000
"""Incidents of alerts that ended while they were quiet, which are remembered until the pager takes their end."""
_NAMED_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
POLL_INTERVAL_S = 5.0
"""Seconds between two polls."""
MOST_AT_ONCE = 4
"""Incidents that one poll closes: the pager takes 120 events a minute for a key, two closers take 96 of them at most,
and what rings must have room."""
_NOBODY = REGION_AUTHORS | {None}
_TIMEOUT_S = (2.0, 5.0)
_LARGEST_ANSWER = 64 * 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Incident:
    """An incident of the pager.

    Attributes:
        receiver: Alertmanager's receiver that opened it.
        dedup_key: What Alertmanager calls it.
    """

    receiver: str
    dedup_key: str


def dedup_key(route: str, labels: Mapping[str, str]) -> str:
    """Alertmanager's key of the incident of one alert: the hash of its group's name, where a group is one alert.

    Args:
        route: The route's name, for example ``{}/{severity="critical"}``.
        labels: All labels of the alert.
    """
    group = ", ".join(f"{name}={_quoted(labels[name])}" for name in sorted(labels))
    return hashlib.sha256(f"{route}:{{{group}}}".encode()).hexdigest()


@dataclass(frozen=True)
class AlertStates:
    """Incidents that alerts may have at one moment.

    Attributes:
        muted: Of alerts that people silenced, or that are inhibited.
        told: Of alerts that fire and are told.
        elsewhere: Of alerts that are quiet here only because the other region tells, or has told.
    """

    muted: frozenset[Incident]
    told: frozenset[Incident]
    elsewhere: frozenset[Incident]


def evaluate(
    alerts: Iterable[Mapping[str, Any]], authors: Mapping[str, str], receivers: Mapping[str, Paged]
) -> AlertStates:
    """What Alertmanager says about the alerts that ring a phone.

    Args:
        alerts: As ``GET /api/v2/alerts`` gives them.
        authors: Id of a silence -> who made it.
        receivers: Those that ring a phone.

    Raises:
        KeyError, TypeError: That is no such answer.
    """
    muted: set[Incident] = set()
    told: set[Incident] = set()
    elsewhere: set[Incident] = set()
    for alert in alerts:
        status = alert["status"]
        if status["state"] != "suppressed":
            incidents = told
        else:
            incidents = elsewhere if _told_elsewhere(status, authors) else muted
        for name in {receiver["name"] for receiver in alert["receivers"]} & receivers.keys():
            incidents.add(Incident(name, dedup_key(receivers[name].route, alert["labels"])))
    return AlertStates(frozenset(muted), frozenset(told), frozenset(elsewhere))


def _told_elsewhere(status: Mapping[str, Any], authors: Mapping[str, str]) -> bool:
    """Whether the regions' own silences alone keep an alert quiet.

    A silence that is not known is nobody's: an incident that stays open too long is the smaller fault.
    """
    silences = status["silencedBy"]
    return bool(silences) and not status["inhibitedBy"] and all(authors.get(id) in _NOBODY for id in silences)


class Closing:
    """Which incidents are due to be closed, and which were."""

    def __init__(self) -> None:
        self._since: dict[Incident, float] = {}
        self._closed: dict[Incident, float] = {}
        self._elsewhere: frozenset[Incident] = frozenset()
        self._ending: dict[Incident, float] = {}

    def due(self, now: float, states: AlertStates) -> list[Incident]:
        """Incidents to close now; `closed` has to be told of each that was.

        Those of muted alerts, and those of alerts that ended while they were quiet: of muted ones once more.

        Args:
            now: Seconds that never go back.
            states: What Alertmanager says now.
        """
        ended = dict.fromkeys(self._elsewhere, now + AWAY_S) | dict.fromkeys(self._since, now)
        for incident in self._since.keys() - states.muted:
            del self._since[incident]
            self._closed.pop(incident, None)
        for incident in states.muted:
            self._since.setdefault(incident, now)
        self._elsewhere = states.elsewhere
        there = states.told | states.muted | states.elsewhere
        # Closing what is told again would hang up on somebody.
        for incident in self._ending.keys() & there:
            del self._ending[incident]
        for incident in ended.keys() - there:
            if len(self._ending) < MOST_ENDING:
                self._ending.setdefault(incident, ended[incident])
        incidents = {incident for incident in states.muted if self._is_due(incident, now)}
        incidents |= {incident for incident, due in self._ending.items() if due <= now}
        return sorted(incidents, key=lambda incident: incident.dedup_key)

    def closed(self, incident: Incident, now: float) -> None:
        """An incident was closed."""
        self._ending.pop(incident, None)
        if incident in self._since:
            self._closed[incident] = now

    def _is_due(self, incident: Incident, now: float) -> bool:
        last, since = self._closed.get(incident), self._since[incident]
        return last is None or any(last < since + after <= now for after in AGAIN_S)


def _quoted(text: str) -> str:
    """A text as Go writes it in quotes."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[character]
    if character == " " or (character.isprintable() and not character.isspace()):
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


log = operator_log("incident-closer")


class CloserError(Exception):
    """Alertmanager or the pager does not answer, or refuses; one line without secrets."""


class CloserMetrics:
    """What the closer tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.failing = Gauge("incident_closer_failing", "1 while the last poll failed.", registry=registry)
        self.muted = Gauge("incident_closer_muted", "Alerts that are muted and may ring a phone.", registry=registry)
        self.closed = Counter("incident_closer_closed", "Resolve events that the pager took.", registry=registry)


class Closer:
    """Asks Alertmanager, and tells the pager; for one thread. Files are read again at each poll."""

    def __init__(self, settings: IncidentCloserSettings, problems: DedupLogger, measures: CloserMetrics) -> None:
        self._settings, self._problems, self._measures, self._closing = settings, problems, measures, Closing()

    def poll(self) -> None:
        """Close what is due; what does not work is told in a line, and tried again at the next poll."""
        problem = ""
        try:
            # Silences after the alerts: whatever silences one of these is among them then.
            # Of a storm of other alerts nothing has to be held.
            paged = "|".join(map(re.escape, self._settings.receivers))
            alerts = self._asked(f"alerts?receiver={quote(paged, safe='')}")
            states = evaluate(alerts, _authors(self._asked("silences")), self._settings.receivers)
            self._measures.muted.set(len(states.muted))
            problem = self._close_some(self._closing.due(time.monotonic(), states))
        except CloserError as error:
            problem = str(error)
        except (KeyError, TypeError, AttributeError):
            problem = "Alertmanager does not answer as its API, version 2, does"
        self._measures.failing.set(bool(problem))
        self._problems.report("closing incidents", problem)

    def _asked(self, what: str) -> list[Any]:
        settings = self._settings
        content = self._call(
            "Alertmanager",
            "GET",
            f"{settings.alertmanager.url}/api/v2/{what}",
            settings.alertmanager.ca_file,
            auth=(settings.alertmanager.user, _read(settings.alertmanager.password_file)),
        )
        if not isinstance(content, list):
            raise CloserError(f"Alertmanager: the answer is no list of {what.partition('?')[0]}")
        return content

    def _close_some(self, incidents: Iterable[Incident]) -> str:
        """Close as many as one poll does; what went wrong first, or nothing.

        A receiver whose key does not work is asked once: its other incidents wait for the next poll, and take no place
        of those that can be closed.
        """
        problem, refused, left = "", set[str](), MOST_AT_ONCE
        for incident in incidents:
            if incident.receiver in refused:
                continue
            if not left:
                break
            try:
                self._close(incident)
            except CloserError as error:
                refused.add(incident.receiver)
                problem = problem or str(error)
                continue
            left -= 1
            self._closing.closed(incident, time.monotonic())
            self._measures.closed.inc()
        return problem

    def _close(self, incident: Incident) -> None:
        settings = self._settings
        event = {
            "routing_key": _read(settings.receivers[incident.receiver].key_file),
            "event_action": "resolve",
            "dedup_key": incident.dedup_key,
        }
        self._call("the pager", "POST", settings.pager.url, settings.pager.ca_file, json=event)

    def _call(self, who: str, method: str, url: str, ca_file: Path | None, **options: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(ca_file) if ca_file else True
            try:
                answer = session.request(method, url, timeout=_TIMEOUT_S, allow_redirects=False, stream=True, **options)
                content = _bounded(answer.iter_content(_CHUNK))
            except (requests.RequestException, OSError) as error:
                raise CloserError(f"{who}: no answer ({type(error).__name__})") from None
        if answer.status_code not in (requests.codes.ok, requests.codes.accepted):
            raise CloserError(f"{who}: answered {answer.status_code}")
        if len(content) > _LARGEST_ANSWER:
            raise CloserError(f"{who}: the answer is larger than {_LARGEST_ANSWER} bytes")
        try:
            return json.loads(content)
        except ValueError:
            raise CloserError(f"{who}: the answer is no JSON") from None


def _authors(silences: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Id of a silence -> who made it, of what ``GET /api/v2/silences`` gives."""
    return {silence["id"]: silence["createdBy"] for silence in silences}


def _bounded(parts: Iterable[bytes]) -> bytes:
    """What was sent, up to a little more than is allowed."""
    content = bytearray()
    for part in parts:
        content += part
        if len(content) > _LARGEST_ANSWER:
            break
    return bytes(content)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError as error:
        raise CloserError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CloserError(f"{file} cannot be read: it is no text") from None


class Service(serving.Service):
    """Polls, metrics and probes."""

    def __init__(self, settings: IncidentCloserSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        registry = CollectorRegistry()
        self._task = PeriodicTask(
            "closing", POLL_INTERVAL_S, Closer(settings, DedupLogger(log), CloserMetrics(registry)).poll
        )
        self.server = serving.https_server(settings, registry, self._task.alive, program="incident-closer")

    def begin(self, stop: threading.Event) -> None:
        """Poll until ``stop``."""
        self._task.start(stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="incident-closer",
        description="Closes the pager's incidents of alerts that are silenced or inhibited.",
        make=lambda file: Service(IncidentCloserSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
