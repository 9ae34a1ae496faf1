"""What fires now, who is notified, who took it, and when the next one is notified (requirement A2). Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from components.alerting.escalation import ESCALATION_LABEL, NEVER, SUFFIX
from components.rules import Severity
from ops.alerts.ack import acknowledgements
from ops.alerts.silences import WATCHDOG
from ops.core.alertmanager import FiringAlert, Silence

_ORDER = {severity.value: number for number, severity in enumerate(Severity)}


class Escalates(StrEnum):
    """Where an alert is on its way to the next contact.

    Attributes:
        NEVER: Its priority has no escalation.
        LATER: At a known time, unless somebody acknowledges.
        NOW: The next contact is notified.
        STOPPED: A silence keeps it from the next contact.
    """

    NEVER = "never"
    LATER = "later"
    NOW = "now"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Level:
    """Whom alerts of one priority are escalated to, and how long after they began to fire."""

    contact: str
    delay: timedelta


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """State of an alert's escalation.

    Attributes:
        state: Where it is.
        contact: Who is next; empty for none.
        at: When they are told, or were; for a stopped one the end of the silence, which tells them; nothing if unknown.
    """

    state: Escalates
    contact: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One alert with everything that people ask about it.

    Attributes:
        alert: The alert; its escalated twin has no row of its own while the original fires.
        acknowledged: The acknowledgement in force, if any.
        silences: Other silences that keep it quiet.
        inhibited_by: Identities of alerts that make it superfluous.
        escalation: State of its escalation.
    """

    alert: FiringAlert
    acknowledged: Silence | None
    silences: tuple[Silence, ...]
    inhibited_by: tuple[str, ...]
    escalation: Escalation

    @property
    def severity(self) -> str:
        """Its priority."""
        return self.alert.labels.get("severity", "?")

    @property
    def layer(self) -> str:
        """The layer that it is about; empty for the platform itself."""
        return self.alert.labels.get("layer", "")

    @property
    def quiet(self) -> bool:
        """Whether nobody is notified of it now."""
        return self.alert.state == "suppressed"

    @property
    def open(self) -> bool:
        """Whether somebody has to take it: not silenced, not inhibited by another alert, and on-call is notified."""
        return not self.quiet and self.alert.name != WATCHDOG and self.severity != Severity.LOW


def rows(
    alerts: Sequence[FiringAlert], silences: Sequence[Silence], levels: Mapping[str, Level], now: datetime
) -> list[Row]:
    """One row per alert, the most urgent and oldest first.

    Args:
        alerts: What fires.
        silences: Silences, also those that have ended.
        levels: Priority -> next contact.
        now: The moment.
    """
    twins = {alert.identity: alert for alert in alerts if alert.labels.get(ESCALATION_LABEL) and alert.identity}
    originals = [alert for alert in alerts if not alert.labels.get(ESCALATION_LABEL)]
    there = {original.identity for original in originals}
    left = [twin for twin in twins.values() if twin.identity not in there]
    identities = {alert.fingerprint: alert.identity or alert.name for alert in alerts}
    acks = acknowledgements(silences)
    active = {silence.id: silence for silence in silences if silence.state == "active"}
    table_rows = []
    for alert in (*originals, *left):
        by = [active[name] for name in alert.silenced_by if name in active]
        table_rows.append(
            Row(
                alert=alert,
                acknowledged=acks.get(alert.identity) if by else None,
                silences=tuple(silence for silence in by if not silence.acknowledges),
                inhibited_by=tuple(sorted({identities.get(inhibitor, inhibitor) for inhibitor in alert.inhibited_by})),
                escalation=_escalation(alert, twins.get(alert.identity), active.values(), levels, now),
            )
        )
    return sorted(table_rows, key=lambda row: (_ORDER.get(row.severity, len(_ORDER)), row.alert.starts))


def _escalation(
    alert: FiringAlert,
    twin: FiringAlert | None,
    silences: Iterable[Silence],
    levels: Mapping[str, Level],
    now: datetime,
) -> Escalation:
    level = levels.get(alert.labels.get("severity", ""))
    if twin is not None:
        contact, due, labels, inhibited = twin.labels[ESCALATION_LABEL], twin.starts, twin.labels, twin.inhibited_by
    elif level is None or alert.name in NEVER:
        return Escalation(state=Escalates.NEVER)
    else:
        contact, due, inhibited = level.contact, alert.starts + level.delay, alert.inhibited_by
        labels = {**alert.labels, "alertname": alert.name + SUFFIX, ESCALATION_LABEL: contact}
    if inhibited:
        return Escalation(state=Escalates.STOPPED, contact=contact)
    longest = max((silence.ends for silence in silences if silence.matches(labels)), default=now)
    if longest > max(due, now):
        return Escalation(state=Escalates.STOPPED, contact=contact, at=longest)
    return Escalation(state=Escalates.LATER if twin is None else Escalates.NOW, contact=contact, at=due)


def chosen(table_rows: Iterable[Row], severities: Sequence[str], layers: Sequence[str]) -> list[Row]:
    """Rows of these priorities and layers; none named means all."""
    return [
        row
        for row in table_rows
        if (not severities or row.severity in severities) and (not layers or row.layer in layers)
    ]


def beats(alerts: Iterable[FiringAlert]) -> bool:
    """Whether the watchdog's heartbeat goes out: it always fires when Prometheus reaches Alertmanager."""
    return any(alert.name == WATCHDOG and alert.state == "active" for alert in alerts)
