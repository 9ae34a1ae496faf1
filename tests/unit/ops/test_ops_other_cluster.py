"""A command refuses another cluster than its stack file names before Pulumi opens anything."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.toolchain import tools
from ops.core import platform
from ops.core.errors import OpsError
from tests.support.clusters import kubeconfig

UIDS = {"region-a": "uid-of-a", "region-b": "uid-of-b"}
STACKS = {"prod": "region-a", "dr": "region-b"}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: dict[str, Any]) -> Path:
    """A project with both stack files, and a program ``pulumi`` that writes down what it is asked for."""
    for stack, context in STACKS.items():
        settings = {"cluster": {"context": context, "uid": UIDS[context]}}
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": {"observability:settings": settings}}))
    (tmp_path / "outputs.json").write_text(json.dumps(outputs))
    program = tmp_path / "pulumi"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n'
        f'case "$*" in "stack --show-name"*) echo dr;; *) cat {tmp_path}/outputs.json;; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), str(tools.path("kubectl").parent), "/usr/bin", "/bin"]))
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    return tmp_path / "calls"


def opened(calls: Path) -> list[str]:
    """Calls of Pulumi that asked for an output."""
    return [line for line in (calls.read_text().splitlines() if calls.exists() else []) if "output" in line]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("stack", "variable", "context"),
    [
        ("prod", None, "region-a"),
        ("organization/observability/prod", None, "region-a"),
        ("", "prod", "region-a"),
        ("", None, "region-b"),
    ],
)
def test_swapped_contexts_are_refused_and_nothing_is_opened(
    calls: Path, monkeypatch: pytest.MonkeyPatch, stack: str, variable: str | None, context: str, swapped: bool
) -> None:
    if variable:
        monkeypatch.setenv("PULUMI_STACK", variable)
    there = dict(zip(UIDS, reversed(UIDS.values()), strict=True)) if swapped else UIDS
    with kubeconfig(calls.parent / "kubeconfig", there) as file:
        monkeypatch.setenv("KUBECONFIG", str(file))
        if not swapped:
            assert platform.load(calls.parent, stack).query_reader.pair == ("someone", "a-long-password")
            assert len(opened(calls)) == 1
            return
        with pytest.raises(OpsError) as caught:
            platform.load(calls.parent, stack)
    name = next(name for name in STACKS if STACKS[name] == context)
    assert str(caught.value) == (
        f"the context {context} leads to the cluster {there[context]}, but Pulumi.{name}.yaml names {UIDS[context]}: "
        "nothing was done; select the other stack, or set KUBECONFIG"
    )
    assert opened(calls) == []


@pytest.mark.parametrize("content", ["", "config: 3", "config: {'observability:settings': {cluster: 3}}", "{", None])
def test_a_file_that_names_no_cluster_is_left_to_other_checks(
    calls: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = calls.parent / "Pulumi.dr.yaml"
    file.unlink() if content is None else file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(calls.parent / "none"))
    assert platform.load(calls.parent).namespace == "obs-local"


def test_servers_alone_are_reached_without_a_kubeconfig(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(calls.parent / "none"))
    assert platform.load(calls.parent, "prod").namespace == "obs-local"
