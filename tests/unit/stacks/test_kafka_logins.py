"""Later generations of Kafka's logins: other users, passwords, rights and quotas; nothing else but who signs in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from stacks import kafka_quotas
from stacks.settings import parse
from tests.support import engine
from tests.support.engine import Recording
from tests.unit.stacks.test_integrations import as_the_stack_says

LATER = "-g2"
KAFKA = ("userScramCredential:UserScramCredential", "acl:Acl", "quota:Quota")
_SIGNS_IN = re.compile(r'^\s*-?\s*"?(username|user)"?\s*[:=]')
"""Line of a configuration that says who signs in."""


Stages = tuple[str, Recording, Recording, Recording]


def settings(stack: str, *generations: int) -> dict[str, Any]:
    given = engine.stack_settings(stack)
    given["kafka"]["login_generations"] = list(generations)
    return given


@pytest.fixture(scope="module", params=["local", "prod", "dr"])
def stages(request: pytest.FixtureRequest) -> Stages:
    """A stack: as it is, while clients change over, and afterwards."""
    stack = request.param
    role = engine.stack_role(stack)
    later = (engine.record(stack, settings(stack, *generations), role) for generations in ((2, 1), (2,)))
    return (stack, engine.recorded(stack, role), *later)


def _users(recording: Recording) -> set[str]:
    return {str(user.inputs["username"]) for user in recording.of(f"kafka:index/{KAFKA[0]}")}


def _resources(recording: Recording, kind: str) -> dict[str, object]:
    return {resource.name: resource.inputs for resource in recording.of(f"kafka:index/{kind}")}


def test_every_client_of_the_region_gets_a_login_of_its_own_with_the_same_rights(stages: Stages) -> None:
    stack, now, changing, later = stages
    clients = {user.name for user in kafka_quotas.own_users(parse(settings(stack, 1), "Pulumi.test.yaml"))}
    pair = _users(now) - clients
    assert pair <= {"mirror", "mirror-maker"}
    assert _users(later) == {f"{client}{LATER}" for client in clients} | pair
    for kind in KAFKA:
        before, both, after = (_resources(recording, kind) for recording in (now, changing, later))
        assert all(name.startswith("mirror") for name in {*before} & {*after}), "what changes in place has one login"
        assert {name.replace(LATER, "", 1) for name in after} == {*before}
        assert both == before | after


def test_configurations_differ_in_who_signs_in_only(stages: Stages) -> None:
    _, now, changing, later = stages
    lines = 0
    for manifest in later.kinds("ConfigMap"):
        name = manifest["metadata"]["name"]
        before = now.one("ConfigMap", name)["data"]
        assert changing.one("ConfigMap", name)["data"] == manifest["data"], "clients change over in the first update"
        for file, text in manifest["data"].items():
            changed = [line for line in text.splitlines() if LATER in line]
            assert [line for line in changed if not _SIGNS_IN.match(line)] == [], f"{name}: {file}"
            assert text.replace(LATER, "") == before[file], f"{name}: {file}"
            lines += len(changed)
    assert lines >= 8


def test_the_outputs_have_the_newest_login_of_each_client(stages: Stages) -> None:
    _, now, changing, later = stages
    assert [list(one.outputs["kafka_login_generations"]) for one in stages[1:]] == [[1], [2, 1], [2]]
    former = {login["username"] for login in now.outputs["kafka_users"].values()} - {"mirror", "mirror-maker"}
    assert [set(one.outputs["kafka_former_logins"]) for one in stages[1:]] == [set(), former, set()]
    assert changing.outputs["kafka_users"] == later.outputs["kafka_users"]
    assert set(now.outputs["kafka_users"]) == set(later.outputs["kafka_users"])
    assert later.outputs["audit_reader"] == later.outputs["kafka_users"]["audit-reader"]
    login = later.outputs["kafka_users"]["gateway"]
    assert (login["username"], login["password"]) == (
        f"gateway{LATER}",
        engine.password_of(f"kafka-user-gateway{LATER}"),
    )


def _findings(recording: Recording, stack: str, generations: tuple[int, ...], folder: Path) -> list[str]:
    """Rules of the whole pack that are violated."""
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    config = as_the_stack_says(settings(stack, *generations), folder)
    return [verdict.rule.id for verdict in Runner(config, rules=RULES, agreed=[]).all(resources)]


def test_no_policy_is_against_it(stages: Stages, tmp_path: Path) -> None:
    stack, now, changing, later = stages
    expected = _findings(now, stack, (1,), tmp_path)
    assert _findings(changing, stack, (2, 1), tmp_path) == expected
    assert _findings(later, stack, (2,), tmp_path) == expected
