"""A region is lost without warning: the other one takes over, is active; then it hands back (D2, D3)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("region")
def test_a_region_is_lost_and_comes_back(context: Context) -> None:
    assert problems("region", context) == []
