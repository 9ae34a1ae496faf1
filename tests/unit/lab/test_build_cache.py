"""Building upstream's servers: what it leaves is removed, but not from under another checkout that builds."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from lab.toolchain.recipes import RECIPES, GoTool
from lab.toolchain.tools import drop_build_cache


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    package = tmp_path / "go-build" / "0f" / "package"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"compiled")
    return package


def test_it_is_removed_and_again_is_no_mistake(left: Path) -> None:
    drop_build_cache()
    drop_build_cache()
    assert not left.exists()


def test_it_stays_while_somebody_builds(left: Path, tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    with (tmp_path / "locks" / "go-build").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        drop_build_cache()
        assert left.exists()
    drop_build_cache()
    assert not left.exists()


def test_programs_that_are_built_at_once_have_the_names_of_their_packages() -> None:
    several = [recipe.programs for recipe in RECIPES if isinstance(recipe, GoTool) and len(recipe.programs) > 1]
    assert several
    for programs in several:
        assert all(package.endswith(f"/{name}") for name, package in programs.items())
