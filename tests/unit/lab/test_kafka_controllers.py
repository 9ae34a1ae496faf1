"""Dedicated controllers that the lab's first region begins with: what is chosen, kept and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import LabError, environment
from lab import stack as stacks
from lab.cluster import lifecycle
from lab.paths import LabPaths
from stacks.settings import parse


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabPaths:
    """A lab without a platform."""
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    lab_paths = LabPaths("x")
    lab_paths.state.mkdir(parents=True)
    return lab_paths


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Namespaces of the cluster."""
    namespaces = {"default"}
    monkeypatch.setattr(lifecycle, "namespaces", lambda _: namespaces)
    return namespaces


def settings(paths: LabPaths, stack: str = "local") -> Any:
    """As the program would find them, after the copies were made anew."""
    copy = environment.project(paths) / f"Pulumi.{stack}.yaml"
    return yaml.safe_load(copy.read_text())["config"]["observability:settings"]


def test_brokers_vote_unless_somebody_asks_for_controllers(paths: LabPaths, present: set[str]) -> None:
    assert not stacks.choose_controllers(paths, "local", wanted=False)
    assert "controllers" not in settings(paths)["kafka"]
    assert stacks.choose_controllers(paths, "local", wanted=True)
    for _ in range(2):
        assert settings(paths)["kafka"]["controllers"] == 3
    assert parse(settings(paths), "Pulumi.local.yaml").controllers == 3
    assert parse(settings(paths, "local-dr"), "Pulumi.local-dr.yaml").controllers == 0
    assert not stacks.choose_controllers(paths, "local", wanted=False), "where nothing is yet, the choice is free"
    assert "controllers" not in settings(paths)["kafka"]
    assert present == {"default"}


def test_a_platform_keeps_what_it_began_with_until_it_is_destroyed(paths: LabPaths, present: set[str]) -> None:
    stacks.choose_controllers(paths, "local", wanted=True)
    present.add("obs-local")
    for wanted in (False, True):
        assert stacks.choose_controllers(paths, "local", wanted=wanted)
        assert settings(paths)["kafka"]["controllers"] == 3
    environment.set_kafka(paths, "local", f"sha256:{'a' * 64}")
    assert settings(paths)["kafka"]["controllers"] == 3, "another image changes no quorum"
    environment.forget_changes(paths, "local")
    assert "controllers" not in settings(paths)["kafka"]


def test_controllers_are_refused_where_brokers_vote(paths: LabPaths, present: set[str]) -> None:
    present.add("obs-local")
    environment.project(paths)
    assert not stacks.choose_controllers(paths, "local", wanted=False)
    with pytest.raises(LabError, match=r"^the brokers of obs-local vote, .*: run `make destroy` first, then `python"):
        stacks.choose_controllers(paths, "local", wanted=True)
    assert "controllers" not in settings(paths)["kafka"]


def test_controllers_of_the_second_region_are_refused() -> None:
    stacks.refuse_controllers_for_another_stack(True, "local")
    stacks.refuse_controllers_for_another_stack(False, "local-dr")
    with pytest.raises(LabError, match=r"^--controllers is for the stack local alone, not for local-dr$"):
        stacks.refuse_controllers_for_another_stack(True, "local-dr")
