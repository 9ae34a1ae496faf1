"""The password of Kafka's administrator changed on the live platform, under load (K5)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("admin-password")
def test_a_new_password_of_the_administrator_is_taken_and_nobody_notices(settled: Context) -> None:
    assert problems("admin-password", settled) == []
