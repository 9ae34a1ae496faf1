"""A platform that grows by its settings passes the whole policy pack, without a new line of what was agreed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support import engine
from tests.unit.stacks.test_integrations import as_the_stack_says


def _more_shards(given: dict[str, Any]) -> None:
    given["prometheus"]["shards"] = 2


def _more_brokers(given: dict[str, Any]) -> None:
    given["kafka"]["brokers"].append({"host": "198.18.0.13", "address": "198.18.0.13"})


@pytest.mark.parametrize("change", [_more_shards, _more_brokers])
def test_growth_passes_the_pack(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    given = engine.stack_settings("local")
    change(given)
    recording = engine.record("local", given, engine.stack_role("local"))
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    runner = Runner(as_the_stack_says(given, tmp_path), rules=RULES, agreed=[])
    assert [verdict.finding.problem for verdict in runner.all(resources)] == []
