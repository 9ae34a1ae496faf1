"""A drill in a process of its own: what it tells, what it leaves as evidence, and that it puts back what it took."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.drills import procedure
from ops.drills import run as runner
from ops.drills.procedure import CannotRunError, carry_out, is_settled, load
from ops.drills.run import Outcome, command_of, find, run
from ops.drills.tools import durations
from ops.evidence import files as evidence

LIMIT_S = 300.0
NAME = "two-brokers-killed"
GOOD = "figures |= {'gateway missing': 0, 'producer missing': 0}"
CHILD = f"""
    import sys
    from dataclasses import replace
    from pathlib import Path
    from types import SimpleNamespace
    from ops.drills import procedure
    from ops.drills.run import find, main

    drill = replace(find("two-brokers"), procedure="made_up:drill", evidence={NAME!r})
    here = SimpleNamespace(kube=None)
    sys.exit(main(drill, lambda drill: procedure.carry_out(drill, here, Path(__file__).parent / "runs")))
    """
HEAD = """
    import signal
    import time
    from pathlib import Path
    from ops.core.errors import OpsError
    from ops.core.terminal import say
    from ops.drills.procedure import CannotRunError

    def drill(context, figures):
"""


def written(folder: Path, *body: str) -> list[str]:
    """Command line of a process that carries out a drill with such a body."""
    lines = [f"        {line}" for line in textwrap.dedent("\n".join(body)).splitlines()]
    (folder / "made_up.py").write_text(textwrap.dedent(HEAD + "\n".join(lines)))
    (folder / "child.py").write_text(textwrap.dedent(CHILD))
    return [sys.executable, str(folder / "child.py")]


def carried_out(
    folder: Path, *body: str, limit_s: float = LIMIT_S, beat: Callable[[float], None] = lambda _: None
) -> Outcome:
    # Bytecode of one body would be taken for that of the next, where both are as long and written within a second.
    variables = {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(folder)]), "PYTHONDONTWRITEBYTECODE": "1"}
    command = written(folder, *body)
    return run(command, limit_s, folder / "log", beat, put_back_s=30.0, variables=variables)


def left(folder: Path) -> evidence.Evidence | None:
    return evidence.newest(NAME, folder / "runs")


def test_the_process_of_a_drill_with_a_procedure_needs_no_pytest() -> None:
    assert command_of(find("erasure")) == [sys.executable, "-m", "ops.drills.run", "erasure"]
    program = "import sys, ops.drills.run; sys.exit('pytest' in sys.modules or 'tests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT, timeout=LIMIT_S).returncode == 0


def test_a_drill_that_passes_leaves_its_figures(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, "print('said so')", GOOD, "return []")
    assert outcome.passed
    assert outcome.reasons == ()
    assert "said so" in outcome.log.read_text()
    recorded = left(tmp_path)
    assert recorded is not None
    assert (recorded.passed, recorded.problems) == (True, ())
    assert recorded.figures == {"gateway missing": 0, "producer missing": 0}
    assert recorded.seconds is not None
    drill = find("two-brokers")
    assert (recorded.settings["load"], recorded.settings["fault"]) == (drill.load, drill.fault)
    assert recorded.settings["durations"]["TWO_BROKERS_DOWN"] == durations.TWO_BROKERS_DOWN


def test_a_drill_that_fails_says_why_and_so_does_its_evidence(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, GOOD, "return ['3 of 9 records missing', 'producers did not recover']")
    assert not outcome.passed
    assert outcome.reasons == ("3 of 9 records missing", "producers did not recover")
    recorded = left(tmp_path)
    assert recorded is not None
    assert (recorded.passed, recorded.problems) == (False, outcome.reasons)


def test_a_target_of_the_catalog_that_is_missed_fails_it(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, "figures |= {'gateway missing': 2, 'producer missing': 0}", "return []")
    assert not outcome.passed
    assert outcome.reasons == ("gateway missing is 2, must be exactly 0",)


def test_a_wait_in_vain_is_a_problem_of_the_platform(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, GOOD, "raise OpsError('waited 300 s in vain for 3 ready pods of kafka')")
    assert outcome.reasons == ("waited 300 s in vain for 3 ready pods of kafka",)
    assert "Traceback" not in outcome.log.read_text()
    recorded = left(tmp_path)
    assert recorded is not None
    assert recorded.problems == outcome.reasons


def test_a_fault_of_the_drill_itself_is_in_the_log(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, GOOD, "return [1 / 0]")
    assert outcome.reasons == ("ZeroDivisionError: division by zero",)
    assert "Traceback" in outcome.log.read_text()
    recorded = left(tmp_path)
    assert recorded is not None
    assert recorded.problems == outcome.reasons


def test_a_thread_that_ends_by_an_error_fails_the_drill(tmp_path: Path) -> None:
    start = "thread = threading.Thread(target=lambda: [][0], name='load-3')"
    outcome = carried_out(tmp_path, "import threading", GOOD, start, "thread.start()", "thread.join()", "return ['a']")
    assert outcome.reasons == ("a", "load-3 ended: IndexError: list index out of range")
    assert "Traceback" in outcome.log.read_text()


def test_what_cannot_run_here_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(
        OpsError, match=r"the drill did not run \(exit code 2\): ERROR: nobody is notified; full output: "
    ):
        carried_out(tmp_path, "raise CannotRunError('nobody is notified')")
    assert left(tmp_path) is None


def test_what_is_no_longer_here_after_something_was_measured_fails_the_run(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, "figures['steps'] = ['kafka-0 frozen']", "raise CannotRunError('0 of 1 pods run')")
    assert not outcome.passed
    assert "0 of 1 pods run" in outcome.reasons
    recorded = left(tmp_path)
    assert recorded is not None
    assert recorded.problems == outcome.reasons


def test_a_process_that_ends_without_a_word_has_not_passed(tmp_path: Path) -> None:
    outcome = carried_out(tmp_path, "import os", "os._exit(0)")
    assert not outcome.passed
    assert outcome.reasons == ("it exited without a result",)
    with pytest.raises(OpsError, match=r"the drill did not run \(exit code 9\)"):
        carried_out(tmp_path, "import os", "os._exit(9)")


PUTS_BACK = """
    taken = Path(__file__).with_name("taken")
    try:
        taken.touch()
        time.sleep(600)
    finally:
        time.sleep(0.5)
        taken.unlink()
    return []
    """


def test_one_that_takes_too_long_is_ended_and_puts_back_what_it_took(tmp_path: Path) -> None:
    began: list[float] = []

    def beat(_: float) -> None:
        if (tmp_path / "taken").exists():
            began.append(1.0)

    # Most of the time goes into starting the process, and a busy machine takes longer for it.
    limit_s = round(10 + 4 * carried_out(tmp_path, GOOD, "return []").seconds)
    outcome = carried_out(tmp_path, PUTS_BACK, limit_s=limit_s, beat=beat)
    assert began, "it took nothing within its time"
    assert not outcome.passed
    assert outcome.reasons == (f"timed out after {limit_s} s",)
    assert not (tmp_path / "taken").exists()
    assert "interrupted: what was taken away was put back" in outcome.log.read_text()
    (only,) = evidence.read(NAME, tmp_path / "runs").runs
    assert only.passed, "the run that was ended left evidence"


def test_an_interruption_ends_it_and_it_puts_back_what_it_took(tmp_path: Path) -> None:
    def interrupt(_: float) -> None:
        if (tmp_path / "taken").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carried_out(tmp_path, PUTS_BACK, beat=interrupt)
    assert not (tmp_path / "taken").exists()
    assert left(tmp_path) is None


def test_a_second_signal_does_not_stop_what_puts_things_back(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(tmp_path)])}
    with subprocess.Popen(written(tmp_path, PUTS_BACK), cwd=PROJECT, env=environment) as child:
        deadline = time.monotonic() + LIMIT_S
        while not (tmp_path / "taken").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        child.send_signal(signal.SIGTERM)
        assert child.wait(LIMIT_S) == runner.INTERRUPTED
    assert not (tmp_path / "taken").exists()


def test_a_procedure_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    for name in ("ops.drills.gone:drill", "ops.drills.procedure:gone", "ops.drills.procedure", ""):
        with pytest.raises(CannotRunError, match="cannot be carried out"):
            load(name)
    drill = replace(find("erasure"), procedure="ops.drills.gone:drill")
    with pytest.raises(CannotRunError):
        carry_out(drill, cast(Context, SimpleNamespace(kube=None)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_platform_that_does_not_answer_or_settle_gets_no_drill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def silent() -> Any:
        raise OpsError("the stack has no outputs")

    monkeypatch.setattr(runner.platform_module, "load", silent)
    try:
        assert runner.main(find("erasure")) == runner.NOT_RUN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().out == "ERROR: the stack has no outputs\n"


@pytest.mark.parametrize(("ready", "in_sync", "settled"), [(True, 3, True), (False, 3, False), (True, 2, False)])
def test_settled_is_every_pod_ready_and_every_replica_in_sync(ready: bool, in_sync: int, settled: bool) -> None:
    pods = [SimpleNamespace(workload="kafka", ready=ready), SimpleNamespace(workload="", ready=False)]
    topics = {"alerts-raw": SimpleNamespace(in_sync=(in_sync,), replicas=(3,))}
    platform = SimpleNamespace(kube=SimpleNamespace(pods=lambda: pods), kafka=SimpleNamespace(topics=lambda: topics))
    assert is_settled(cast(Context, platform)) is settled
    assert procedure.SETTLED_S == 300
