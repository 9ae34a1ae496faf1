"""docs/secrets.md: the real engine replaces a password by its name, and what is made of it follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.pulumi_host import home
from lab.toolchain import tools

ROOT = Path(__file__).parents[2]
NAME = "kafka-user-sampler"
URN = f"**RandomPassword::{NAME}"
PROGRAM = f"""
import pulumi
import pulumi_random
from components.k8s import credential

parent = pulumi.ComponentResource("obs:kafka:Kafka", "kafka")
password = credential(parent, name="{NAME}", username="sampler").password
keepers = {{"password": pulumi.Output.unsecret(password)}}
server = pulumi_random.RandomId("{NAME}", byte_length=4, keepers=keepers, opts=pulumi.ResourceOptions(parent=parent))
pulumi.export("password", pulumi.Output.unsecret(password))
pulumi.export("server", server.hex)
"""


@dataclass
class Project:
    """A project folder with its own home and state."""

    folder: Path

    def pulumi(self, *words: str) -> str:
        """Run the engine; what it printed."""
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color=never"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, *options: str) -> tuple[str, str]:
        """Run an update; the password, and what the server has that was made of it."""
        self.pulumi("up", "--yes", "--skip-preview", *options)
        state = json.loads((self.folder.parent / "backend" / ".pulumi" / "stacks" / "secrets" / "dev.json").read_text())
        resources = state["checkpoint"]["latest"]["resources"]
        [outputs] = [entry["outputs"] for entry in resources if entry["type"] == "pulumi:pulumi:Stack"]
        return outputs["password"], outputs["server"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("project", "backend"):
        (tmp_path / name).mkdir()
    home.install(tmp_path / "home", sys.executable)
    (tmp_path / "project" / "Pulumi.yaml").write_text("name: secrets\nruntime: python\n")
    (tmp_path / "project" / "__main__.py").write_text(PROGRAM)
    programs = [str(tmp_path / "home" / "bin"), str(tools.path("pulumi").parent), os.environ["PATH"]]
    for name, value in {
        "PULUMI_HOME": str(tmp_path / "home"),
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": str(ROOT),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "GOGC": "400",
    }.items():
        monkeypatch.setenv(name, value)
    project = Project(tmp_path / "project")
    project.pulumi("stack", "init", "dev")
    return project


def test_a_password_is_replaced_by_its_name_and_the_server_follows(project: Project) -> None:
    password, server = project.up()
    # Nothing changes in an update that replaces what is not there.
    assert project.up("--replace", "**RandomPassword::another") == (password, server)
    replaced, after = project.up("--replace", URN)
    assert replaced != password
    assert after != server
    assert f"RandomPassword::{NAME}" in project.pulumi("stack", "--show-urns")

    # A targeted replacement leaves the server with the old one until the next update.
    targeted, still = project.up("--target-replace", URN)
    assert targeted != replaced
    assert still == after
    assert project.up() != (targeted, still)


def test_an_entry_by_its_path_takes_the_place_of_the_whole_secret(project: Project) -> None:
    secret = json.dumps({"access_key_id": "a", "secret_access_key": "b"})
    project.pulumi("config", "set", "--secret", "observability:witnessSecrets", secret)
    project.pulumi("config", "set", "--secret", "--path", "observability:witnessSecrets.access_key_id", "c")
    kept = json.loads(project.pulumi("config", "--show-secrets", "--json"))["observability:witnessSecrets"]
    assert json.loads(kept["value"]) == {"access_key_id": "c"}
