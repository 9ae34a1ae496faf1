"""All dashboards."""

from __future__ import annotations

from components.dashboards import (
    alerting,
    kafka,
    layer,
    operations,
    overview,
    recovery,
    traces,
    visualization,
)
from components.dashboards.model import Dashboard

DASHBOARDS: tuple[Dashboard, ...] = (
    overview.DASHBOARD,
    *layer.DASHBOARDS,
    operations.DASHBOARD,
    kafka.DASHBOARD,
    traces.DASHBOARD,
    alerting.DASHBOARD,
    visualization.DASHBOARD,
    recovery.DASHBOARD,
)
"""In the order in which people go through them."""


def dashboard_named(name: str) -> Dashboard:
    """Find a dashboard by its short name.

    Raises:
        KeyError: There is none of that name; the message lists those there are.
    """
    for candidate in DASHBOARDS:
        if candidate.name == name:
            return candidate
    raise KeyError(
        f"dashboard {name!r} does not exist: use one of {', '.join(dashboard.name for dashboard in DASHBOARDS)}"
    )
