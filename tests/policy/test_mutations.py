"""The pack notices every protective setting of the platform that is removed or weakened."""

from __future__ import annotations

import pytest

from ops.evidence import files as evidence
from policy.runner import Runner
from tests.policy.mutation_run import NAME, platform, run

LEAST = 120


@pytest.mark.parametrize("stack", ["local", "prod", "dr"])
def test_the_platform_passes_its_own_pack(stack: str) -> None:
    stopping = [verdict.message for verdict in Runner(agreed=[]).all(platform(stack)) if verdict.stops]
    assert stopping == []


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_every_mutation_is_noticed(stack: str) -> None:
    result = run(stack, count=False)
    assert result.survivors == []
    assert result.mutations >= LEAST


def test_the_committed_report_has_no_survivors() -> None:
    newest = evidence.newest(NAME)
    assert newest is not None
    assert newest.figures["survivors"] == []
    assert newest.figures["noticed"] == newest.figures["mutations"] >= LEAST
