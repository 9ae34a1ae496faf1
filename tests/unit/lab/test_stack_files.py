"""Two stacks of the lab with the real Pulumi: secrets, roles and salts in the copies of their files, not in others."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import LabError, environment
from lab.cluster import network
from lab.paths import CHECKOUT, LabPaths
from lab.stack import Stack
from ops.core.pulumi import set_generations, set_partitions, set_storage

STACKS = ("local", "local-dr")
SECRET = environment.WITNESS_SECRETS


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabPaths]:
    """A lab's folders with both stacks, each with a secret of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OBS_STATE", str(tmp_path_factory.mktemp("state")))
        patch.delenv("PULUMI_STACK", raising=False)
        patch.setattr(network, "enter", lambda _: [])
        lab_paths = LabPaths("x")
        (lab_paths.state / "pki").mkdir(parents=True)
        for name in STACKS:
            stack = Stack(lab_paths, name)
            stack.ensure()
            stack.give_secrets({SECRET: {"secret_access_key": f"of {name}"}})
        yield lab_paths


def content(paths: LabPaths, stack: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((paths.state / "project" / f"Pulumi.{stack}.yaml").read_text())
    return document


def committed(stack: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())
    return document


def pulumi(paths: LabPaths, *arguments: str, stack: str) -> str:
    """What ``ops`` does inside ``lab exec``."""
    done = subprocess.run(
        ["pulumi", *arguments, "--non-interactive", "--color=never", "--stack", stack],
        env=environment.variables(paths),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def role(paths: LabPaths, stack: str) -> str:
    """As a command would find it, after the copies were made anew."""
    environment.project(paths)
    return pulumi(paths, "config", "get", environment.ROLE, stack=stack)


def test_each_stack_keeps_its_own_secrets_and_salt(paths: LabPaths) -> None:
    files = [content(paths, name) for name in STACKS]
    assert len({file["encryptionsalt"] for file in files}) == 2
    for name, file in zip(STACKS, files, strict=True):
        assert set(file["config"]) == {*committed(name)["config"], SECRET}
        assert file["config"]["observability:settings"] == committed(name)["config"]["observability:settings"]
        assert f"of {name}" in pulumi(paths, "config", "get", SECRET, stack=name)
        assert f"of {name}" not in (paths.state / "project" / f"Pulumi.{name}.yaml").read_text()
        assert set(committed(name)) == {"config"}, "the checkout must stay as it is"


def test_a_role_that_a_failover_has_changed_stays_until_the_stack_is_destroyed(paths: LabPaths) -> None:
    assert [role(paths, name) for name in STACKS] == ["primary", "standby"]
    full = "organization/observability/local-dr"
    pulumi(paths, "config", "set", environment.ROLE, "primary", stack=full)
    assert [role(paths, name) for name in STACKS] == ["primary", "primary"]
    pulumi(paths, "config", "set", environment.ROLE, "standby", stack="local")
    before = {name: content(paths, name) for name in STACKS}
    assert [role(paths, name) for name in STACKS] == ["standby", "primary"]
    assert {name: content(paths, name) for name in STACKS} == before, "secrets and salts with it"
    for name in STACKS:
        environment.forget_changes(paths, name)
    assert [role(paths, name) for name in STACKS] == ["primary", "standby"]
    assert f"of {STACKS[0]}" in pulumi(paths, "config", "get", SECRET, stack=STACKS[0])


def changed_topics(paths: LabPaths, stack: str) -> object:
    """As the program would find them, after the copies were made anew."""
    environment.project(paths)
    return content(paths, stack)["config"]["observability:settings"]["topics"]


def test_partitions_that_were_added_stay_until_the_stack_is_destroyed(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.variables(paths).items():
        monkeypatch.setenv(name, value)
    set_partitions("telemetry-metrics", 18)
    set_partitions("telemetry-traces", 4)
    assert changed_topics(paths, "local") == {"telemetry-metrics": {"partitions": 18}}, "fewer are not kept"
    assert changed_topics(paths, "local-dr") == {}
    environment.forget_changes(paths, "local")
    assert changed_topics(paths, "local") == {}


def test_volumes_that_have_grown_stay_until_the_stack_is_destroyed(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.variables(paths).items():
        monkeypatch.setenv(name, value)
    committed = content(paths, "local")["config"]["observability:settings"]["storage"]
    set_storage("kafka", "3Gi")
    set_storage("search", "1Gi")
    environment.project(paths)
    kept = content(paths, "local")["config"]["observability:settings"]["storage"]
    assert kept == {**committed, "kafka": "3Gi"}, "smaller ones are not kept"
    environment.forget_changes(paths, "local")
    environment.project(paths)
    assert content(paths, "local")["config"]["observability:settings"]["storage"] == committed


def test_generations_of_a_rotation_stay_until_the_stack_is_destroyed(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.variables(paths).items():
        monkeypatch.setenv(name, value)

    def kept() -> tuple[object, object]:
        environment.project(paths)
        settings = content(paths, "local")["config"]["observability:settings"]
        return settings["kafka"]["login_generations"], settings["gateway"]["password_generations"]

    logins, passwords = ("kafka", "login_generations"), ("gateway", "password_generations")
    assert kept() == ([1], [1])
    set_generations(logins, (3, 2))
    set_generations(passwords, (2, 1))
    assert kept() == ([3, 2], [2, 1])
    set_generations(passwords, (2,))
    assert kept() == ([3, 2], [2])
    environment.forget_changes(paths, "local")
    assert kept() == ([1], [1])


def test_a_command_inside_the_lab_is_for_the_stack_that_is_chosen(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.variables(paths)["PULUMI_STACK"] == "local"
    monkeypatch.setenv("PULUMI_STACK", "local-dr")
    variables = environment.variables(paths)
    assert variables["PULUMI_STACK"] == "local-dr"
    view = paths.state / "project"
    assert variables["PULUMI_OPTION_CWD"] == str(view)
    assert variables["OBS_PULUMI_UP"] == (
        "pulumi --non-interactive --color=never up --yes --skip-preview --suppress-outputs --parallel=160 "
        f"--policy-pack {view / 'policy'}"
    )


def test_what_failover_runs_is_understood_by_pulumi(paths: LabPaths) -> None:
    variables = environment.variables(paths)
    command = [*variables["OBS_PULUMI_UP"].split(), "--help"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, cwd=os.sep)
    assert done.returncode == 0, done.stderr


def test_a_stack_that_the_checkout_lacks_is_told_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"^stack nosuch: there is no Pulumi\.nosuch\.yaml; .* are local, local-dr$"):
        environment.committed("nosuch")
    assert environment.committed("local-dr")["namespace"] == "obs-local-dr"


def test_both_stacks_have_addresses_of_their_own() -> None:
    def addresses(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {str(value["address"])} if {"host", "address"} <= set(value) else set()
            return own.union(*map(addresses, value.values()))
        return set().union(*map(addresses, value)) if isinstance(value, list) else set()

    first, second = (addresses(environment.committed(name)) for name in STACKS)
    assert len(first) == len(second) > 5
    assert first.isdisjoint(second)


def test_a_role_is_only_kept_where_the_file_has_one(paths: LabPaths) -> None:
    prod = paths.state / "project" / "Pulumi.prod.yaml"
    before = prod.read_text()
    prod.write_text(before.replace("observability:role: primary", "observability:role: standby"))
    environment.project(paths)
    assert prod.read_text() == before, "only the lab's own stacks are failed over here"


def test_copies_are_files_and_the_rest_are_links(paths: LabPaths) -> None:
    view = paths.state / "project"
    assert not (view / "Pulumi.local-dr.yaml").is_symlink()
    assert (view / "policy").resolve() == CHECKOUT / "policy"
    assert [path.name for path in Path(view).iterdir() if path.name.startswith(".Pulumi")] == []


def test_pulumi_takes_back_what_it_remembers_with_the_replicas_that_are_declared(paths: LabPaths) -> None:
    stack, namespace = Stack(paths, "local-dr"), "obs-local-dr"
    state = json.loads(pulumi(paths, "stack", "export", stack="local-dr"))
    part = {
        "urn": "urn:pulumi:local-dr::observability::kubernetes:apps/v1:Deployment::probes",
        "custom": True,
        "id": f"{namespace}/probes",
        "type": "kubernetes:apps/v1:Deployment",
        "inputs": {
            "kind": "Deployment",
            "metadata": {"name": "probes", "namespace": namespace},
            "spec": {"replicas": 2},
        },
        "outputs": {"kind": "Deployment", "spec": {"replicas": 0}, "status": {"observedGeneration": 7}},
    }
    file = paths.state / "state.json"
    file.write_text(json.dumps({**state, "deployment": {**state["deployment"], "resources": [part]}}))
    pulumi(paths, "stack", "import", "--file", str(file), stack="local-dr")
    assert stack.declare_replicas(namespace, {"deployment/probes": 2}) == ["deployment/probes"]
    resources = json.loads(pulumi(paths, "stack", "export", stack="local-dr"))["deployment"]["resources"]
    assert [resource["outputs"] for resource in resources] == [{**part["outputs"], "spec": {"replicas": 2}}]
    assert stack.declare_replicas(namespace, {"deployment/probes": 2}) == []
