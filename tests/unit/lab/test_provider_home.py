"""The PULUMI_HOME that the lab lays out: where the engine looks, and nothing half written."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.pulumi_host import home
from lab.toolchain import tools


@pytest.fixture(autouse=True)
def built_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the built programs, so that these tests need no build."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("pulumi", "pulumi-resource-kubernetes"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(tools, "path", lambda name: folder / name)
    monkeypatch.setattr(home, "_executor_source", lambda: "#!/usr/bin/env python\n")
    return folder


def version(package: str) -> str:
    return importlib.metadata.version(package)


def test_the_plugins_lie_under_the_versions_of_the_installed_sdks(tmp_path: Path) -> None:
    home.install(tmp_path / "home", sys.executable)
    plugin_files = {
        str(file.relative_to(tmp_path / "home" / "plugins")) for file in (tmp_path / "home" / "plugins").glob("*/*")
    }
    assert plugin_files == {
        f"resource-random-v{version('pulumi-random')}/pulumi-resource-random",
        f"resource-kafka-v{version('pulumi-kafka')}/pulumi-resource-kafka",
        f"resource-grafana-v{version('pulumiverse-grafana')}/pulumi-resource-grafana",
        f"resource-kubernetes-v{version('pulumi-kubernetes')}/pulumi-resource-kubernetes",
    }


def test_everything_in_bin_can_be_executed(tmp_path: Path) -> None:
    home.install(tmp_path / "home", sys.executable)
    names = {file.name for file in (tmp_path / "home" / "bin").iterdir() if os.access(file, os.X_OK)}
    assert names == {"pulumi", "pulumi-language-python", "pulumi-language-python-exec"}


def test_installing_again_rewrites_nothing(tmp_path: Path) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        return {file: (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in (tmp_path / "home").rglob("*")}

    home.install(tmp_path / "home", sys.executable)
    before = stamps()
    home.install(tmp_path / "home", sys.executable)
    assert stamps() == before


def test_the_engine_finds_no_folder_for_its_logs_and_those_of_before_are_removed(tmp_path: Path) -> None:
    logs = tmp_path / "home" / "logs"
    logs.mkdir(parents=True)
    (logs / "pulumi-20261205T145726-8360-stack_select.log").write_text("earlier")
    home.install(tmp_path / "home", sys.executable)
    assert logs.is_file()


def test_a_rebuilt_provider_is_taken_up(tmp_path: Path, built_tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.install(tmp_path / "home", sys.executable)
    newer = tmp_path / "newer"
    newer.mkdir()
    for name in ("pulumi", "pulumi-resource-kubernetes"):
        (newer / name).write_text("#!/bin/sh\n# newer\n")
    monkeypatch.setattr(tools, "path", lambda name: newer / name)
    home.install(tmp_path / "home", sys.executable)
    (link,) = (tmp_path / "home" / "plugins").glob("resource-kubernetes-*/*")
    assert link.resolve() == newer / "pulumi-resource-kubernetes"
    assert "newer" in (tmp_path / "home" / "bin" / "pulumi").read_text()


def test_the_machine_s_own_language_host_is_left_in_charge_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / home.LANGUAGE_HOST).write_text("#!/bin/sh\n")
    (vendor / home.LANGUAGE_HOST).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'home' / 'bin'}{os.pathsep}{vendor}")
    home.install(tmp_path / "home", sys.executable)
    home.install(tmp_path / "home", sys.executable, keep_machine_host=True)
    assert list((tmp_path / "home" / "bin").iterdir()) == []


def test_without_a_host_on_the_machine_ours_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "home" / "bin"))
    home.install(tmp_path / "home", sys.executable, keep_machine_host=True)
    assert (tmp_path / "home" / "bin" / home.LANGUAGE_HOST).exists()


@pytest.mark.parametrize("plugin", ["random", "kafka", "grafana"])
def test_a_launcher_starts_its_plugin_from_any_folder(tmp_path: Path, plugin: str) -> None:
    home.install(tmp_path / "home", sys.executable)
    (launcher,) = (tmp_path / "home" / "plugins").glob(f"resource-{plugin}-*/*")
    (tmp_path / "lab").mkdir()
    process = subprocess.Popen([launcher, "127.0.0.1:1"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0
