"""Source "silences": who acknowledged or silenced the alert, and when."""

from __future__ import annotations

from components.alerting.escalation import SUFFIX
from ops.core.alertmanager import Alertmanager
from ops.incidents.evidence import Silenced
from ops.incidents.model import Incident
from ops.incidents.time_window import TimeWindow

MOST = 50


def silences(alertmanager: Alertmanager, incident: Incident, window: TimeWindow) -> tuple[Silenced, ...]:
    """Silences that met the alert or its escalated twin in the window, the earliest first.

    Raises:
        OpsError: No answer.
    """
    labels = dict(incident.alert.labels)
    twin = {**labels, "alertname": incident.alert.name.removesuffix(SUFFIX) + SUFFIX}
    overlapping = [
        Silenced(
            start=silence.starts,
            end=silence.ends,
            author=silence.author,
            comment=silence.comment,
            matchers=", ".join(map(str, silence.matchers)),
            acknowledges=silence.acknowledges == incident.alert.alert_id,
        )
        for silence in alertmanager.silences()
        if (silence.matches(labels) or silence.matches(twin))
        and silence.starts <= window.end
        and silence.ends >= window.start
    ]
    return tuple(sorted(overlapping, key=lambda silenced: silenced.start)[:MOST])
