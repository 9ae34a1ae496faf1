"""The role of a stack by the real Pulumi, and another command line for ``pulumi up``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from lab.paths import CHECKOUT
from lab.pulumi_host import home
from lab.toolchain import tools
from ops.core import pulumi
from ops.core.errors import OpsError

PROJECT = "obs-platform"
PATH = os.environ["PATH"]
FULL = f"organization/{PROJECT}/local-dr"


def use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Pulumi work with the home and the backend of a folder."""
    monkeypatch.setenv("PATH", f"{tools.path('pulumi').parent}{os.pathsep}/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(folder / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{folder / 'backend'}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "not-a-secret")
    monkeypatch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
    monkeypatch.setenv("PULUMI_STACK", "local")
    monkeypatch.delenv(pulumi.COMMAND, raising=False)


@pytest.fixture(scope="module")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two stacks that were just made, for the tests to copy."""
    folder = tmp_path_factory.mktemp("new") / "project"
    (folder / "backend").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": "python"}))
    with pytest.MonkeyPatch.context() as environment:
        use(folder, environment)
        for stack in ("local", "local-dr"):
            pulumi._run(["pulumi", "stack", "init", stack], "pulumi stack init", 60, "", folder)
    return folder


@pytest.fixture
def project(new_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two stacks in a backend of its own; the first is selected."""
    shutil.copytree(new_project, tmp_path, dirs_exist_ok=True)
    use(tmp_path, monkeypatch)
    return tmp_path


def role(project: Path, stack: str) -> object:
    content = yaml.safe_load((project / f"Pulumi.{stack}.yaml").read_text()) or {}
    return content.get("config", {}).get(pulumi.ROLE_KEY)


def test_the_role_of_the_selected_stack_and_of_one_by_its_full_name(project: Path) -> None:
    pulumi.set_role("standby", cwd=project)
    pulumi.set_role("primary", FULL, cwd=project)
    assert (role(project, "local"), role(project, "local-dr")) == ("standby", "primary")


def test_the_partitions_of_a_topic_are_a_number_in_the_settings_and_the_rest_stays(project: Path) -> None:
    file = project / "Pulumi.local.yaml"
    topics = {"telemetry-metrics": {"partitions": 12, "retention_days": 30}, "alerts-raw": {"partitions": 4}}
    file.write_text(yaml.safe_dump({"config": {pulumi.SETTINGS_KEY: {"topics": topics, "protect": False}}}))
    pulumi.set_partitions("telemetry-metrics", 18, cwd=project)
    topics["telemetry-metrics"]["partitions"] = 18
    settings = yaml.safe_load(file.read_text())["config"][pulumi.SETTINGS_KEY]
    assert settings == {"topics": topics, "protect": False}


def test_the_digest_of_an_image_is_a_text_in_the_settings_and_the_others_stay(project: Path) -> None:
    file = project / "Pulumi.local.yaml"
    digests = {"kafka": f"sha256:{'1' * 64}", "otelcol": f"sha256:{'2' * 64}"}
    file.write_text(yaml.safe_dump({"config": {pulumi.SETTINGS_KEY: {"images": {"digests": digests}}}}))
    for image in ("kafka", "blackbox-exporter"):
        digests[image] = f"sha256:{'3' * 64}"
        pulumi.set_digest(image, digests[image], cwd=project)
        assert yaml.safe_load(file.read_text())["config"][pulumi.SETTINGS_KEY] == {"images": {"digests": digests}}


def test_generations_of_passwords_are_a_list_that_grows_and_shrinks(project: Path) -> None:
    file = project / "Pulumi.local.yaml"
    file.write_text(yaml.safe_dump({"config": {pulumi.SETTINGS_KEY: {"gateway": {"open_layers": []}}}}))

    def written() -> object:
        gateway = yaml.safe_load(file.read_text())["config"][pulumi.SETTINGS_KEY]["gateway"]
        assert gateway.pop("open_layers") == []
        return gateway

    for generations in ((2, 1), (2,), (3, 2), (3,)):
        pulumi.set_generations(("gateway", "password_generations"), generations, cwd=project)
        assert written() == {"password_generations": list(generations)}


def test_a_broker_is_added_behind_the_last_one_and_taken_away_again(project: Path) -> None:
    file = project / "Pulumi.local.yaml"
    committed = [{"host": f"198.18.0.{10 + number}", "address": f"198.18.0.{10 + number}"} for number in range(3)]
    file.write_text(yaml.safe_dump({"config": {pulumi.SETTINGS_KEY: {"kafka": {"brokers": committed}}}}))

    def brokers() -> object:
        return yaml.safe_load(file.read_text())["config"][pulumi.SETTINGS_KEY]["kafka"]["brokers"]

    pulumi.set_broker(3, "198.18.0.13", cwd=project)
    assert brokers() == [*committed, {"host": "198.18.0.13", "address": "198.18.0.13"}]
    pulumi.unset_broker(3, cwd=project)
    assert brokers() == committed


def test_a_stack_that_is_not_there_is_one_line_with_pulumis_own_reason(project: Path) -> None:
    with pytest.raises(OpsError, match="`pulumi config set` failed: no stack named 'other' found") as caught:
        pulumi.set_role("primary", "other", cwd=project)
    assert "\n" not in str(caught.value)


def test_another_command_line_brings_up_the_stack_that_is_meant(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = project / "own up"
    script.write_text('#!/bin/sh\necho "$PULUMI_STACK $*" >> "$0.log"\n')
    script.chmod(0o755)
    monkeypatch.setenv(pulumi.COMMAND, f"'{script}' up --yes --skip-preview")
    pulumi.up(cwd=project)
    pulumi.up(FULL, cwd=project)
    pulumi.up(cwd=project, target_replace="**Kind::name")
    pulumi.up(cwd=project, preview=True)
    assert (project / "own up.log").read_text().splitlines() == [
        "local up --yes --skip-preview",
        f"{FULL} up --yes --skip-preview",
        "local up --yes --skip-preview --target-replace **Kind::name",
        "local up --yes",
    ]


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


PROGRAM = """import pulumi

pulumi.ComponentResource("test:index:Thing", "thing", None, None)
pulumi.export("made", True)
"""
PACK = """from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy


def check(arguments, report):
    if arguments.resource_type == "{type}":
        report("a thing is not allowed")


PolicyPack(
    name="test-pack",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[ResourceValidationPolicy(name="no-things", description="No things.", validate=check)],
)
"""


@pytest.fixture
def program(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with a program and the host that runs it; it has no policy pack yet."""
    monkeypatch.setenv("PATH", PATH)
    home.install(project / "home", sys.executable)
    programs = [project / "home" / "bin", tools.path("pulumi").parent]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, programs), "/usr/bin:/bin"]))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    (project / "__main__.py").write_text(PROGRAM)
    return project


def pack(project: Path, forbidden: str, content: str = PACK) -> None:
    """A policy pack that forbids resources of a type."""
    (project / "policy").mkdir()
    (project / "policy" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (project / "policy" / "__main__.py").write_text(content.replace("{type}", forbidden))


def is_deployed(project: Path) -> bool:
    """Whether the stack was brought up."""
    state = project / "backend" / ".pulumi" / "stacks" / PROJECT / "local.json"
    return "test:index:Thing" in state.read_text()


def test_what_a_policy_forbids_is_not_brought_up_and_the_policy_is_named(program: Path) -> None:
    pack(program, "test:index:Thing")
    with pytest.raises(OpsError, match=r"`pulumi up` failed: .*\[mandatory\] +no-things") as caught:
        pulumi.up(cwd=program)
    Path(str(caught.value).rpartition(" ")[2]).unlink()
    assert not is_deployed(program)


def test_what_the_policies_allow_is_brought_up(program: Path) -> None:
    pack(program, "test:index:Other")
    pulumi.up(cwd=program)
    assert is_deployed(program)


def test_a_pack_that_cannot_run_stops_everything_in_one_line(program: Path) -> None:
    pack(program, "test:index:Other", "import a_module_that_nobody_has\n")
    told = (
        r"failed: the policy pack cannot run, so nothing was changed \(ModuleNotFoundError: No module named 'a_module"
    )
    with pytest.raises(OpsError, match=told) as caught:
        pulumi.up(cwd=program)
    assert "\n" not in str(caught.value)
    Path(str(caught.value).rpartition(" ")[2]).unlink()
    assert not is_deployed(program)


def test_without_a_pack_nothing_is_brought_up(program: Path) -> None:
    with pytest.raises(OpsError, match=f"the policy pack is not at {program / 'policy'}: run from a whole checkout"):
        pulumi.up(cwd=program)
    assert not is_deployed(program)


@pytest.mark.parametrize("command", ["pulumi up --yes", "/opt/pulumi/bin/pulumi up --yes --stack local"])
def test_another_command_line_has_to_give_pulumi_the_pack(
    project: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv(pulumi.COMMAND, command)
    with pytest.raises(OpsError, match="OBS_PULUMI_UP calls pulumi without --policy-pack: add `--policy-pack policy`"):
        pulumi.up(cwd=project)


def test_the_pack_of_this_repository_is_where_it_is_looked_for() -> None:
    assert pulumi._policies(CHECKOUT) == ["--policy-pack", str(CHECKOUT / "policy")]
