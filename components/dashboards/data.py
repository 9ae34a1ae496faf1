"""Layer 4: ETL, consistency checks, reports."""

from __future__ import annotations

from components.dashboards import layer
from components.dashboards.model import Dashboard
from components.telemetry.layers import DATA

DASHBOARD: Dashboard = layer.dashboard(
    DATA,
    "Data management",
    "ETL jobs, consistency checks and reports: did the last runs succeed, do the data agree, are reports there?",
)
"""State, thresholds, KPIs, dependencies, performance, telemetry."""
