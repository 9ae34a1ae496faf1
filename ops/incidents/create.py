"""Makes the record of an incident from an alert that fires, or from one that fired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX
from components.rules import Severity
from components.telemetry.layers import LAYER_NAMES
from ops.alerts.ack import candidates
from ops.core.alertmanager import FiringAlert
from ops.core.errors import OpsError, one_line
from ops.incidents.events import expression, several, severity
from ops.incidents.model import AlertRecord, Incident, subject_of
from ops.telemetry.trace_tree import printable

_LONGEST_TITLE = 200


def firing_alert(alerts: Sequence[FiringAlert], text: str) -> AlertRecord:
    """The firing alert that ``text`` means: an identity, a name, or how an identity begins.

    Raises:
        OpsError: Nothing of that kind fires, or several do.
    """
    identities = candidates(alerts, text, {})
    if not identities:
        raise OpsError(
            f"no alert that fires is, is called or begins with {text!r}: `ops alerts` shows what fires; "
            "for one that has ended add --at TIME"
        )
    if len(identities) > 1:
        raise OpsError(several(text, identities))
    same = [alert for alert in alerts if alert.identity == identities[0]]
    # The escalated twin has the same identity and begins later.
    alert = min(same, key=lambda same_alert: (bool(same_alert.labels.get(ESCALATION_LABEL)), same_alert.starts))
    name = alert.name.removesuffix(SUFFIX)
    labels = {key: value for key, value in alert.labels.items() if key != ESCALATION_LABEL}
    return AlertRecord(
        alert_id=alert.identity,
        name=name,
        severity=severity(labels),
        layer=labels.get("layer", ""),
        labels={**labels, "alertname": name},
        annotations=dict(alert.annotations),
        expression=expression(alert.source),
        starts=min(same_alert.starts for same_alert in same),
        source="alertmanager",
    )


def manual_alert(text: str, starts: datetime, layer: str, priority: Severity | None) -> AlertRecord:
    """An alert as people tell it, when the monitoring itself cannot be asked.

    Args:
        text: Its identity, or only its name.
        starts: Since when.
        layer: Layer that it is about; empty for the platform itself.
        priority: Its priority; high where none is given.

    Raises:
        OpsError: There is no text, or no such layer.
    """
    if not text.strip():
        raise OpsError("ALERT is empty: name what is wrong, for example KafkaBrokerDown")
    if layer and layer not in LAYER_NAMES:
        raise OpsError(f"--layer is {layer!r}, must be one of {', '.join(LAYER_NAMES)}")
    name, chosen = text.partition("/")[0], priority or Severity.HIGH
    given = {"layer": layer} if layer else {}
    return AlertRecord(
        alert_id=text,
        name=name,
        severity=chosen,
        layer=layer,
        labels={"alertname": name, "alert_id": text, "severity": chosen.value, **given, **subject_of(text)},
        annotations={},
        starts=starts,
        source="manual",
    )


def new(
    identifier: str, alert: AlertRecord, now: datetime, who: str, title: str | None, priority: Severity | None
) -> Incident:
    """A new record; title and priority are the alert's where none is given."""
    given = (title or "").strip() or alert.annotations.get("summary") or alert.name
    return Incident(
        id=identifier,
        title=one_line(printable(" ".join(given.split())), _LONGEST_TITLE),
        severity=priority or alert.severity,
        opened=now,
        opened_by=who,
        alert=alert,
    )
