"""Layer 2: streaming, recording, object storage, transfer to ADLS."""

from __future__ import annotations

from components.dashboards import layer
from components.dashboards.model import Dashboard
from components.telemetry.layers import STREAMING

DASHBOARD: Dashboard = layer.dashboard(
    STREAMING,
    "Streaming and recording",
    "Live streams, recordings, the object storage and the transfer to ADLS: does everybody see now, and is it kept?",
)
"""State, thresholds, KPIs, dependencies, performance, telemetry."""
