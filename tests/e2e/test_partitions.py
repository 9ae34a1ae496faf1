"""Partitions are added by settings under load (K6); the platform keeps them, so this comes last."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("partitions")
def test_partitions_are_added_by_settings_and_nothing_is_lost(settled: Context) -> None:
    assert problems("partitions", settled) == []
