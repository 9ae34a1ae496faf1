"""What must not stay half done is not interrupted, and the interruption has its effect afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod
from ops.core.platform import PROJECT
from ops.core.terminal import uninterrupted
from ops.drills.tools import disks, faults, outside
from ops.drills.tools.faults import put_back

WAIT_S = 60.0
PULUMI = """#!/bin/sh
trap 'sleep 1; echo given back >> {told}; exit 1' INT
echo began >> {told}
while true; do sleep 0.1; done
"""
STUBBORN = """#!/bin/sh
trap '' INT
echo began >> {told}
while true; do sleep 0.1; done
"""
COMMAND = "from ops.core import pulumi; pulumi.up()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {
        signal_number: signal.signal(signal_number, interrupt) for signal_number in (signal.SIGINT, signal.SIGTERM)
    }
    steps: list[str] = []

    def work() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            signal.raise_signal(signal.SIGINT)
            steps.append("put back")
        steps.append("went on")

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert steps == ["put back"]
        assert {signal.getsignal(signal_number) for signal_number in before} == {interrupt}
    finally:
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)


def test_nothing_is_held_back_where_no_signal_comes() -> None:
    steps: list[str] = []

    def work() -> None:
        with uninterrupted():
            steps.append("worked")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(WAIT_S)
    assert steps == ["worked"]


def test_what_fails_is_put_back_again_and_then_left_to_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_PAUSE_S", 0.0)
    answers: list[OpsError | None] = [OpsError("no answer"), OpsError("no answer"), None]

    def action() -> None:
        if (problem := answers.pop(0)) is not None:
            raise problem

    put_back("the pods", action)
    assert answers == []
    answers = [OpsError("no answer")] * 3
    with pytest.raises(OpsError, match=r"^the pods is still away, put it back by hand: no answer$"):
        put_back("the pods", action)


class Scaling:
    """A cluster that does what it is told and loses some of its answers."""

    def __init__(self, *lost: int) -> None:
        self.told: list[int] = []
        self._lost = lost

    def scale(self, _: str, replicas: int) -> None:
        self.told.append(replicas)
        if len(self.told) in self._lost:
            raise OpsError("no answer in 15 s")


def test_what_was_scaled_although_nobody_said_so_is_scaled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_PAUSE_S", 0.0)
    cluster = Scaling(1, 2)
    with pytest.raises(OpsError, match="no answer"), faults.scaled(cast(Kube, cluster), "kafka", 0, 3):
        pytest.fail("it was not scaled, as far as anybody knows")
    assert cluster.told == [0, 3, 3]


def test_a_process_that_ended_meanwhile_leaves_no_other_one_standing(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        gone = subprocess.Popen(["true"])
        gone.wait(WAIT_S)
        monkeypatch.setattr(faults, "processes_of", lambda _: [gone.pid, process.pid])
        pod = cast(Pod, SimpleNamespace(name="kafka-0"))
        with faults.frozen(pod):
            assert state(process.pid) == "T"
        assert state(process.pid) in "SR"
        process.kill()


def state(process_id: int) -> str:
    """State of a process, as the kernel abbreviates it, a moment later."""
    time.sleep(0.1)
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_folder_keeps_what_it_has_unless_all_of_the_other_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, disk = tmp_path / "volume", tmp_path / "disk"
    for folder, content in ((volume, "old"), (disk, "new")):
        (folder / "topic").mkdir(parents=True)
        (folder / "topic" / "log").write_text(content)
    (volume / "gone").write_text("")
    run: Any = disks._run

    def full(*command: str) -> str:
        run(*command)
        raise OpsError("cp failed: no space left on device")

    monkeypatch.setattr(disks, "_run", full)
    with pytest.raises(OpsError, match="no space left"):
        disks.replaced(disk, volume)
    assert (volume / "topic" / "log").read_text() == "old"
    monkeypatch.setattr(disks, "_run", run)
    disks.replaced(disk, volume)
    assert {path.name for path in volume.rglob("*")} == {"topic", "log"}
    assert (volume / "topic" / "log").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"volume", "disk"}


@pytest.mark.parametrize("begins", [False, True])
def test_a_volume_is_given_back_also_where_its_pod_begins_meanwhile(
    begins: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, volume = cast(Pod, SimpleNamespace(name="kafka-0")), disks.Volume(tmp_path / "folder", tmp_path / "place")
    done: list[str] = []
    looks = iter([[], [7] if begins else [], [7], [7]])

    @contextmanager
    def frozen(_: object) -> Iterator[None]:
        done.append("freeze")
        yield

    def run(*words: str) -> str:
        done.append(words[0])
        return ""

    monkeypatch.setattr(disks, "_now", lambda *_: pod)
    monkeypatch.setattr(disks, "processes_of", lambda _: next(looks))
    monkeypatch.setattr(disks, "groups", list)
    monkeypatch.setattr(disks, "groups_frozen", frozen)
    monkeypatch.setattr(disks, "_is_mounted", lambda *_: done.count("umount") <= done.count("mount"))
    monkeypatch.setattr(disks, "replaced", lambda *_: done.append("copy"))
    monkeypatch.setattr(disks, "_run", run)
    monkeypatch.setattr(disks, "kill", lambda *_: done.append("kill"))
    monkeypatch.setattr(faults, "_PAUSE_S", 0.0)
    put_back("the volume", lambda: disks._give_back(cast(Kube, None), pod, Path("/dev/loop0"), volume))
    assert done[:2] == ["copy", "umount"]
    assert done[2:] == (["mount", "freeze", "copy", "umount", "kill"] if begins else [])


def test_what_is_mounted_from_a_device_is_known(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "36 35 7:3 / /pods/volume rw,relatime shared:1 - ext4 /dev/loop3 rw\n"
        "37 35 8:1 /storage /pods/other rw,relatime - ext4 /dev/vda rw\n"
    )
    assert disks._is_mounted(Path("/dev/loop3"), Path("/pods/volume"), table)
    assert not disks._is_mounted(Path("/dev/loop3"), Path("/pods/other"), table)
    assert not disks._is_mounted(Path("/dev/loop4"), Path("/pods/volume"), table)


OPERATED = """
import signal, sys, time
from pathlib import Path
told = Path(sys.argv[-1])
def asked(*_):
    time.sleep(0.3)
    told.write_text("put back")
    sys.exit(130)
signal.signal(signal.SIGINT, asked)
told.write_text("begun")
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["interrupt", "limit"])
def test_a_command_that_a_drill_gives_may_put_back_what_it_has_begun(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, program, shell = tmp_path / "told", tmp_path / "ops.py", tmp_path / "python"
    program.write_text(OPERATED)
    shell.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
    shell.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shell))

    def interrupt() -> None:
        deadline = time.monotonic() + WAIT_S
        while not told.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if how == "interrupt":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt if how == "interrupt" else OpsError):
        outside.ops("rotate", str(told), limit_s=WAIT_S if how == "interrupt" else 3.0)
    thread.join()
    assert told.read_text() == "put back"


def command(tmp_path: Path, script: str, code: str = COMMAND) -> tuple[list[str], dict[str, str], Path]:
    """A command that brings a stack up with a program in Pulumi's place, and the file of what that told."""
    told = tmp_path / "told"
    program = tmp_path / "pulumi"
    program.write_text(script.format(told=told))
    program.chmod(0o755)
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    return [sys.executable, "-c", code], {**os.environ, "PATH": path, "TMPDIR": str(tmp_path)}, told


def began(told: Path) -> None:
    """Wait until Pulumi runs."""
    deadline = time.monotonic() + WAIT_S
    while not told.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_an_interrupted_update_ends_by_itself_and_gives_its_lock_back(tmp_path: Path) -> None:
    words, environment, told = command(tmp_path, PULUMI)
    with subprocess.Popen(
        words, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as up:
        began(told)
        os.killpg(up.pid, signal.SIGINT)
        time.sleep(0.3)
        os.killpg(up.pid, signal.SIGINT)
        _, error = up.communicate(timeout=WAIT_S)
    assert told.read_text().split("\n") == ["began", "given back", ""]
    assert up.returncode != 0
    assert error.rstrip().endswith("KeyboardInterrupt")


def test_an_update_that_takes_too_long_is_asked_to_end_before_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for script, problem in (
        (PULUMI, r"`pulumi up` did not end in 1 s: what it said is in "),
        (
            STUBBORN,
            r"`pulumi up` did not end in 1 s, nor 2 s after it was asked to \(where .*: `pulumi cancel`\): what",
        ),
    ):
        folder = tmp_path / str(len(problem))
        folder.mkdir()
        _, environment, told = command(folder, script)
        monkeypatch.setenv("PATH", environment["PATH"])
        monkeypatch.setattr(pulumi, "UP_LIMIT_S", 1.0)
        monkeypatch.setattr(pulumi, "ENDS_S", 2.0)
        with pytest.raises(OpsError, match=problem):
            pulumi.up()
        assert ("given back" in told.read_text()) is (script == PULUMI)
