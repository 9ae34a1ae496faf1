"""Sizing of what raises and delivers alerts, per profile, as data."""

from __future__ import annotations

from dataclasses import dataclass

from components.k8s import Resources


@dataclass(frozen=True, kw_only=True)
class AlertSizing:
    """Sizing of alerting.

    Attributes:
        alertmanager: An Alertmanager.
        alertmanagers: Alertmanagers in the cluster.
        closer: What closes the pager's incidents of muted alerts, beside each Alertmanager.
        events: The service that writes alert events to Kafka.
        probes: The prober of certificates and endpoints.
    """

    alertmanager: Resources
    alertmanagers: int = 2
    closer: Resources
    events: Resources
    probes: Resources


SMALL = AlertSizing(
    alertmanager=Resources(cpu="15m", memory="64Mi", memory_limit="256Mi"),
    closer=Resources(cpu="5m", memory="48Mi", memory_limit="128Mi"),
    events=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    probes=Resources(cpu="20m", memory="32Mi", memory_limit="128Mi"),
)
"""One machine of two cores."""

PRODUCTION = AlertSizing(
    alertmanager=Resources(cpu="200m", memory="512Mi", memory_limit="1Gi"),
    closer=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    events=Resources(cpu="100m", memory="128Mi", memory_limit="512Mi"),
    probes=Resources(cpu="50m", memory="64Mi", memory_limit="256Mi"),
)
"""A region of its own, also while it stands by: alerts take no less when it takes over."""
