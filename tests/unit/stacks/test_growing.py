"""What a stack file may choose passes the whole policy pack, without a new line of what was agreed on."""

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


def _no_export(given: dict[str, Any]) -> None:
    given["backups"]["search"] = None


def _other_retention(given: dict[str, Any]) -> None:
    given["search"] |= {"trace_days": 3, "log_days": 30}
    given["backups"]["keep_days"] |= {"database": 14, "archive": 60}


def _registries_by_group(given: dict[str, Any]) -> None:
    given["images"]["registries"] = {"upstream": "registry.example.net/mirror/upstream"}


def _no_directory(given: dict[str, Any]) -> None:
    given["grafana"] |= {"ldap": None, "trace_clearance": None}


def _logins_that_rotate(given: dict[str, Any]) -> None:
    given["kafka"]["login_generations"] = [2, 1]
    given["gateway"]["password_generations"] = [2, 1]


_CHOICES = (
    _more_shards,
    _more_brokers,
    _no_export,
    _other_retention,
    _registries_by_group,
    _no_directory,
    _logins_that_rotate,
)


@pytest.mark.parametrize("change", _CHOICES)
def test_a_choice_passes_the_pack(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    given = engine.stack_settings("local")
    change(given)
    recording = engine.record("local", given, engine.stack_role("local"))
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    runner = Runner(as_the_stack_says(given, tmp_path), rules=RULES, agreed=[])
    assert [verdict.finding.problem for verdict in runner.all(resources)] == []
