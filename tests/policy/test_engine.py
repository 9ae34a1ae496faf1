"""`pulumi preview --policy-pack policy` on the real engine: the platform passes, bad changes do not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from policy.rules import RULES
from tests.policy.bad_changes import BAD_CHANGES
from tests.policy.engine import Engine

MESSAGES = {
    "listener_without_tls": ("kafka-listener-tls", "SASL_PLAINTEXT"),
    "scram_dropped": ("kafka-listener-authentication", "PLAIN"),
    "two_copies": ("kafka-topic-replication", "replicationFactor"),
    "one_copy_acknowledges": ("kafka-broker-replication", "min.insync.replicas"),
    "no_acls": ("kafka-access-exists", "no access rules"),
    "gossip_without_tls": ("alertmanager-cluster", "--cluster.tls-config"),
    "grafana_in_clear": ("grafana-tls", "protocol"),
}
"""Bad change -> the rule that stops it, and what its message names."""


def mandatory(output: str) -> set[str]:
    """Rules that stopped a preview."""
    return set(re.findall(r"- \[mandatory\] +(\S+)", output))


def advisory(output: str) -> set[str]:
    """Rules that warned only."""
    return set(re.findall(r"- \[advisory\] +(\S+)", output))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A project of the production stack."""
    return Engine.at(tmp_path_factory.mktemp("engine"), "prod")


def test_every_bad_change_has_its_messages() -> None:
    assert set(MESSAGES) == set(BAD_CHANGES)


def test_the_platform_passes_and_says_what_it_could_not_look_at(engine: Engine) -> None:
    done = engine.preview()
    assert done.returncode == 0, done.stdout[-4000:]
    assert mandatory(done.stdout) == set()
    assert "unknown-until-update" in done.stdout


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """One preview of all bad changes together, with what they spoil: each is to be named, whatever else is wrong.

    The stack names another registry than the one from which the bad changes take their images. As in the repository,
    the program is in the folder of the stack files.
    """
    engine = Engine.at(tmp_path_factory.mktemp("stopped"), "prod")
    file = engine.folder / "project" / "Pulumi.prod.yaml"
    text = file.read_text()
    file.write_text(text.replace("registry: registry.example.com/observability", "registry: team.example.net:5000/obs"))
    assert file.read_text() != text
    project = file.with_name("Pulumi.yaml")
    description = yaml.safe_load(project.read_text())
    main = description.pop("main")
    project.write_text(yaml.safe_dump(description))
    file.with_name("__main__.py").write_text(f"import runpy\nrunpy.run_path({main!r}, run_name='__main__')\n")
    return engine.preview(BAD_CHANGES, program="kafka")


@pytest.mark.parametrize("change", sorted(BAD_CHANGES))
def test_a_bad_change_stops_the_preview_with_its_message(
    stopped: subprocess.CompletedProcess[str], change: str
) -> None:
    assert stopped.returncode != 0, stopped.stdout[-4000:]
    rule, named = MESSAGES[change]
    assert rule in mandatory(stopped.stdout), stopped.stdout[-4000:]
    report = stopped.stdout.partition("Policies:")[2]
    assert named in report.partition(f" {rule} ")[2], report


def test_rules_can_be_made_advisory_by_configuration(
    engine: Engine, stopped: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    rule, named = MESSAGES["grafana_in_clear"]
    assert rule in mandatory(stopped.stdout)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({rule.id: "advisory" for rule in RULES}))
    done = engine.preview(["grafana_in_clear"], "--policy-pack-config", str(file), program="nothing")
    assert done.returncode == 0, done.stdout[-3000:]
    assert rule in advisory(done.stdout)
    assert named in done.stdout.partition("Policies:")[2]


def test_images_come_from_the_registry_that_the_stack_names(stopped: subprocess.CompletedProcess[str]) -> None:
    assert "image-registry" in mandatory(stopped.stdout), stopped.stdout[-3000:]
    assert "take it from team.example.net:5000/obs" in stopped.stdout
