"""Servers that are one zip: nothing else is taken, nothing half stays, and only who names them gets them."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import LabError
from lab.__main__ import build_tools
from lab.timing import Steps
from lab.toolchain import tools
from lab.toolchain.recipes import KEYCLOAK, ON_DEMAND, RECIPES, ServerZip
from lab.toolchain.tools import unpack


def _zip(file: Path, *names: str) -> str:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "#!/bin/sh\necho prepared > prepared\n")
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Repository:
    """Maven as far as a recipe asks it: it gives a file; all other commands are run."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, command: list[str], cwd: Path, variables: Mapping[str, str]) -> None:
        [target] = [part.partition("=")[2] for part in command if part.startswith("-DoutputDirectory=")] or [""]
        if not target:
            subprocess.run(command, cwd=cwd, check=True, timeout=60)
            return
        Path(target).mkdir()
        (Path(target) / "server-1.zip").write_bytes(self.file.read_bytes())


def _recipe(digest: str) -> ServerZip:
    return ServerZip(
        name="server", version="1", artifact="org.example:server", sha256=digest, prepare=("bin/server.sh",)
    )


def test_the_zip_is_unpacked_and_prepared(tmp_path: Path) -> None:
    digest = _zip(tmp_path / "server.zip", "server-1/bin/server.sh")
    work = tmp_path / "work"
    work.mkdir()
    unpack(_recipe(digest), work, Repository(tmp_path / "server.zip"))
    assert (work / "home" / "prepared").read_text() == "prepared\n"
    assert [path.name for path in work.iterdir()] == ["home"]


def test_another_zip_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    _zip(tmp_path / "server.zip", "server-1/bin/server.sh")
    with pytest.raises(LabError, match="has the SHA-256"):
        unpack(_recipe("0" * 64), tmp_path, Repository(tmp_path / "server.zip"))
    assert not (tmp_path / "home").exists()


def test_a_zip_without_one_folder_is_refused(tmp_path: Path) -> None:
    digest = _zip(tmp_path / "server.zip", "one/bin/server.sh", "two/file")
    with pytest.raises(LabError, match="2 folders"):
        unpack(_recipe(digest), tmp_path, Repository(tmp_path / "server.zip"))


@pytest.mark.parametrize(("only", "wanted"), [((), False), ((KEYCLOAK,), True)])
def test_what_only_drills_need_is_built_for_who_names_it(
    only: tuple[str, ...], wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    monkeypatch.setenv("OBS_CACHE", str(tmp_path))
    monkeypatch.setattr(tools, "ensure", lambda recipe: built.append(recipe.name))
    build_tools(Steps("toolchain"), only)
    assert (KEYCLOAK in built) is wanted
    assert set(built) == (set(only) or {recipe.name for recipe in RECIPES} - ON_DEMAND)
