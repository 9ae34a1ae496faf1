"""The role of a stack by the real Pulumi, and another command line for ``pulumi up``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from lab.toolchain import tools
from ops.errors import OpsError
from ops.regions import pulumi

PROJECT = "obs-platform"
FULL = f"organization/{PROJECT}/local-dr"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two stacks in a backend of its own; the first is selected."""
    (tmp_path / "backend").mkdir()
    monkeypatch.setenv("PATH", f"{tools.path('pulumi').parent}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'backend'}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "not-a-secret")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.setenv("PULUMI_STACK", "local")
    monkeypatch.delenv(pulumi.COMMAND, raising=False)
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": "python"}))
    for stack in ("local", "local-dr"):
        pulumi._run(["pulumi", "stack", "init", stack], "pulumi stack init", 60, "", tmp_path)
    return tmp_path


def role(project: Path, stack: str) -> object:
    content = yaml.safe_load((project / f"Pulumi.{stack}.yaml").read_text()) or {}
    return content.get("config", {}).get(pulumi.ROLE_KEY)


def test_the_role_of_the_selected_stack_and_of_one_by_its_full_name(project: Path) -> None:
    pulumi.set_role("standby", cwd=project)
    pulumi.set_role("primary", FULL, cwd=project)
    assert (role(project, "local"), role(project, "local-dr")) == ("standby", "primary")


def test_a_stack_that_is_not_there_is_one_line_with_pulumis_own_reason(project: Path) -> None:
    with pytest.raises(OpsError, match="`pulumi config set` failed: no stack named 'other' found") as caught:
        pulumi.set_role("primary", "other", cwd=project)
    assert "\n" not in str(caught.value)


def test_another_command_line_brings_up_the_stack_that_is_meant(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = project / "own up"
    script.write_text('#!/bin/sh\necho "$PULUMI_STACK $*" >> "$0.log"\n')
    script.chmod(0o755)
    monkeypatch.setenv(pulumi.COMMAND, f"'{script}' up --yes")
    pulumi.up(cwd=project)
    pulumi.up(FULL, cwd=project)
    assert (project / "own up.log").read_text() == f"local up --yes\n{FULL} up --yes\n"


def test_a_command_that_fails_says_why_and_keeps_what_it_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pulumi.COMMAND, "sh -c 'echo first; echo error: no cluster; echo last; exit 3'")
    with pytest.raises(OpsError, match=r"failed: no cluster: all that it said is in /") as caught:
        pulumi.up(cwd=project)
    log = Path(str(caught.value).rpartition(" ")[2])
    assert log.read_text() == "first\nerror: no cluster\nlast\n"
    assert log.stat().st_mode & 0o077 == 0
    log.unlink()


def test_a_command_that_does_not_end_is_ended(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pulumi.COMMAND, "sleep 60")
    monkeypatch.setattr(pulumi, "UP_LIMIT_S", 0.5)
    with pytest.raises(OpsError, match="`sleep 60` did not end in 0 s") as caught:
        pulumi.up(cwd=project)
    Path(str(caught.value).rpartition(" ")[2]).unlink()
