"""A broker more and back, under load (K1, S1); every broker restarts twice, so it comes late."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("rebalance")
def test_a_broker_comes_and_goes_and_nothing_is_lost(settled: Context) -> None:
    assert problems("rebalance", settled) == []
