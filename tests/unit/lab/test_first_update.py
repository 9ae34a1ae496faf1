"""A stack's first update saves its state at the end only; one that was killed before that is said, and cleared away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lab import LabError, environment
from lab import stack as stack_module
from lab.cluster import lifecycle
from lab.paths import LabPaths
from lab.stack import Stack
from tests.unit.lab.pulumi_process import processes

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
    monkeypatch.setattr(stack_module.subprocess, "Popen", processes(pulumi))
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


def _lock(locks: Path, pid: object) -> None:
    (locks / "local").mkdir(parents=True, exist_ok=True)
    (locks / "local" / "one.json").write_text(json.dumps({"pid": pid, "username": "root", "hostname": "here"}))


def test_an_update_that_runs_is_not_cancelled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pulumi").symlink_to("/bin/sleep")
    with subprocess.Popen([tmp_path / "pulumi", "600"]) as update:
        chosen, pulumi, locks = stack(monkeypatch, {"resources": []})
        try:
            # The kernel names a process a moment after its files are closed, which is what Popen waits for.
            deadline = time.monotonic() + 60
            while Path(f"/proc/{update.pid}/comm").read_text().strip() != "pulumi" and time.monotonic() < deadline:
                time.sleep(0.01)
            _lock(locks, update.pid)
            with pytest.raises(LabError) as raised:
                chosen.ensure()
        finally:
            update.kill()
    assert str(raised.value) == (
        f"an update of local runs already (process {update.pid}): repeat the command once it has ended"
    )
    assert "cancel" not in pulumi.called()
    chosen.ensure()
    assert "cancel" in pulumi.called()


@pytest.mark.parametrize("pid", ["this one", "x", None, 4194305])
def test_a_lock_of_another_process_is_left_by_an_update_that_was_killed(
    monkeypatch: pytest.MonkeyPatch, pid: object
) -> None:
    chosen, pulumi, locks = stack(monkeypatch, {"resources": []})
    _lock(locks, os.getpid() if pid == "this one" else pid)
    chosen.ensure()
    assert "cancel" in pulumi.called()


def _begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    """A program in Pulumi's place that finishes what is under way: where it says so, and where that it runs."""
    said, begun = tmp_path / "said", tmp_path / "begun"
    program = tmp_path / "pulumi"
    program.write_text(FINISHES.format(python=sys.executable, said=str(said), begun=str(begun)))
    program.chmod(0o755)
    popen = subprocess.Popen
    stack(monkeypatch, {})
    monkeypatch.setattr(stack_module.subprocess, "Popen", popen)
    monkeypatch.setattr(environment, "variables", lambda _: {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    monkeypatch.setattr(stack_module, "_UPDATE_LIMIT_S", 60.0)
    return said, begun


def _interrupt_after(begun: Path) -> None:
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    signal.raise_signal(signal.SIGINT)


FINISHES = """#!{python}
import signal, sys, time
def end(number, frame):
    time.sleep(1)
    open({said!r}, "a").write("finished")
    sys.exit(3)
signal.signal(signal.SIGINT, end)
open({begun!r}, "w").close()
time.sleep(600)
"""


@pytest.mark.parametrize("limit_s", [None, 1.0])
def test_pulumi_finishes_what_is_under_way_when_it_is_interrupted_or_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], limit_s: float | None
) -> None:
    said, begun = _begin(monkeypatch, tmp_path)
    if limit_s is None:
        interrupting = threading.Thread(target=_interrupt_after, args=(begun,))
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            Stack(LabPaths("x")).preview()
        interrupting.join(60)
        assert "is asked to end, which it does once what is under way is finished" in capfd.readouterr().err
    else:
        monkeypatch.setattr(stack_module, "_UPDATE_LIMIT_S", limit_s)
        with pytest.raises(LabError, match=r"^pulumi preview of local took over 1 s and was ended$"):
            Stack(LabPaths("x")).preview()
    assert said.read_text() == "finished"


def test_pulumi_that_is_interrupted_while_it_starts_is_asked_to_end_as_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said, begun = _begin(monkeypatch, tmp_path)

    class Interrupted(subprocess.Popen[str]):
        """Pulumi runs, and nobody but this call knows of it."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            _interrupt_after(begun)

    monkeypatch.setattr(stack_module.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        Stack(LabPaths("x")).preview()
    assert said.read_text() == "finished"
    assert "is asked to end, which it does once what is under way is finished" in capfd.readouterr().err
