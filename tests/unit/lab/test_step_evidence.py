"""Step times of `make up` are left as evidence only where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import LabError
from lab.timing import EVIDENCE_VARIABLE, leave
from ops.evidence import files as evidence

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
users: [{name: a, user: {}}]
"""


TAKEN = {"images": 12.34, "pulumi up": 100.0}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(evidence, "write", lambda name, **what: seen.update(name=name, **what))
    monkeypatch.setenv("PULUMI_STACK", "")
    return seen


@pytest.mark.parametrize("value", [None, "", "0"])
def test_an_ordinary_run_leaves_no_evidence(
    written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(EVIDENCE_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(EVIDENCE_VARIABLE, value)
    leave(TAKEN, "local", "small", "obs-local", tmp_path / "no such kubeconfig")
    assert written == {}


def test_steps_are_left_as_evidence_of_the_platform(
    written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(EVIDENCE_VARIABLE, "1")
    monkeypatch.setattr("lab.timing.Kube.connect", lambda namespace, file: (namespace, file))
    leave(TAKEN, "local", "small", "obs-local", tmp_path / "kubeconfig")
    assert written["name"] == "up-steps"
    assert written["figures"] == {"total s": 112.3, "steps s": {"images": 12.3, "pulumi up": 100.0}}
    assert written["settings"] == {"stack": "local", "profile": "small"}
    assert written["kube"] == ("obs-local", tmp_path / "kubeconfig")


@pytest.mark.parametrize("content", [None, KUBECONFIG])
def test_a_cluster_that_does_not_answer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv(EVIDENCE_VARIABLE, "1")
    if content:
        (tmp_path / "kubeconfig").write_text(content)
    with pytest.raises(LabError, match="no evidence of the step times: "):
        leave(TAKEN, "local", "small", "obs-local", tmp_path / "kubeconfig")
