"""The brokers' volumes grow under load (S1); the platform keeps them, so this comes last."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("storage-grow")
def test_volumes_grow_and_no_pod_restarts(settled: Context) -> None:
    assert problems("storage-grow", settled) == []
