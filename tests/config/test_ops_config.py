"""A stack's configuration as the real Pulumi decrypts it, checked by the code of the program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pulumi.runtime import set_all_config

from components.storage_roles import StorageRole
from lab.toolchain import tools
from ops.config import of_stack, problems
from ops.core.errors import OpsError
from tests.support import engine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a selected stack in a backend of its own, whose file has the local settings."""
    (tmp_path / "backend").mkdir()
    monkeypatch.setenv("PATH", f"{tools.path('pulumi').parent}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'backend'}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "not-a-secret")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "observability", "runtime": "python"}))
    _pulumi(tmp_path, "stack", "init", "mine")
    file = tmp_path / "Pulumi.mine.yaml"
    content = yaml.safe_load(file.read_text()) or {}
    first = (engine.CHECKOUT / "Pulumi.local.yaml").read_text().splitlines()[0]
    config = {"observability:settings": engine.stack_settings("local"), "observability:role": "primary"}
    file.write_text(f"{first}\n{yaml.safe_dump({**content, 'config': config})}")
    yield tmp_path
    set_all_config({})


def _pulumi(folder: Path, *arguments: str, text: str | None = None) -> None:
    subprocess.run(
        ["pulumi", *arguments, "--non-interactive"], cwd=folder, input=text, text=True, check=True, capture_output=True
    )


def _set(folder: Path, key: str, value: object, *options: str) -> None:
    _pulumi(folder, "config", "set", *options, f"observability:{key}", text=json.dumps(value))


def test_secrets_are_decrypted_and_checked_and_the_line_for_editors_stays(project: Path) -> None:
    missing = problems(of_stack(cwd=project))
    assert [line.split()[1].removeprefix("observability:") for line in missing] == [
        "alertingSecrets",
        *("directorySecrets", "identitySecrets", "objectStorageSecrets", "objectStorageRoles", "witnessSecrets"),
        *("clusterAuditSecrets", "backupRecipients"),
    ]
    for key, names in engine.OUTSIDE_SECRETS.items():
        _set(project, key, {**dict.fromkeys(names, "open sesame"), "authority": ""}, "--secret")
    _set(project, "alertingSecrets", engine.alerting_secrets(), "--secret")
    roles = {role: {"access_key_id": role, "secret_access_key": "open sesame"} for role in map(str, StorageRole)}
    _set(project, "objectStorageRoles", roles, "--secret")
    _set(project, "clusterAuditSecrets", dict.fromkeys(engine.CLUSTER_AUDIT_NAMES, "open sesame"), "--secret")
    _set(project, "backupRecipients", {"recipients": [engine.RECIPIENT]})
    assert problems(of_stack("mine", cwd=project)) == []
    _set(project, "witnessSecrets", {"access_key_id": "open sesame"}, "--secret")
    assert problems(of_stack(cwd=project)) == [
        "Pulumi.mine.yaml: observability:witnessSecrets: authority, secret_access_key: allowed are exactly the keys "
        "access_key_id, secret_access_key, authority"
    ]
    text = (project / "Pulumi.mine.yaml").read_text()
    assert text.startswith("# yaml-language-server: ")
    assert "open sesame" not in text


def test_a_stack_that_is_not_there_is_one_line(project: Path) -> None:
    with pytest.raises(OpsError, match="`pulumi config --json` failed: no stack named 'other' found") as caught:
        of_stack("other", cwd=project)
    assert "\n" not in str(caught.value)


def test_a_passphrase_that_is_wrong_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _set(project, "databaseSecrets", {"password": "open sesame", "authority": ""}, "--secret")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    with pytest.raises(OpsError, match="incorrect passphrase"):
        of_stack("mine", cwd=project)
