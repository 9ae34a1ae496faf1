"""A zone is gone: one of everything that runs twice or thrice, at once and without warning (K1, D3)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("zone")
def test_a_zone_is_gone_and_everything_goes_on(settled: Context) -> None:
    assert problems("zone", settled) == []
