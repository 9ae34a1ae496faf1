"""What people look at comes from Prometheus: the object storage is asked for what is older."""

from __future__ import annotations

import pytest

from components.dashboards.registry import DASHBOARDS
from ops.core.prometheus_text import seconds
from stacks.sizing import _PRODUCTION_BACKUPS, _SMALL_BACKUPS, BackupSizing

LOOKBACK_S = 3600
"""Queries read so much before the begin of what is drawn."""


@pytest.mark.parametrize("sizing", [_SMALL_BACKUPS, _PRODUCTION_BACKUPS])
def test_no_dashboard_waits_for_the_object_storage(sizing: BackupSizing) -> None:
    shown = {
        since
        for dashboard in DASHBOARDS
        for since in (dashboard.since, *(panel.since for panel in dashboard.panels))
        if since
    }
    assert seconds(sizing.serves_after) > max(map(seconds, shown)) + LOOKBACK_S
