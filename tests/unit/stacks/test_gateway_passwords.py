"""Two generations of the gateway's passwords: who takes both, who gives which, and nothing else that changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import pytest

from components.telemetry.layers import LAYER_NAMES
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from stacks.endpoints import parity_fingerprints
from stacks.settings import parse
from tests.support import engine
from tests.support.engine import Recording, password_of
from tests.unit.stacks.test_integrations import as_the_stack_says

AGENT = "agent"


def settings(stack: str, *generations: int) -> dict[str, Any]:
    given = engine.stack_settings(stack)
    given["gateway"]["password_generations"] = list(generations)
    return given


def recorded(stack: str, *generations: int) -> Recording:
    return engine.record(stack, settings(stack, *generations), engine.stack_role(stack))


@pytest.fixture(scope="module", params=["local", "prod", "dr"])
def stages(request: pytest.FixtureRequest) -> tuple[str, Recording, Recording, Recording]:
    """A stack before, while both passwords are taken, and afterwards."""
    stack = request.param
    return stack, engine.recorded(stack), recorded(stack, 2, 1), recorded(stack, 2)


def password(stack: str, user: str, generation: int) -> str:
    """The password of a user; in the region that stands by the layers' come from the other one."""
    if stack == "dr" and user != AGENT:
        return password_of(f"{'other' if generation == 2 else 'former'} {user}")
    return password_of(f"gateway-{user}" if generation == 1 else f"gateway-{user}-g{generation}")


def lines(recording: Recording, secret: str) -> dict[str, list[str]]:
    """User -> hashes of its passwords in a file of clients, in its order."""
    hashes: dict[str, list[str]] = {}
    for line in recording.one("Secret", secret)["stringData"]["clients.htpasswd"].splitlines():
        user, _, hashed = line.partition(":")
        hashes.setdefault(user, []).append(hashed)
    return hashes


@pytest.mark.parametrize(
    ("secret", "users"), [("gateway-auth", (*LAYER_NAMES, AGENT)), ("otel-agent-auth", LAYER_NAMES)]
)
def test_both_passwords_are_taken_with_the_one_that_is_to_be_used_first(
    stages: tuple[str, Recording, Recording, Recording], secret: str, users: tuple[str, ...]
) -> None:
    stack, _, both, after = stages
    taken = lines(both, secret)
    assert sorted(taken) == sorted(users)
    for user, hashes in taken.items():
        assert [
            bcrypt.checkpw(password(stack, user, generation).encode(), hashed.encode())
            for generation, hashed in zip((1, 2) if user == AGENT else (2, 1), hashes, strict=True)
        ] == [True, True]
    if stack != "dr":
        newer = {user: hashes[1:] if user == AGENT else hashes[:1] for user, hashes in taken.items()}
        assert lines(after, secret) == newer


def test_the_newer_one_is_given_to_clients_at_once_and_to_agents_in_the_end(
    stages: tuple[str, Recording, Recording, Recording],
) -> None:
    stack, before, both, after = stages
    if stack == "dr":
        return
    for recording, newest, oldest in ((before, 1, 1), (both, 2, 1), (after, 2, 2)):
        given = recording.outputs["otlp_credentials"]
        assert {layer: login["password"] for layer, login in given.items()} == {
            layer: password(stack, layer, newest) for layer in LAYER_NAMES
        }
        agents = recording.one("Secret", "otel-agent-auth")["stringData"]["gateway-password"]
        assert agents == password(stack, AGENT, oldest)
    former = both.outputs["otlp_former_credentials"]
    assert {layer: login["password"] for layer, login in former.items()} == {
        layer: password(stack, layer, 1) for layer in LAYER_NAMES
    }
    assert before.outputs["otlp_former_credentials"] == after.outputs["otlp_former_credentials"] == {}
    generations = [recording.outputs["otlp_password_generations"] for recording in (before, both, after)]
    assert generations == [[1], [2, 1], [2]]


def test_no_other_password_changes_and_of_configurations_the_regions_agreement_only(
    stages: tuple[str, Recording, Recording, Recording],
) -> None:
    stack, before, both, _ = stages
    names = set(both.passwords) - set(before.passwords)
    assert names == {f"gateway-{user}-g2" for user in ((AGENT,) if stack == "dr" else (*LAYER_NAMES, AGENT))}
    assert set(before.passwords) <= set(both.passwords)
    now, later = (
        {manifest["metadata"]["name"]: manifest["data"] for manifest in run.kinds("ConfigMap")}
        for run in (before, both)
    )
    assert now.keys() == later.keys()
    assert {name for name in now if now[name] != later[name]} == {"failover-agent"}
    lines = zip(*(files["failover-agent"]["config.yaml"].splitlines() for files in (now, later)), strict=True)
    assert [old.split(":")[0].strip() for old, new in lines if old != new] == ["passwords"]


def _findings(recording: Recording, given: dict[str, Any], folder: Path) -> list[str]:
    """Rules of the whole pack that are violated."""
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    config = as_the_stack_says(given, folder)
    return [verdict.rule.id for verdict in Runner(config, rules=RULES, agreed=[]).all(resources)]


def test_no_policy_is_against_it(stages: tuple[str, Recording, Recording, Recording], tmp_path: Path) -> None:
    stack, before, both, after = stages
    known = _findings(before, settings(stack, 1), tmp_path)
    assert _findings(both, settings(stack, 2, 1), tmp_path) == known
    assert _findings(after, settings(stack, 2), tmp_path) == known


def test_a_region_whose_passwords_are_not_the_other_one_s_is_told_so() -> None:
    here, there = (parity_fingerprints(parse(settings("prod", *generations), "prod")) for generations in ((1,), (2, 1)))
    assert [kind for kind in here if here[kind] != there[kind]] == ["passwords"]
