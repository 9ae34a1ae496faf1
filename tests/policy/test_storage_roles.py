"""Keys of the object storage: each role's own where the stack says so, and what is mixed up is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.storage_roles import RIGHTS, WITNESS, StorageRole, role_of
from lab.paths import CHECKOUT
from policy.model import Resource
from policy.rules.backups import RULES, storage_users
from policy.stack_config import KEY_OF_ROLE, stack_options
from tests.policy.fixtures_servers import said
from tests.policy.mutation_run import platform
from tests.support import engine
from tests.support.mutation_storage import exchanged

[RULE] = [rule for rule in RULES if rule.id == KEY_OF_ROLE]
SETTINGS = "observability:settings"
STACKS = ("local", "prod", "dr")


@pytest.mark.parametrize("stack", STACKS)
def test_each_workload_of_ours_has_the_key_of_its_role(stack: str) -> None:
    users = [user for user in storage_users(platform(stack)) if user.workload not in WITNESS.workloads]
    assert {role_of(user.workload) for user in users} == set(StorageRole) - {StorageRole.OPERATOR}
    for user in users:
        assert user.key == engine.password_of(f"{role_of(user.workload)}/access_key_id")
    assert said(RULE, platform(stack)) == []


@pytest.mark.parametrize("stack", STACKS)
def test_what_a_program_uses_lies_below_the_prefixes_of_its_role(stack: str) -> None:
    for user in storage_users(platform(stack)):
        role = role_of(user.workload)
        rights = RIGHTS[role] if role else WITNESS
        assert any(prefix.startswith(user.prefix) for prefix in rights.below), (user.workload, user.prefix)


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_a_key_of_another_role_is_noticed_in_every_secret(stack: str) -> None:
    resources = platform(stack)
    mixed_up = list(exchanged(resources))
    assert len(mixed_up) >= len(StorageRole) - 1
    for index, name, changed in mixed_up:
        findings = said(RULE, [*resources[:index], changed, *resources[index + 1 :]])
        assert findings, f"{changed.label}: {name}"
        assert said(RULE, [*resources[:index], changed, *resources[index + 1 :]], roles=[]) == []


def test_the_message_names_both_workloads() -> None:
    resources = platform("local")
    index, _, changed = next(mixed for mixed in exchanged(resources) if mixed[2].object_name == "kafka-archive-auth")
    [first, *_] = [
        line for line in said(RULE, [*resources[:index], changed, *resources[index + 1 :]]) if "archive" in line
    ]
    assert "its key of the object storage, as " in first
    assert "kafka-archive" in first


def test_who_has_no_role_may_not_have_a_key() -> None:
    resources = platform("local")
    known = next(
        resource for resource in resources if resource.object_name == "thanos-store" and resource.kind != "Service"
    )
    deployment = next(
        resource
        for resource in resources
        if (resource.kind, resource.object_name) in (("StatefulSet", "thanos-store"), ("Deployment", "thanos-store"))
    )
    props = {**deployment.props, "metadata": {**deployment.props["metadata"], "name": "somebody"}}
    stranger = Resource(deployment.type, "somebody", props)
    assert known
    [line] = said(RULE, [*resources, stranger])
    assert "somebody" in line
    assert "it has a key of the object storage, and no role there" in line


def test_only_a_stack_that_is_not_production_leaves_keys_out(tmp_path: Path) -> None:
    for stack in (*STACKS, "local-dr"):
        assert stack_options(KEY_OF_ROLE, f"urn:pulumi:{stack}::", CHECKOUT) == {}
    assert stack_options(KEY_OF_ROLE, "urn:pulumi:kind::", CHECKOUT) == {"roles": []}
    for profile, options in (("production", {}), ("kind", {"roles": ["archive"]})):
        settings = {"profile": profile, "object_storage": {"roles": ["archive"]}}
        (tmp_path / f"Pulumi.{profile}.yaml").write_text(yaml.safe_dump({"config": {SETTINGS: settings}}))
        assert stack_options(KEY_OF_ROLE, f"urn:pulumi:{profile}::", tmp_path) == options
