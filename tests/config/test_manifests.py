"""The manifests of every stack are what the API server takes: checked by kubeconform, closed to unknown keys."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lab.toolchain import tools
from tests.support import engine, schemas


def _check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            tools.path("kubeconform"),
            "-strict",
            "-summary",
            "-output",
            "json",
            "-schema-location",
            f"{schemas.folder()}/{schemas.LOCATION}",
            folder,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("stack", [*engine.STACKS, "kind"])
def test_kubeconform_accepts_every_manifest(stack: str, tmp_path: Path) -> None:
    manifests = engine.recorded(stack).manifests()
    for number, manifest in enumerate(manifests):
        (tmp_path / f"{number}.json").write_text(json.dumps(manifest))
    result = _check(tmp_path)
    assert result.returncode == 0, f"kubeconform refuses:\n{result.stdout}\n{result.stderr}"
    summary = json.loads(result.stdout)["summary"]
    assert summary["valid"] == len(manifests), f"not every manifest was checked: {summary}"


@pytest.mark.parametrize("kind", ["StatefulSet", "Certificate", "VerticalPodAutoscaler"])
def test_kubeconform_refuses_a_key_that_does_not_exist(kind: str, tmp_path: Path) -> None:
    manifest = engine.recorded("local").kinds(kind)[0]
    (tmp_path / "broken.json").write_text(json.dumps({**manifest, "spec": {**manifest["spec"], "replicaCount": 3}}))
    result = _check(tmp_path)
    assert result.returncode != 0, "a spec with an unknown key passed: the check is blind"
    assert "replicaCount" in result.stdout
