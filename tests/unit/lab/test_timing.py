"""Step times of `make up`: shown, kept, and left as evidence only where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.timing import EVIDENCE_VARIABLE, Steps
from ops import evidence

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
users: [{name: a, user: {}}]
"""


@pytest.fixture
def steps() -> Steps:
    steps = Steps("make up")
    steps.record("images", 12.34)
    steps.record("pulumi up", 100.0)
    return steps


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(evidence, "write", lambda name, **what: seen.update(name=name, **what))
    monkeypatch.setenv("PULUMI_STACK", "")
    return seen


def test_steps_are_kept_as_a_file(steps: Steps, tmp_path: Path) -> None:
    steps.save(tmp_path / "state" / "times.json")
    content = json.loads((tmp_path / "state" / "times.json").read_text())
    assert content == {"title": "make up", "seconds": {"images": 12.34, "pulumi up": 100.0}}


@pytest.mark.parametrize("value", [None, "", "0"])
def test_an_ordinary_run_leaves_no_evidence(
    steps: Steps, written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(EVIDENCE_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(EVIDENCE_VARIABLE, value)
    steps.leave_evidence("local", "obs-local", tmp_path / "no such kubeconfig")
    assert written == {}


def test_steps_are_left_as_evidence_of_the_platform(
    steps: Steps, written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVIDENCE_VARIABLE, "1")
    monkeypatch.setattr("lab.timing.Kube.connect", lambda namespace, file: (namespace, file))
    steps.leave_evidence("local", "obs-local", tmp_path / "kubeconfig")
    assert written["name"] == "up-steps"
    assert written["figures"] == {"total s": 112.3, "steps s": {"images": 12.3, "pulumi up": 100.0}}
    assert written["kube"] == ("obs-local", tmp_path / "kubeconfig")


@pytest.mark.parametrize("content", [None, KUBECONFIG])
def test_a_cluster_that_does_not_answer_is_one_line(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv(EVIDENCE_VARIABLE, "1")
    if content:
        (tmp_path / "kubeconfig").write_text(content)
    with pytest.raises(LabError, match="no evidence of the step times: "):
        steps.leave_evidence("local", "obs-local", tmp_path / "kubeconfig")
