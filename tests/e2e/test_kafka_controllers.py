"""Kafka's dedicated controllers, where the platform began with them (`python -m lab up --controllers`)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("kafka-controllers")
def test_controllers_are_lost_and_nothing_else_is(settled: Context) -> None:
    assert problems("kafka-controllers", settled) == []
