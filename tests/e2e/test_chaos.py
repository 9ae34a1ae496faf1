"""Faults by a plan that a seed decides, on the live platform under load of every signal (K1, O1, S2, D3)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("chaos")
def test_faults_of_every_kind_lose_nothing_and_alerts_are_told(settled: Context) -> None:
    assert problems("chaos", settled) == []
