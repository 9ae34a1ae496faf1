"""Every certificate renewed at once on the live platform, under load (K5)."""

from __future__ import annotations

from ops.core.context import Context
from tests.support.drills import limit, problems


@limit("certificate")
def test_renewed_certificates_are_taken_up_and_nobody_notices(settled: Context) -> None:
    assert problems("certificate", settled) == []
