"""The real engine and provider with the product's own StatefulSet, on a real API server: sizes of volumes change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.controllers import STORAGE_CLASS, objects
from lab.pulumi_host import home
from lab.toolchain import tools
from ops.core import pulumi
from ops.core.kube import Kube
from ops.storage.claims import Wanted
from ops.storage.command import follow, grow
from tests.config.kube_api import ADMIN, KubeApi, kube_api
from tests.config.kube_controllers import Node, controllers
from tests.config.servers import eventually

ROOT = Path(__file__).parents[2]
NAMESPACE, NAME = "default", "kafka"
PROGRAM = f"""
import os
import pulumi
from components.k8s import Container, Probe, Resources, StorageClaim, Workload, stateful_set
from tests.support.deployment_context import deployment_context

container = Container(
    name="kafka",
    image="kafka",
    command=["run", os.environ["ARGUMENT"]],
    resources=Resources(cpu="10m", memory="16Mi", memory_limit="32Mi"),
    startup=Probe(tcp=9092),
    liveness=Probe(tcp=9092),
    readiness=Probe(tcp=9092),
)
parent = pulumi.ComponentResource("obs:kafka:Kafka", "kafka")
stateful_set(
    parent,
    deployment_context(namespace="{NAMESPACE}", storage_class="{STORAGE_CLASS}"),
    Workload(name="{NAME}", replicas=3, containers=[container]),
    claims=[StorageClaim(name="data", size=os.environ["SIZE"])],
)
"""


@dataclass
class Project:
    """A project folder with its own home and state, beside a cluster."""

    folder: Path
    api: KubeApi
    kube: Kube
    environment: dict[str, str]

    def pulumi(self, *words: str, **told: str) -> str:
        """Run the engine; everything it said."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color=never"],
            cwd=self.folder / "project",
            env={**os.environ, **self.environment, **told},
            capture_output=True,
            text=True,
            timeout=240,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, size: str, argument: str = "a") -> str:
        """Run an update."""
        return self.pulumi("up", "--yes", "--skip-preview", SIZE=size, ARGUMENT=argument)

    def stateful_set(self) -> dict[str, Any]:
        """As the API server has it."""
        content: dict[str, Any] = self.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}").json()
        return content

    def size(self) -> str:
        """What new pods get."""
        size = self.stateful_set()["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
        return str(size)

    def pods(self) -> set[str]:
        """UIDs of the pods."""
        items = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods").json()["items"]
        return {pod["metadata"]["uid"] for pod in items}

    def state(self) -> str:
        """What Pulumi's state says that new pods get."""
        resources = json.loads(self.pulumi("stack", "export"))["deployment"]["resources"]
        [inputs] = [entry["inputs"] for entry in resources if entry["type"].endswith(":StatefulSet")]
        return str(inputs["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name in ("project", "backend"):
        (tmp_path / name).mkdir()
    home.install(tmp_path / "home", sys.executable)
    (tmp_path / "project" / "Pulumi.yaml").write_text("name: storage\nruntime: python\n")
    (tmp_path / "project" / "__main__.py").write_text(PROGRAM)
    (tmp_path / "api").mkdir()
    programs = [str(tmp_path / "home" / "bin"), str(tools.path("pulumi").parent), os.environ["PATH"]]
    with kube_api(tmp_path / "api") as api, controllers(api), closing(Node(api, tmp_path / "volumes")):
        environment = {
            "PULUMI_HOME": str(tmp_path / "home"),
            "PATH": os.pathsep.join(programs),
            "PYTHONPATH": str(ROOT),
            "PULUMI_BACKEND_URL": f"file://{tmp_path / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_OPTION_CWD": str(tmp_path / "project"),
            "PULUMI_STACK": "dev",
            "GOGC": "400",
            "KUBECONFIG": str(api.kubeconfig),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv(pulumi.COMMAND, raising=False)
        api.create(
            "/apis/storage.k8s.io/v1/storageclasses",
            next(item for item in objects() if item["kind"] == "StorageClass"),
        )
        with closing(Kube.connect(NAMESPACE, api.kubeconfig, ADMIN)) as kube:
            project = Project(tmp_path, api, kube, environment)
            project.pulumi("stack", "init", "dev")
            yield project


def test_no_update_ends_pods_for_a_size_and_after_growing_updates_go_on_as_before(project: Project) -> None:
    project.up("1Gi")
    pods, first = project.pods(), project.stateful_set()
    assert (len(pods), project.size()) == (3, "1Gi")

    project.up("2Gi")
    assert project.stateful_set()["metadata"]["uid"] == first["metadata"]["uid"], "a size alone changes nothing"
    assert (project.pods(), project.size()) == (pods, "1Gi")

    grow(project.kube, [Wanted(workload=NAME, template="data", size="2Gi", storage_class=STORAGE_CLASS)], follow)
    assert (project.pods(), project.size(), project.state()) == (pods, "2Gi", "2Gi")
    assert project.stateful_set()["metadata"]["uid"] != first["metadata"]["uid"]

    assert "5 unchanged" in project.up("2Gi")
    assert project.pods() == pods

    uid = project.stateful_set()["metadata"]["uid"]
    project.up("1Gi", argument="b")
    eventually(lambda: not project.pods() & pods, 60, "a change of the pods rolls them as ever")
    assert (project.stateful_set()["metadata"]["uid"], project.size()) == (uid, "2Gi")
