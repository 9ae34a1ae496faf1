"""Source "silences": who acknowledged or silenced the alert, and when."""

from __future__ import annotations

from components.alerting.escalation import SUFFIX
from ops.alertmanager import Alertmanager
from ops.incident.evidence import Silenced
from ops.incident.model import Incident
from ops.incident.time_window import TimeWindow

MOST = 50


def silences(alertmanager: Alertmanager, incident: Incident, window: TimeWindow) -> tuple[Silenced, ...]:
    """Silences that met the alert or its escalated twin in the window, the earliest first.

    Raises:
        OpsError: No answer.
    """
    labels = dict(incident.alert.labels)
    twin = {**labels, "alertname": incident.alert.name.removesuffix(SUFFIX) + SUFFIX}
    found = [
        Silenced(
            start=each.starts,
            end=each.ends,
            author=each.author,
            comment=each.comment,
            matchers=", ".join(map(str, each.matchers)),
            acknowledges=each.acknowledges == incident.alert.alert_id,
        )
        for each in alertmanager.silences()
        if (each.matches(labels) or each.matches(twin)) and each.starts <= window.end and each.ends >= window.start
    ]
    return tuple(sorted(found, key=lambda each: each.start)[:MOST])
