"""Metrics in shards: divided under load, one view, alerts told once, and back (P4)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("shards")
def test_metrics_are_divided_over_more_servers_under_load(settled: Context) -> None:
    assert problems("shards", settled) == []
