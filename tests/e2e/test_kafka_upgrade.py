"""Kafka upgraded from the release before, where the platform began with it (`python -m lab up --kafka previous`)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("kafka-upgrade")
def test_kafka_is_upgraded_taken_back_and_upgraded_and_nothing_is_lost(settled: Context) -> None:
    assert problems("kafka-upgrade", settled) == []
