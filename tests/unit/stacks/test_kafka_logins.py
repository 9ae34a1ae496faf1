"""A later generation of Kafka's logins: other users, passwords, rights and quotas; nothing else but who signs in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from stacks import kafka_users
from stacks.settings import parse
from tests.support import engine
from tests.support.engine import Recording
from tests.unit.stacks.test_integrations import as_the_stack_says

LATER = "-g2"
KAFKA = ("userScramCredential:UserScramCredential", "acl:Acl", "quota:Quota")
_SIGNS_IN = re.compile(r'^\s*-?\s*"?(username|user)"?\s*[:=]')
"""Line of a configuration that says who signs in."""


def settings(stack: str, generation: int) -> dict[str, Any]:
    given = engine.stack_settings(stack)
    given["kafka"]["login_generation"] = generation
    return given


@pytest.fixture(scope="module", params=["local", "prod", "dr"])
def both(request: pytest.FixtureRequest) -> tuple[str, Recording, Recording]:
    """A stack, as it is and with the next generation."""
    stack = request.param
    role = engine.stack_role(stack)
    return stack, engine.recorded(stack, role), engine.record(stack, settings(stack, 2), role)


def _users(recording: Recording) -> set[str]:
    return {str(user.inputs["username"]) for user in recording.of(f"kafka:index/{KAFKA[0]}")}


def test_every_client_of_the_region_gets_a_login_of_its_own_with_the_same_rights(
    both: tuple[str, Recording, Recording],
) -> None:
    stack, now, later = both
    clients = {user.name for user in kafka_users.own_users(parse(settings(stack, 1), "Pulumi.test.yaml"))}
    pair = _users(now) - clients
    assert pair <= {"mirror", "mirror-maker"}
    assert _users(later) == {f"{client}{LATER}" for client in clients} | pair
    for kind in KAFKA:
        before, after = ({resource.name for resource in one.of(f"kafka:index/{kind}")} for one in (now, later))
        kept = before & after
        assert all(name.startswith("mirror") for name in kept), "what changes in place has one login at a time"
        assert {name.replace(LATER, "", 1) for name in after} == before


def test_configurations_differ_in_who_signs_in_only(both: tuple[str, Recording, Recording]) -> None:
    _, now, later = both
    lines = 0
    for manifest in later.kinds("ConfigMap"):
        name = manifest["metadata"]["name"]
        before = now.one("ConfigMap", name)["data"]
        for file, text in manifest["data"].items():
            changed = [line for line in text.splitlines() if LATER in line]
            assert [line for line in changed if not _SIGNS_IN.match(line)] == [], f"{name}: {file}"
            assert text.replace(LATER, "") == before[file], f"{name}: {file}"
            lines += len(changed)
    assert lines >= 8


def test_the_outputs_have_the_newest_login_of_each_client(both: tuple[str, Recording, Recording]) -> None:
    _, now, later = both
    assert (now.outputs["kafka_login_generation"], later.outputs["kafka_login_generation"]) == (1, 2)
    assert set(now.outputs["kafka_users"]) == set(later.outputs["kafka_users"])
    login = later.outputs["kafka_users"]["gateway"]
    assert (login["username"], login["password"]) == (
        f"gateway{LATER}",
        engine.password_of(f"kafka-user-gateway{LATER}"),
    )


def _findings(recording: Recording, stack: str, generation: int, folder: Path) -> list[str]:
    """Rules of the whole pack that are violated."""
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    config = as_the_stack_says(settings(stack, generation), folder)
    return [verdict.rule.id for verdict in Runner(config, rules=RULES, agreed=[]).all(resources)]


def test_no_policy_is_against_it(both: tuple[str, Recording, Recording], tmp_path: Path) -> None:
    stack, now, later = both
    assert _findings(later, stack, 2, tmp_path) == _findings(now, stack, 1, tmp_path)
