"""The gate of the live platform: attacks, forgeries, and the erasure of a person whose ids it hashed."""

from __future__ import annotations

import pytest

from ops.core.context import Context
from ops.drills.erasure import erase_on_platform
from ops.drills.gate_forgery_run import forge_platform
from ops.drills.gate_run import attack_platform
from tests.support.results import recorded


@pytest.mark.timeout(3600)
def test_attacks_are_refused_and_another_layer_does_not_feel_them(settled: Context) -> None:
    with recorded("gate-attacks", settled.kube) as figures:
        assert attack_platform(settled, figures) == []


@pytest.mark.timeout(900)
def test_no_reserved_name_can_be_forged(settled: Context) -> None:
    with recorded("gate-forgery", settled.kube) as figures:
        assert forge_platform(settled, figures) == []


@pytest.mark.timeout(600)
def test_a_person_is_erased_and_another_one_is_not(settled: Context) -> None:
    with recorded("privacy-erasure", settled.kube) as figures:
        assert erase_on_platform(settled, figures) == []
