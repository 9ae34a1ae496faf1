"""What a stack does not promise since its file leaves something out: one line each, for previews and checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from components.alerting.escalation import LEVELS
from components.alertmanager import receivers
from stacks.settings import Settings

_NOT_BACKED_UP: Final = "the search cluster is not backed up: Kafka has its traces and logs for days only"


def not_promised(settings: Settings) -> list[str]:
    """One line for each promise that the settings leave out, with the key that leaves it out."""
    return [f"settings.{key}: {line}" for key, line in _lines(settings)]


def _lines(settings: Settings) -> Iterator[tuple[str, str]]:
    alerting = settings.alerting
    for line in receivers.not_promised(alerting.reached, LEVELS):
        yield "alerting.contacts", line
    if not alerting.heartbeat:
        yield "alerting.heartbeat", "nobody is told when the whole platform is down (requirement D4)"
    if settings.cluster.state is None:
        yield (
            "cluster.state",
            "nobody is told of pods that wait or restart, nodes that are not ready, jobs that fail and autoscalers at "
            "their maximum (requirements G4, S1)",
        )
    elif settings.cluster.state == "namespace":
        yield "cluster.state", "nobody is told of nodes that are not ready or under pressure (requirement G4)"
    if settings.cluster.kubelets is None:
        yield (
            "cluster.kubelets",
            "nobody is told how full volumes are, but for what servers say of their own data (requirements G4, M2)",
        )
    if settings.reports.recipients is None:
        yield "reports.recipients", "reports are stored and mailed to nobody (requirement R1)"
    if settings.grafana.ldap is None and settings.grafana.oidc is None:
        yield "grafana.ldap", "Grafana has one account, its administrator's, and no roles (requirement G5)"
    if settings.traces.identity is None:
        yield "traces.identity", "traces have no pages and no clearances of their own (requirement J3)"
    if settings.backups.search is None:
        yield "backups.search", f"{_NOT_BACKED_UP} (requirement D1)"
    if settings.audit.cluster is None:
        yield (
            "audit.cluster",
            "who changed what in the namespace without `ops` is not in the audit log (requirement M1)",
        )
    if settings.regions.peer is None:
        key = "regions.peer" if settings.regions.witness else "regions.witness"
        yield key, "nothing takes over when this region is gone (requirements D2, D3)"
