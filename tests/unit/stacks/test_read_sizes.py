"""What people look at comes from Prometheus: the object storage is asked for what is older."""

from __future__ import annotations

import pytest

from components.dashboards.boards import DASHBOARDS
from ops.dashboard.ask import seconds
from stacks.backup_sizes import PRODUCTION, SMALL, BackupSizes

LOOKBACK_S = 3600
"""Queries read so much before the begin of what is drawn."""


@pytest.mark.parametrize("sizes", [SMALL, PRODUCTION])
def test_no_dashboard_waits_for_the_object_storage(sizes: BackupSizes) -> None:
    shown = {each for board in DASHBOARDS for each in (board.since, *(panel.since for panel in board.panels)) if each}
    assert seconds(sizes.serves_after) > max(map(seconds, shown)) + LOOKBACK_S
