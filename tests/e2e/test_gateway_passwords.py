"""New passwords of every layer at the live gateways, under load (O1)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("gateway-passwords")
def test_layers_change_their_passwords_and_nobody_is_refused(settled: Context) -> None:
    assert problems("gateway-passwords", settled) == []
