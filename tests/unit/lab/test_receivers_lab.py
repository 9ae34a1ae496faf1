"""The doubles as a part of the lab: files, process, address, and the stack's secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import environment
from lab import stack as stack_module
from lab.cluster import lifecycle, network
from lab.cluster.processes import Daemon
from lab.errors import LabError
from lab.paths import CHECKOUT, LabPaths
from lab.receivers import keys, setup
from lab.receivers.contacts import topics_of
from lab.receivers.report import show_notices
from lab.receivers.settings import load
from lab.stack import Stack

KEY = "observability:alertingSecrets"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    return LabPaths("x")


def test_the_files_are_made_once_and_hold_together(paths: LabPaths) -> None:
    setup.prepare(paths)
    place = paths.state / "receivers"
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    setup.prepare(paths)
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before
    settings = load(place / "config.json")
    assert (settings.host, settings.https_port, settings.smtp_port) == ("198.18.0.2", 8443, 8587)
    assert settings.topics == topics_of(CHECKOUT / "Pulumi.local.yaml")
    assert settings.cert_file.exists()
    assert keys.load(settings.secrets_file)
    assert place.stat().st_mode & 0o777 == 0o700
    text = (place / "config.json").read_text()
    assert not [secret for secret in keys.load(settings.secrets_file).all() if secret in text]


def test_the_process_is_ended_when_its_code_has_changed_and_only_then(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Daemon("receivers", [sys.executable, "-c", "import time; time.sleep(60)"], paths.state)
    monkeypatch.setattr(setup, "daemon", lambda _: process)
    setup.prepare(paths)
    process.start()
    try:
        setup.prepare(paths)
        assert process.pid() is not None
        (paths.state / "receivers" / "code").write_text("older")
        setup.prepare(paths)
        assert process.pid() is None
    finally:
        process.stop()


def test_the_process_is_a_part_of_the_lab(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "create_cgroup", lambda _: "/obs-x")
    monkeypatch.setattr(lifecycle.node, "daemons", lambda *_: ())
    (paths.state / "pki").mkdir(parents=True)
    (paths.state / "pki" / "complete").touch()
    assert ("receivers", None) in lifecycle.status(paths)
    command = setup.daemon(paths).command
    assert command[:2] == ["nsenter", "--net=/run/netns/obs-x"]
    assert command[-3:] == ["lab.receivers", "--config", str(paths.state / "receivers" / "config.json")]


def test_a_process_that_ends_at_once_is_told_with_the_end_of_its_log(
    paths: LabPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.prepare(paths)
    process = Daemon("receivers", [sys.executable, "-c", "print('no such address')"], paths.state)
    monkeypatch.setattr(setup, "daemon", lambda _: process)
    process.start()
    with pytest.raises(LabError, match=r"receivers ended; log .*receivers\.log:\nno such address"):
        setup.wait_ready(paths)


def test_without_a_lab_it_says_what_to_do(paths: LabPaths) -> None:
    for ask in (setup.alerting_secrets, setup.wait_ready):
        with pytest.raises(LabError, match="run `make up`"):
            ask(paths)
    with pytest.raises(LabError, match="run `make up`"):
        show_notices(paths, last=1, alert=None, heartbeats=False)


def test_the_stack_gets_everything_that_it_needs_to_reach_them(paths: LabPaths) -> None:
    setup.prepare(paths)
    given = setup.alerting_secrets(paths)
    assert set(given) == {
        "phone_keys",
        "slack_url",
        "mail_password",
        "sms_access_key_id",
        "sms_secret_access_key",
        "heartbeat_url",
        "authority",
    }
    assert given["slack_url"].startswith("https://198.18.0.2:8443/services/T")
    assert given["heartbeat_url"].startswith("https://198.18.0.2:8443/heartbeat/")
    assert given["authority"] == (paths.state / "receivers" / "pki" / "ca.crt").read_text()
    assert setup.alerting_secrets(paths) == given


def test_an_older_namespace_gets_the_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(network, "_ip", lambda *arguments: done.append(" ".join(arguments)))
    monkeypatch.setattr(network, "namespace_exists", lambda _: True)
    network.create_namespace("obs-x")
    assert done == [
        "-n obs-x addr replace 198.18.0.1/24 dev node0",
        "-n obs-x addr replace 198.18.0.2/24 dev node0",
    ]


def test_the_copy_of_the_stack_file_keeps_the_secret_of_the_lab_alone(paths: LabPaths) -> None:
    view = environment.project(paths)
    for name in ("local", "prod"):
        file = view / f"Pulumi.{name}.yaml"
        content = yaml.safe_load(file.read_text())
        content["config"][KEY] = {"secure": "v1:abc:d=="}
        content["config"]["observability:other"] = "x"
        file.write_text(yaml.safe_dump(content) + "encryptionsalt: v1:salt\n")
    environment.project(paths)
    local, prod = (view / f"Pulumi.{name}.yaml" for name in ("local", "prod"))
    first = local.read_text()
    environment.project(paths)
    assert local.read_text() == first
    committed = yaml.safe_load((CHECKOUT / "Pulumi.local.yaml").read_text())
    committed["config"][KEY] = {"secure": "v1:abc:d=="}
    assert yaml.safe_load(first) == {**committed, "encryptionsalt": "v1:salt"}
    assert "alertingSecrets" not in prod.read_text()
    assert prod.read_text().endswith("encryptionsalt: v1:salt\n")


def test_a_value_that_is_not_encrypted_is_not_kept(paths: LabPaths) -> None:
    file = environment.project(paths) / "Pulumi.local.yaml"
    file.write_text(f"config:\n  {KEY}: in-clear\n")
    environment.project(paths)
    assert "in-clear" not in file.read_text()


class Pulumi:
    """A double of the program: keeps one value, remembers what it was called with."""

    def __init__(self, value: str | None = None, code: int = 0) -> None:
        self.value, self.code, self.calls = value, code, list[tuple[list[str], str]]()

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        arguments = command[command.index("pulumi") + 1 :]
        self.calls.append((arguments, options["input"]))
        if "get" in arguments:
            return subprocess.CompletedProcess(command, 0 if self.value else 1, self.value or "", "not found")
        if self.code == 0:
            self.value = options["input"]
        return subprocess.CompletedProcess(command, self.code, "", "error: it failed")


@pytest.fixture
def stack(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(environment, "variables", lambda _: {})
    return Stack(paths)


@pytest.mark.parametrize("before", [None, "not JSON", '{"mail_password": "older"}'])
def test_the_secret_is_given_by_standard_input(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    pulumi = Pulumi(before)
    monkeypatch.setattr(stack_module.subprocess, "run", pulumi)
    stack.give_secrets({"mail_password": "sesame"})
    (get, _), (put, given) = pulumi.calls
    assert "get" in get
    assert put[-5:] == ["set", "--secret", KEY, "--stack", "local"]
    assert json.loads(given) == {"mail_password": "sesame"}
    assert "sesame" not in " ".join(put)


def test_the_same_secret_is_not_given_twice(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi = Pulumi('{"b": 1, "a": {"c": 2}}\n')
    monkeypatch.setattr(stack_module.subprocess, "run", pulumi)
    stack.give_secrets({"a": {"c": 2}, "b": 1})
    assert len(pulumi.calls) == 1


def test_a_secret_that_cannot_be_given_is_told_without_showing_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module.subprocess, "run", Pulumi(code=255))
    with pytest.raises(LabError) as raised:
        stack.give_secrets({"mail_password": "sesame"})
    assert str(raised.value) == f"pulumi config set {KEY} of local failed: error: it failed"
