"""New logins of every client of Kafka on the live platform, under load (K5)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("kafka-logins")
def test_every_client_of_kafka_changes_its_login_and_nobody_is_refused(settled: Context) -> None:
    assert problems("kafka-logins", settled) == []
