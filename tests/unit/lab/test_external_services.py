"""What is outside the platform as parts of the lab, and the secrets that the stack gets from them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.storage_roles import StorageRole
from lab import LabError, environment
from lab import stack as stack_module
from lab.cluster import lifecycle, network, node
from lab.paths import CHECKOUT, LabPaths
from lab.stack import Stack
from tests.unit.lab.external_services_harness import loopback_lab
from tests.unit.lab.pulumi_process import processes

KEY = "observability:alertingSecrets"
KEYS = (
    KEY,
    "observability:directorySecrets",
    "observability:identitySecrets",
    "observability:objectStorageSecrets",
    "observability:objectStorageRoles",
    "observability:backupRecipients",
    "observability:witnessSecrets",
    "observability:clusterAuditSecrets",
)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    return LabPaths("x")


def test_each_is_a_part_of_the_lab_in_its_namespace(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "create_cgroup", lambda _: "/obs-x")
    monkeypatch.setattr(lifecycle.node, "daemons", lambda *_: ())
    (paths.state / "pki").mkdir(parents=True)
    (paths.state / "pki" / "complete").touch()
    assert [name for name, _ in lifecycle.status(paths)][-5:] == [
        "receivers",
        "directory",
        "identity",
        "storage",
        "image-registry",
    ]
    for process in lifecycle.service_daemons(paths):
        assert process.command[:2] == ["nsenter", "--net=/run/netns/obs-x"]
        assert process.state == paths.state, "what a part writes must go with the lab"


def test_the_stack_gets_the_secrets_of_all_and_one_authority() -> None:
    with loopback_lab() as (paths, _):
        lifecycle.prepare_services(paths)
        node.prepare_audit_webhook(paths, started=False)
        given = lifecycle.service_secrets(paths)
        assert tuple(given) == KEYS
        assert set(given[KEYS[1]]) == {"bind_password", "authority"}
        assert set(given[KEYS[2]]) == {"client_secret", "tool_secret", "authority"}
        assert set(given[KEYS[3]]) == {"access_key_id", "secret_access_key", "authority"}
        assert set(given[KEYS[4]]) == set(StorageRole)
        assert all(set(key) == {"access_key_id", "secret_access_key"} for key in given[KEYS[4]].values())
        assert [recipient[:4] for recipient in given[KEYS[5]]["recipients"]] == ["age1"], "the public half alone"
        assert len({value["authority"] for value in given.values() if "authority" in value}) == 1
        assert set(given[KEYS[6]]) == {"access_key_id", "secret_access_key", "authority"}
        assert lifecycle.service_secrets(paths) == given
        node.prepare_audit_webhook(paths.second, started=False)
        other = lifecycle.service_secrets(paths, "local-dr")
        assert [key for key in KEYS if other[key] != given[key]] == [KEYS[3], KEYS[4], KEYS[7]], (
            "a bucket and an API server of its own, the rest is shared"
        )
        opened = (given[KEYS[3]], other[KEYS[3]], given[KEYS[6]], *given[KEYS[4]].values(), *other[KEYS[4]].values())
        ids = {keys["access_key_id"] for keys in opened}
        assert len(ids) == 3 + 2 * len(StorageRole), "no key may open two buckets, nor do what two roles may"


def test_the_copies_of_stack_files_keep_the_secrets_of_the_lab_alone(paths: LabPaths) -> None:
    view = environment.project(paths)
    encrypted = {key: {"secure": f"v1:abc:{number}=="} for number, key in enumerate(KEYS)}
    for name in ("local", "local-dr", "prod"):
        file = view / f"Pulumi.{name}.yaml"
        content = yaml.safe_load(file.read_text())
        content["config"] |= encrypted
        content["config"]["observability:other"] = "x"
        file.write_text(yaml.safe_dump(content) + "encryptionsalt: v1:salt\n")
    environment.project(paths)
    local, prod = (view / f"Pulumi.{name}.yaml" for name in ("local", "prod"))
    first = local.read_text()
    environment.project(paths)
    assert local.read_text() == first
    for name in ("local", "local-dr"):
        committed = yaml.safe_load((CHECKOUT / f"Pulumi.{name}.yaml").read_text())
        committed["config"] |= encrypted
        copied = yaml.safe_load((view / f"Pulumi.{name}.yaml").read_text())
        assert copied == {**committed, "encryptionsalt": "v1:salt"}
    assert not [key for key in KEYS if f"{key}:" in prod.read_text()]
    assert prod.read_text().endswith("encryptionsalt: v1:salt\n")


def test_a_value_that_is_not_encrypted_is_not_kept(paths: LabPaths) -> None:
    file = environment.project(paths) / "Pulumi.local.yaml"
    file.write_text(f"config:\n  {KEY}: in-clear\n")
    environment.project(paths)
    assert "in-clear" not in file.read_text()


class Pulumi:
    """A fake of the program: keeps values, remembers what it was called with."""

    def __init__(self, values: dict[str, str] | None = None, code: int = 0) -> None:
        self.values, self.code = dict(values or {}), code
        self.reads, self.writes = 0, list[tuple[list[str], str]]()

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        arguments = command[command.index("pulumi") + 1 :]
        if "set" not in arguments:
            self.reads += 1
            shown = {key: {"value": value, "secret": True} for key, value in self.values.items()}
            shown["observability:settings"] = {"value": '{"a": 1}', "objectValue": {"a": 1}, "secret": False}
            return subprocess.CompletedProcess(command, 0, json.dumps(shown), "")
        self.writes.append((arguments, options["input"]))
        if self.code == 0:
            self.values[arguments[arguments.index("--secret") + 1]] = options["input"]
        return subprocess.CompletedProcess(command, self.code, "", "error: it failed")


@pytest.fixture
def stack(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(environment, "variables", lambda _: {})
    return Stack(paths)


@pytest.mark.parametrize("before", [None, "not JSON", '{"mail_password": "older"}'])
def test_a_secret_is_given_by_standard_input(stack: Stack, monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    pulumi = Pulumi({KEY: before} if before else {})
    monkeypatch.setattr(stack_module.subprocess, "Popen", processes(pulumi))
    stack.give_secrets({KEY: {"mail_password": "sesame"}})
    [(put, given)] = pulumi.writes
    assert put[-5:] == ["set", "--secret", KEY, "--stack", "local"]
    assert json.loads(given) == {"mail_password": "sesame"}
    assert "sesame" not in " ".join(put)


def test_only_what_differs_is_given_and_all_is_read_at_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi = Pulumi({KEYS[0]: '{"b": 1, "a": {"c": 2}}\n', KEYS[1]: '{"bind_password": "older"}'})
    monkeypatch.setattr(stack_module.subprocess, "Popen", processes(pulumi))
    wanted = {KEYS[0]: {"a": {"c": 2}, "b": 1}, KEYS[1]: {"bind_password": "x"}, KEYS[2]: {"access_key_id": "y"}}
    stack.give_secrets(wanted)
    assert [put[put.index("--secret") + 1] for put, _ in pulumi.writes] == list(KEYS[1:3])
    stack.give_secrets(wanted)
    assert (pulumi.reads, len(pulumi.writes)) == (2, 2)


def test_a_secret_that_cannot_be_given_is_told_without_showing_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module.subprocess, "Popen", processes(Pulumi(code=255)))
    with pytest.raises(LabError) as raised:
        stack.give_secrets({KEY: {"mail_password": "sesame"}})
    assert str(raised.value) == f"pulumi config set {KEY} of local failed: error: it failed"
