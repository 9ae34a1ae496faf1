"""A stack's first update saves its state at the end only; one that was killed before that is said, and cleared away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import LabError, environment
from lab import stack as stack_module
from lab.cluster import lifecycle
from lab.paths import LabPaths
from lab.stack import Stack

VARIABLE = "PULUMI_SKIP_CHECKPOINTS"


class Pulumi:
    """A fake of the program with some state; keeps how it was called."""

    def __init__(self, deployment: dict[str, Any] | None) -> None:
        self.deployment, self.export_code = deployment, 0
        self.calls: list[tuple[str, dict[str, str]]] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        arguments = [word for word in command[command.index("pulumi") + 1 :] if not word.startswith("--")]
        self.calls.append((" ".join(arguments[:2]), options["env"]))
        said = json.dumps({"version": 3, "deployment": self.deployment}) if "export" in arguments else ""
        return subprocess.CompletedProcess(command, self.export_code if said else 0, said, "")

    def called(self) -> list[str]:
        return [name.split()[0] for name, _ in self.calls]


def stack(monkeypatch: pytest.MonkeyPatch, deployment: dict[str, Any] | None) -> tuple[Stack, Pulumi, Path]:
    """A stack in a new folder, the fake, and the folder of locks."""
    paths = LabPaths("x")
    (paths.state / "pki").mkdir(parents=True)
    pulumi = Pulumi(deployment)
    monkeypatch.setattr(environment, "variables", lambda _: {"KEPT": "yes"})
    monkeypatch.setattr(environment, "inside", lambda _, command: command)
    monkeypatch.setattr(environment, "update", lambda _: ["up", "--yes"])
    monkeypatch.setattr(environment, "project", lambda _: paths.state)
    monkeypatch.setattr(stack_module.subprocess, "run", pulumi)
    return Stack(paths), pulumi, paths.state / "backend" / ".pulumi" / "locks" / "organization" / "observability"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))


@pytest.mark.parametrize("deployment", [None, {}, {"resources": []}, {"manifest": {}}])
def test_the_first_update_saves_its_state_at_the_end(
    monkeypatch: pytest.MonkeyPatch, deployment: dict[str, Any] | None
) -> None:
    chosen, pulumi, _ = stack(monkeypatch, deployment)
    assert not chosen.ensure()
    chosen.up()
    [(_, variables)] = [call for call in pulumi.calls if call[0].startswith("up")]
    assert (variables[VARIABLE], variables["KEPT"]) == ("true", "yes")
    assert all(VARIABLE not in used for name, used in pulumi.calls if not name.startswith("up"))


def test_every_other_update_saves_it_before_and_after_each_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, pulumi, _ = stack(monkeypatch, {"resources": [{"urn": "a"}]})
    assert not chosen.ensure()
    chosen.up()
    assert all(VARIABLE not in used for _, used in pulumi.calls)


@pytest.mark.parametrize(("resources", "lost"), [([], True), ([{"urn": "a"}], False)])
def test_an_update_that_was_killed_is_told_where_it_saved_nothing(
    monkeypatch: pytest.MonkeyPatch, resources: list[Any], lost: bool
) -> None:
    chosen, pulumi, locks = stack(monkeypatch, {"resources": resources, "pending_operations": resources})
    (locks / "local").mkdir(parents=True)
    (locks / "local" / "one.json").write_text("{}")
    assert chosen.ensure() is lost
    assert ("refresh" in pulumi.called()) is not lost
    assert "cancel" in pulumi.called()


def test_a_state_that_pulumi_does_not_give_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, pulumi, locks = stack(monkeypatch, {"resources": []})
    (locks / "local").mkdir(parents=True)
    (locks / "local" / "one.json").write_text("{}")
    pulumi.export_code = 255
    assert not chosen.ensure()
    chosen.up()
    assert all(VARIABLE not in used for _, used in pulumi.calls)


def test_a_namespace_is_removed_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []
    left = iter(["namespace/default namespace/mine", "namespace/default"])

    def kubectl(_: LabPaths, *words: str, **__: Any) -> subprocess.CompletedProcess[str]:
        commands.append(words)
        return subprocess.CompletedProcess([], 0, next(left) if "namespaces" in words else "", "")

    monkeypatch.setattr(lifecycle, "kubectl", kubectl)
    lifecycle.remove_namespace(LabPaths("x"), "mine")
    assert commands[0] == ("delete", "namespace", "mine", "--ignore-not-found", "--wait=false")
    assert next(left, None) is None
    monkeypatch.setattr(lifecycle, "kubectl", lambda *_: subprocess.CompletedProcess([], 1, "", "it is away"))
    with pytest.raises(LabError, match=r"^kubectl delete namespace mine failed: it is away$"):
        lifecycle.remove_namespace(LabPaths("x"), "mine")
