"""The real engine and the real SDK with the Grafana plugin, on a fake of Grafana's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.pulumi_host import home
from lab.toolchain import tools
from tests.unit.lab.grafana_api_fake import LOGIN, GrafanaFake, grafana_fake

# The address hangs on a resource, so that the first preview cannot know it.
PROGRAM = """
import json, os
import pulumi, pulumi_random, pulumiverse_grafana as grafana

seed = pulumi_random.RandomId("seed", byte_length=4)
provider = grafana.Provider(
    "grafana",
    url=seed.hex.apply(lambda _: os.environ["GRAFANA_AT"]),
    auth=pulumi.Output.secret(os.environ["GRAFANA_LOGIN"]),
    ca_cert=os.environ["GRAFANA_AUTHORITY"],
    retries=2,
    retry_wait=0,
)
options = pulumi.ResourceOptions(provider=provider)
team = grafana.oss.Team("operators", name="operators", opts=options)
folder = grafana.oss.Folder("layer", uid="layer", title="Layer", opts=options)
dashboard = grafana.oss.Dashboard(
    "overview",
    folder=folder.uid,
    config_json=json.dumps({"uid": "overview", "title": os.environ["TITLE"], "panels": [{"title": "Lag"}]}, indent=1),
    opts=options,
)
grafana.oss.FolderPermission(
    "readers",
    folder_uid=folder.uid,
    permissions=[
        grafana.oss.FolderPermissionPermissionArgs(role="Viewer", permission="View"),
        grafana.oss.FolderPermissionPermissionArgs(team_id=team.id, permission="Edit"),
    ],
    opts=options,
)
grafana.oss.DashboardPermission(
    "editors",
    dashboard_uid=dashboard.uid,
    permissions=[grafana.oss.DashboardPermissionPermissionArgs(role="Editor", permission="View")],
    opts=options,
)
grafana.oss.OrganizationPreferences(
    "preferences", timezone="Asia/Tokyo", home_dashboard_uid=dashboard.uid, opts=options
)
pulumi.export("url", dashboard.url)
"""


@dataclass
class Project:
    """A project folder with its own home and state."""

    folder: Path
    grafana: GrafanaFake

    def pulumi(self, *words: str, title: str = "Overview") -> str:
        """Run the engine; it must succeed."""
        programs = [self.folder / "home" / "bin", tools.path("pulumi").parent]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "GRAFANA_"))}
        environment = {
            **kept,
            "PULUMI_HOME": str(self.folder / "home"),
            "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "GOGC": "400",
            "GRAFANA_AT": self.grafana.url,
            "GRAFANA_LOGIN": LOGIN,
            "GRAFANA_AUTHORITY": self.grafana.authority,
            "TITLE": title,
        }
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color=never"],
            cwd=self.folder / "project",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, *words: str, title: str = "Overview") -> str:
        """Run an update without a preview."""
        return self.pulumi("up", "--yes", "--skip-preview", *words, title=title)

    def state(self) -> Any:
        """The exported state."""
        return json.loads(self.pulumi("stack", "export"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for name in ("project", "backend", "pki"):
        (tmp_path / name).mkdir()
    home.install(tmp_path / "home", sys.executable)
    (tmp_path / "project" / "Pulumi.yaml").write_text("name: content\nruntime: python\n")
    (tmp_path / "project" / "__main__.py").write_text(PROGRAM)
    with grafana_fake(tmp_path / "pki") as grafana:
        pulumi_project = Project(tmp_path, grafana)
        pulumi_project.pulumi("stack", "init", "dev")
        yield pulumi_project


def test_content_lives_from_the_first_preview_to_its_end(project: Project) -> None:
    grafana = project.grafana
    assert "+ 9 to create" in project.pulumi("preview")
    assert grafana.requests == []

    project.up()
    assert grafana.dashboards["overview"]["folder"] == "layer"
    (team,) = grafana.teams
    assert sorted(grafana.permissions["folders/layer"], key=str) == [
        {"permission": 1, "role": "Viewer"},
        {"permission": 2, "teamId": team},
    ]
    assert grafana.preferences["homeDashboardUID"] == "overview"
    password = LOGIN.partition(":")[2]
    files = [file for file in (project.folder / "backend").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if password.encode() in file.read_bytes()]

    changed = len(grafana.changes())
    project.up("--expect-no-changes")
    project.pulumi("refresh", "--yes", "--expect-no-changes")
    assert len(grafana.changes()) == changed

    del grafana.dashboards["overview"]
    grafana.folders["layer"]["title"] = "By hand"
    project.pulumi("refresh", "--yes")
    kinds = [resource["type"] for resource in project.state()["deployment"]["resources"]]
    assert "grafana:oss/dashboard:Dashboard" not in kinds
    assert "grafana:oss/dashboardPermission:DashboardPermission" not in kinds
    project.up()
    assert grafana.folders["layer"]["title"] == "Layer"
    assert grafana.dashboards["overview"]["model"]["version"] == 1
    project.up(title="Overview 2")
    assert grafana.dashboards["overview"]["model"]["title"] == "Overview 2"
    assert grafana.dashboards["overview"]["model"]["version"] == 2

    project.pulumi("destroy", "--yes", "--skip-preview")
    assert (grafana.folders, grafana.dashboards, grafana.teams) == ({}, {}, {})
