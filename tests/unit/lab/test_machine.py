"""What the lab finds on a machine that is not like this one."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from lab import LabError, environment
from lab import __main__ as command_line
from lab.cluster import lifecycle, network
from lab.paths import LabPaths
from lab.toolchain import tools


def test_a_group_of_the_unified_hierarchy_gets_the_controllers_that_the_kubelet_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    write = Path.write_text

    def note(path: Path, text: str) -> int:
        if path.name == "cgroup.subtree_control":
            written.append(text)
            return len(text)
        return write(path, text)

    monkeypatch.setattr(network, "_CGROUPS", tmp_path)
    monkeypatch.setattr(Path, "write_text", note)
    assert network.create_cgroup("x") == "/obs-x"
    assert written == ["+cpuset", "+hugetlb"]
    assert (tmp_path / "obs-x").is_dir()


def test_a_controller_that_is_refused_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    (tmp_path / "cgroup.subtree_control").write_text("")

    def refuse(*_: object) -> NoReturn:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(network, "_CGROUPS", tmp_path)
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(LabError, match=r"controller cpu cannot be given to the lab: Device or resource busy"):
        network.create_cgroup("x")


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy"])
def test_no_proxy_is_asked_for_what_is_inside(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in (*environment._PROXIES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    environment.ask_no_proxy()
    assert "NO_PROXY" not in os.environ
    monkeypatch.setenv(name, "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example, localhost")
    monkeypatch.setenv("no_proxy", "")
    environment.ask_no_proxy()
    entries = os.environ["NO_PROXY"].split(",")
    assert entries[:2] == ["intranet.example", "localhost"]
    networks = [ipaddress.ip_network(entry) for entry in entries if "/" in entry]
    for address in (network.FIRST.node, network.SECOND.node, network.RECEIVERS, network.KUBERNETES_SERVICE):
        assert any(ipaddress.ip_address(address) in net for net in networks), address
    assert set(os.environ["no_proxy"].split(",")) == set(entries) - {"intranet.example"}


def test_another_processor_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    monkeypatch.setattr(lifecycle, "platform", SimpleNamespace(machine=lambda: "aarch64"))
    with pytest.raises(LabError, match=r"^this machine is aarch64, and the images .* are for x86_64"):
        lifecycle.check_machine(LabPaths("x"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/var/lib/obs-lab/x/pki"), "the lab is of the user who ran"),
        (OSError(28, "No space left on device", "/var/lib/obs-lab/x/log"), "/var/lib/obs-lab/x/log: No space left"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, message: str
) -> None:
    def refused() -> NoReturn:
        raise error

    monkeypatch.setattr(command_line, "app", refused)
    before = os.umask(0o077)
    try:
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert os.umask(0o022) == 0o022, "what pods read is readable"
    finally:
        os.umask(before)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_a_killed_build_left_mounted_is_unmounted_before_it_is_removed(tmp_path: Path) -> None:
    place = tmp_path / ".tool-x" / "root" / "proc"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True, timeout=20)
    (place / "file").touch()
    tools.atomically(tmp_path / "tool", lambda work: (work / "done").touch())
    assert [path.name for path in tmp_path.iterdir()] == ["tool"]
    assert str(place) not in Path("/proc/self/mountinfo").read_text()
