"""Running a drill: within its time, alone, put back when ended; and what its end means."""

from __future__ import annotations

import io
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ops.core import kube, terminal
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.core.terminal import clock
from ops.drills import run as module_shown
from ops.drills.run import DrillProgress, Outcome, alone, find, reasons, run

LIMIT_S = 60.0


def written(folder: Path, body: str) -> list[str]:
    """Command line of a process that is really run."""
    (folder / "made_up.py").write_text(textwrap.dedent(body))
    return [sys.executable, str(folder / "made_up.py")]


def carried_out(folder: Path, body: str, limit_s: float = LIMIT_S, put_back_s: float = 30.0) -> Outcome:
    command = written(folder, body)
    return run(command, limit_s, folder / "log", cwd=folder, put_back_s=put_back_s)


def test_a_process_that_passes(tmp_path: Path) -> None:
    beats: list[float] = []
    command = written(tmp_path, "import time\ntime.sleep(1.2)\nprint('said so')\nprint('PASSED it')\n")
    outcome = run(command, LIMIT_S, tmp_path / "log", beats.append, cwd=tmp_path, put_back_s=30.0)
    assert outcome.passed
    assert outcome.reasons == ()
    assert 1.2 <= outcome.seconds < LIMIT_S
    assert beats == sorted(beats)
    assert beats
    assert "said so" in (tmp_path / "log").read_text()


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, "import sys\nprint('PROBLEM 3 missing')\nsys.exit(1)\n")
    assert not outcome.passed
    assert outcome.reasons == ("3 missing",)


def test_a_process_that_does_not_get_as_far_as_the_drill_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"the drill did not run \(exit code 2\): ERROR: no stack; full output: .*log"):
        carried_out(tmp_path, "import sys\nprint('ERROR: no stack')\nprint('later')\nsys.exit(2)\n")


def test_a_process_that_crashes_in_the_drill_is_a_failed_run(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    assert not outcome.passed
    assert outcome.reasons == ("ended by SIGSEGV before it could put back what it took away",)


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(300)"
    )
    began = time.monotonic()
    outcome = run([sys.executable, "-c", stubborn], 1.0, tmp_path / "log", cwd=tmp_path, put_back_s=1.0)
    assert not outcome.passed
    assert time.monotonic() - began < 60


def test_one_drill_at_a_time(tmp_path: Path) -> None:
    def second() -> None:
        with alone("gateway", tmp_path):
            raise AssertionError("two at the same time")

    with (
        alone("broker", tmp_path),
        pytest.raises(OpsError, match=r"another drill is running: broker, process \d+; wait"),
    ):
        second()
    with alone("gateway", tmp_path):
        pass


def test_reasons_are_the_first_of_what_failed_each_once() -> None:
    assert reasons(["PROBLEM 3 missing", "no PROBLEM", "PROBLEM 3 missing", "PROBLEM "]) == ["3 missing"]
    assert reasons([f"PROBLEM  {text}" for text in "abcd"]) == ["a", "b", "c"]


def test_threads_of_a_scheduler_may_run_it(tmp_path: Path) -> None:
    """Signals can be set in the main thread only; elsewhere a drill runs without."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(carried_out(tmp_path, "print('PASSED it')\n")))
    thread.start()
    thread.join(60)
    assert outcomes
    assert outcomes[0].passed


def test_steps_of_the_drill_are_told_while_it_runs(tmp_path: Path) -> None:
    body = """
        import time
        from ops.core.terminal import say

        say("killing a  broker")
        time.sleep(1.5)
        say("waiting for it")
        print("PASSED it")
        """
    out = io.StringIO()
    drill = replace(find("broker"), seconds=60)
    command = written(tmp_path, body)
    with DrillProgress(drill, Console(file=out, soft_wrap=True)) as shown:
        shown.say("checking the steady state")
        variables = {terminal.FILE: str(shown.steps), "PYTHONPATH": str(PROJECT)}
        assert run(
            command, LIMIT_S, tmp_path / "log", shown.beat, cwd=tmp_path, put_back_s=30.0, variables=variables
        ).passed
        shown.beat(2.0)
    lines = out.getvalue().splitlines()
    assert [line.partition(": ")[2].partition(": ")[2] for line in lines if line.startswith("broker: ")] == [
        "checking the steady state",
        "killing a broker",
        "waiting for it",
    ]


def test_what_is_silent_is_told_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [0.0]
    monkeypatch.setattr(module_shown, "time", SimpleNamespace(monotonic=lambda: clock_s[0]))
    out = io.StringIO()
    drill = replace(find("broker"), seconds=60)
    with DrillProgress(drill, Console(file=out, soft_wrap=True)) as shown:
        shown.say("killing a broker")
        for clock_s[0], second in ((29.0, 5.0), (31.0, 6.0), (60.0, 7.0), (62.0, 70.0)):
            shown.beat(second)
    assert [line for line in out.getvalue().splitlines() if "still running" in line] == [
        "broker: 6 s: still running: killing a broker; about 54 s left",
        f"broker: 1 min 10 s: still running: killing a broker; longer than usual, stopped at {clock(drill.limit_s)}",
    ]


def test_a_wait_is_a_step_once_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "_TOLD_AFTER_S", 0.1)
    told: list[str] = []
    answers = iter([False, False, False, True, True])
    with terminal.heard(told.append):
        kube.wait_until(lambda: next(answers), 10, "three pods", 0.1)
        kube.wait_until(lambda: next(answers), 10, "nothing", 0.1)
    assert told == ["waiting for three pods, 10 s at most"]


def test_a_step_that_cannot_be_told_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(terminal.FILE, str(tmp_path / "not" / "there"))
    terminal.say("x")
    file = tmp_path / "steps"
    reader = terminal.Reader(file)
    monkeypatch.setenv(terminal.FILE, str(file))
    terminal.say("one\ntwo " + 300 * "x")
    with file.open("a") as half:
        half.write("not whole")
    assert reader.new() == [("one two " + 300 * "x")[:200]]
    assert reader.new() == []
