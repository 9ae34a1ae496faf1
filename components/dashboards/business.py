"""Layer 3: business services and their database."""

from __future__ import annotations

from components.dashboards import layer
from components.dashboards.model import Dashboard
from components.telemetry.layers import BUSINESS

DASHBOARD: Dashboard = layer.dashboard(
    BUSINESS,
    "Business services",
    "The work API, work events and the database: are requests answered in time, and are events processed?",
)
"""State, thresholds, KPIs, dependencies, performance, telemetry."""
