"""What Alertmanager calls an incident of the pager, and which of them have to be closed now. No input or output here.

Alertmanager closes an incident when the alert ends, except when the alert is silenced or inhibited then: what is
muted is not told, its end neither. Such an incident would stay open for ever, and the pager would merge the next alert
of the same labels into it: it would ring nobody. So an incident is closed as soon as its alert is muted. Somebody who
acknowledged has it, or the inhibiting alert has an incident of its own; when the mute is over and the alert still
fires, Alertmanager tells it again, which opens a new incident and rings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.incident_closer.settings import Paged

AGAIN_S = (0.0, 15.0, 60.0)
"""Seconds after which a muted alert's incident is closed, and closed again: a notification that was under way when the
mute began may open it a little later."""
MOST_ENDING = 10_000
"""Incidents of alerts that ended while they were muted, which are remembered until the pager takes their end."""
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
        muted: Of alerts that are silenced or inhibited.
        told: Of alerts that fire and are told.
    """

    muted: frozenset[Incident]
    told: frozenset[Incident]


def evaluate(alerts: Iterable[Mapping[str, Any]], receivers: Mapping[str, Paged]) -> AlertStates:
    """What Alertmanager says about the alerts that ring a phone.

    Args:
        alerts: As ``GET /api/v2/alerts`` gives them.
        receivers: Those that ring a phone.

    Raises:
        KeyError, TypeError: That is no such answer.
    """
    muted: set[Incident] = set()
    told: set[Incident] = set()
    for alert in alerts:
        incidents = muted if alert["status"]["state"] == "suppressed" else told
        for name in {receiver["name"] for receiver in alert["receivers"]} & receivers.keys():
            incidents.add(Incident(name, dedup_key(receivers[name].route, alert["labels"])))
    return AlertStates(frozenset(muted), frozenset(told))


class Closing:
    """Which incidents are due to be closed, and which were."""

    def __init__(self) -> None:
        self._since: dict[Incident, float] = {}
        self._closed: dict[Incident, float] = {}
        self._ending: set[Incident] = set()

    def due(self, now: float, states: AlertStates) -> list[Incident]:
        """Incidents to close now; `closed` has to be told of each that was.

        Those of muted alerts, and once more those of alerts that ended while they were muted.

        Args:
            now: Seconds that never go back.
            states: What Alertmanager says now.
        """
        for incident in self._since.keys() - states.muted:
            del self._since[incident]
            self._closed.pop(incident, None)
            if len(self._ending) < MOST_ENDING:
                self._ending.add(incident)
        for incident in states.muted:
            self._since.setdefault(incident, now)
        # Closing what is told again would hang up on somebody.
        self._ending -= states.told | states.muted
        incidents = {incident for incident in states.muted if self._is_due(incident, now)} | self._ending
        return sorted(incidents, key=lambda incident: incident.dedup_key)

    def closed(self, incident: Incident, now: float) -> None:
        """An incident was closed."""
        self._ending.discard(incident)
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
