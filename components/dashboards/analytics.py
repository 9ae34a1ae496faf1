"""Layer 5: screens, users, analyses."""

from __future__ import annotations

from components.dashboards import layer
from components.dashboards.model import Dashboard
from components.telemetry.layers import ANALYTICS

DASHBOARD: Dashboard = layer.dashboard(
    ANALYTICS,
    "Analysis and screens",
    "Users, screens and analyses: how many are there, do they wait, and is there processor time left?",
)
"""State, thresholds, KPIs, dependencies, performance, telemetry."""
