"""Freezing pods, with real control groups of real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from lab import LabError
from lab.cluster import disruptions, network
from lab.cluster.disruptions import Object
from lab.paths import LabPaths
from ops.drills.tools.faults import Group
from tests.config.servers import eventually
from tests.unit.lab.test_network_partition import Api, pod

_COUNT = "import itertools, time\nfor n in itertools.count(): print(n, flush=True); time.sleep(0.01)"
_UNIFIED = Path("/sys/fs/cgroup/unified")


@dataclass
class Counting:
    """A process in the control group of a container of a pod, that writes a line every 10 ms."""

    group: Path
    process: subprocess.Popen[bytes]
    output: Path

    def goes_on(self) -> bool:
        """Whether it wrote within half a second."""
        before = self.output.stat().st_size
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            if self.output.stat().st_size > before:
                return True
            time.sleep(0.02)
        return False


@contextlib.contextmanager
def counting(pod_group: Path, output: Path) -> Iterator[Counting]:
    """The process, until the block ends; its groups are removed."""
    container = pod_group / "container"
    container.mkdir(parents=True)
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", _COUNT], stdout=file, stdin=subprocess.DEVNULL)
    (container / "cgroup.procs").write_text(str(process.pid))
    counter = Counting(pod_group, process, output)
    try:
        deadline = time.monotonic() + 10
        while not counter.goes_on():
            assert time.monotonic() < deadline, "it must count before it can stop"
        yield counter
    finally:
        for version in (1, 2):
            with contextlib.suppress(OSError):
                Group(pod_group, version).ask(frozen=False)
        process.kill()
        process.wait(60)
        for folder in (container, pod_group, *list(pod_group.parents)[:3]):
            with contextlib.suppress(OSError):
                folder.rmdir()


@pytest.fixture(params=["as the machine has it", "unified"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of a lab's control groups; the second time in a hierarchy of version 2, where the machine has one."""
    instance = f"test-{uuid4().hex[:8]}"
    if request.param == "unified" and network.cgroup_version() == 1:
        assert _UNIFIED.is_dir(), "a machine with version 1 has version 2 beside it since systemd mounts both"
        monkeypatch.setattr(network, "_CGROUPS", _UNIFIED)
        assert network.cgroup_version() == 2
    folder = network.cgroup_root("freezer") / f"obs-{instance}"
    yield folder
    for left in sorted(folder.rglob("*/"), reverse=True):
        with contextlib.suppress(OSError):
            left.rmdir()
    with contextlib.suppress(OSError):
        folder.rmdir()


def instance(root: Path) -> str:
    return root.name.removeprefix("obs-")


def test_a_frozen_pod_stands_still_and_goes_on_where_it_was(root: Path, tmp_path: Path) -> None:
    with (
        counting(root / "kubepods" / "burstable" / "poduid-one", tmp_path / "one") as one,
        counting(root / "kubepods" / "poduid-two", tmp_path / "two") as two,
    ):
        assert set(disruptions.pods(instance(root))) == {"uid-one", "uid-two"}
        assert disruptions.freeze(instance(root), ("uid-one", "uid-gone")) == 1
        assert one.goes_on() is False
        eventually(two.goes_on, 60, "another pod goes on")
        assert disruptions.freeze(instance(root), ("uid-one",)) == 0, "what stands still is not counted twice"
        disruptions.thaw(instance(root), ("uid-two",))
        assert one.goes_on() is False, "another pod's thawing must not reach it"
        disruptions.thaw(instance(root), ("uid-one",))
        eventually(one.goes_on, 60, "it goes on")
        lines = one.output.read_text().split()
        assert lines == [str(number) for number in range(len(lines))], "no count may be lost"


def test_everything_goes_on_before_a_lab_is_removed(root: Path, tmp_path: Path) -> None:
    with counting(root / "kubepods" / "besteffort" / "poduid-one", tmp_path / "one") as one:
        disruptions.freeze(instance(root), ("uid-one",))
        one.process.kill()
        disruptions.thaw_all(instance(root))
        assert one.process.wait(60) == -9
    disruptions.thaw_all("nosuch")


def test_pods_that_do_not_stand_still_in_time_are_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disruptions, "_LIMIT_S", 0.3)
    monkeypatch.setattr(Group, "ask", lambda *_, **__: None)
    with (
        counting(root / "kubepods" / "poduid-one", tmp_path / "one"),
        pytest.raises(LabError, match=r"^waited 0 s for 1 pods to stand still: it did not happen$"),
    ):
        disruptions.freeze(instance(root), ("uid-one",))


def test_healing_restores_also_what_no_file_remembers(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(disruptions, "_nft", lambda _: None)
    paths = LabPaths(instance(root))
    with (
        counting(root / "kubepods" / "poduid-one", tmp_path / "one") as one,
        counting(root / "kubepods" / "poduid-other", tmp_path / "other") as other,
    ):
        api = Api()
        api.pods = _pods()
        disruptions.partition(paths, api, "obs-local", freeze=True)
        disruptions.partition(paths, api, "obs-local-dr", freeze=True)
        assert (one.goes_on(), other.goes_on()) == (False, False)
        (paths.state / "partitions" / "obs-local.json").unlink()
        assert disruptions.reconnect(paths, "obs-local") is False
        assert (one.goes_on(), other.goes_on()) == (True, False), "what belongs to another cut stays"
        disruptions.partition(paths, api, "obs-local-dr", freeze=False)
        assert other.goes_on(), "partitioned without freezing means that it goes on"
        assert disruptions.reconnect(paths, "obs-local-dr") is True
    assert os.listdir(paths.state / "partitions") == ["lock"]


def _pods() -> list[Object]:
    return [pod("one", "10.88.0.11"), pod("other", "10.88.0.21", "obs-local-dr")]
