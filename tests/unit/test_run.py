"""Running the tests: what fails fails, only what is listed is run twice, everything ends and is told line by line."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests import conftest, flaky, reporting, run, seconds
from tests.e2e.core import CORE
from tests.flaky import Entry, ListError
from tests.run import Beside, Job

TODAY = date(2026, 11, 27)
ENTRY = Entry(test="tests/unit/test_run.py::test_the_committed_list_holds", since=TODAY, reason="made up")
SECOND_TIME = """
from pathlib import Path

def test_second_time():
    mark = Path(__file__).with_name("ran")
    before = mark.exists()
    mark.touch()
    assert before
"""
NEVER = "def test_never():\n    assert False\n"
PASSES = "def test_fine():\n    pass\n"


def test_the_committed_list_holds() -> None:
    assert flaky.problems(flaky.read(), date.today(), run.ROOT) == []


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([ENTRY] * (flaky.MOST + 1), f"{flaky.MOST + 1} tests are listed, at most {flaky.MOST} may be"),
        ([Entry(ENTRY.test, TODAY - flaky.LONGEST - timedelta(1), "x")], "over 60 days: mend it"),
        ([Entry(ENTRY.test, TODAY + timedelta(1), "x")], "which is still to come"),
        ([Entry("tests/unit/test_run.py::test_gone", TODAY, "x")], "there is no such test"),
        ([Entry("tests/unit/test_run.py", TODAY, "x")], "there is no such test"),
        ([ENTRY, ENTRY], "is listed 2 times"),
    ],
)
def test_a_list_has_bounds(entries: list[Entry], problem: str) -> None:
    assert problem in "\n".join(flaky.problems(entries, TODAY, run.ROOT))
    assert flaky.problems([ENTRY], TODAY, run.ROOT) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "cannot be read"),
        ("other: []", "expected one key, tests"),
        ("tests: 1", "expected one key, tests"),
        ("tests: [{test: a, since: 2026-11-27}]", "exactly test, since, reason"),
        ("tests: [{test: a, since: soon, reason: b}]", "is no date"),
        ("tests: [{test: a, since: 2026-11-27, reason: ' '}]", "reason of 'a' is empty"),
    ],
)
def test_a_spoilt_list_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "flaky.yaml"
    file.write_text(text)
    with pytest.raises(ListError, match=problem) as caught:
        flaky.read(file)
    assert "\n" not in str(caught.value)


@pytest.mark.promise
def test_a_test_that_shows_a_promise_cannot_be_listed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flaky, "read", lambda: (Entry(request.node.nodeid, TODAY, "x"),))
    with pytest.raises(pytest.UsageError, match=r"lists what shows a promise: .*mend it instead"):
        conftest.pytest_collection_modifyitems([request.node])


def test_every_end_to_end_test_shows_a_promise() -> None:
    command = [sys.executable, "-m", "pytest", "tests/e2e", "--collect-only", "-q", "-m", "not promise"]
    said = subprocess.run(command, cwd=run.ROOT, capture_output=True, text=True, timeout=280).stdout
    match = re.search(r"no tests collected \((\d+) deselected\)", said)
    assert match, said
    assert int(match[1]) >= len(CORE)


def test_what_asserts_a_time_is_marked() -> None:
    """A bound under a minute is the time promised; a longer one ends a hang (docs/adr/0030)."""
    marked, unmarked = run.timed_files(), []
    for place in (*run.COMPUTING, *run.WAITING):
        for file in (run.ROOT / place).rglob("test_*.py"):
            name, text = str(file.relative_to(run.ROOT)), file.read_text()
            if name not in marked and _asserts_a_time(text):
                unmarked.append(name)
    assert unmarked == [], f"mark them (pytestmark = pytest.mark.{run.TIMED}), or let the bound end a hang only"


def _asserts_a_time(text: str) -> bool:
    """Whether a file does; only what has the words for it is parsed."""
    if "monotonic" not in text and "promised" not in text:
        return False
    return any(_is_short(node, text) for node in ast.walk(ast.parse(text)))


def _is_short(node: ast.AST, text: str) -> bool:
    """Whether it compares a time that passed with less than a minute, or waits for what is promised."""
    if isinstance(node, ast.keyword):
        return node.arg == "promised" and isinstance(node.value, ast.Constant) and node.value.value is True
    if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare):
        return False
    bound = ast.unparse(node.test.comparators[-1])
    if not ast.unparse(node.test.left).startswith("time.monotonic() - ") or not isinstance(node.test.ops[-1], ast.Lt):
        return False
    constant = re.search(rf"^{re.escape(bound)} = ([\d.]+)$", text, re.MULTILINE)
    try:
        return float(constant[1] if constant else bound) < 60
    except ValueError:
        return True


def test_a_bound_is_told_from_a_promise() -> None:
    assert _asserts_a_time("assert time.monotonic() - began < 5")
    assert _asserts_a_time("FAST_S = 5\nassert time.monotonic() - began < FAST_S")
    assert _asserts_a_time("assert time.monotonic() - began < both.delay_s")
    assert _asserts_a_time("eventually(f, 5, 'x', promised=True)")
    assert not _asserts_a_time("assert time.monotonic() - began < 60")
    assert not _asserts_a_time("LIMIT_S = 60.0\nassert time.monotonic() - began < LIMIT_S")
    assert not _asserts_a_time("assert time.monotonic() - began > 5")


Judge = Callable[..., tuple[int, str]]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Judge:
    """Runs test files, given by their text, as `make test` does; exit code and what was said."""
    monkeypatch.setenv("OBS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(run.ROOT))
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\nmarkers = \n  e2e: x\n  drill: x\n")
    monkeypatch.setattr(run, "ROOT", project)

    def judged(listed: str = "", **files: str) -> tuple[int, str]:
        for name, text in files.items():
            (project / f"test_{name}.py").write_text(text)
        monkeypatch.setattr(flaky, "read", lambda: (Entry(listed, TODAY, "made up"),) if listed else ())
        return run._judged([[run._tests("tests", ["."], 1, tmp_path)]], 100, "make test"), capfd.readouterr().out

    return judged


def test_all_pass(judge: Judge) -> None:
    code, said = judge(a=PASSES)
    assert code == 0
    assert said.splitlines()[-1] == "1 passed, 0 failed"


def test_what_fails_is_not_run_again(judge: Judge) -> None:
    code, said = judge(a=PASSES, b=SECOND_TIME)
    assert code == 1
    assert "failed: test_b.py::test_second_time" in said
    assert "once more" not in said
    assert said.splitlines()[-1] == "1 passed, 1 failed"


def test_what_is_listed_is_run_again_and_named(judge: Judge) -> None:
    code, said = judge("test_b.py::test_second_time", a=PASSES, b=SECOND_TIME)
    assert code == 0
    assert "repeated, and passed then: test_b.py::test_second_time (listed since 2026-11-27: made up)" in said
    assert said.splitlines()[-1] == "2 passed, 0 failed"


def test_what_is_listed_and_fails_twice_fails(judge: Judge) -> None:
    code, said = judge("test_c.py::test_never", a=PASSES, c=NEVER)
    assert code == 1
    assert "failed: test_c.py::test_never" in said


def test_beside_another_failure_nothing_is_run_again(judge: Judge) -> None:
    code, said = judge("test_b.py::test_second_time", b=SECOND_TIME, c=NEVER)
    assert code == 1
    assert "once more" not in said


def test_files_are_named_by_the_processor_time_that_they_and_what_they_started_used(judge: Judge) -> None:
    busy = "import time\nwhile time.process_time() < 1.3: pass"
    starts = f"import subprocess, sys\n\ndef test_starts():\n    subprocess.run([sys.executable, '-c', {busy!r}])\n"
    code, said = judge(a=PASSES, b=starts)
    assert code == 0
    assert re.search(r"^most processor time: test_b\.py [12] s$", said, re.MULTILINE), said


def test_what_xdist_reports_of_a_worker_that_died_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path / "cache"))
    results = reporting.Results(str(tmp_path / "results.json"))
    where = ("test_b.py", None, "test_dies")
    results.pytest_runtest_logreport(pytest.TestReport("test_b.py::test_dies", where, {}, "failed", "it died", "call"))
    results.pytest_sessionfinish()
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["failed"] == {"test_b.py::test_dies": "it died"}
    assert document["cpu"] == {"test_b.py": 0.0}


def test_a_file_that_cannot_be_read_fails(judge: Judge) -> None:
    code, said = judge(a=PASSES, d="import nothing_of_that_name\n")
    assert code == 1
    assert "not passed: tests" in said


def test_jobs_run_beside_each_other_and_are_relayed(capfd: pytest.CaptureFixture[str]) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('worked')"
    jobs = [Job("busy", [sys.executable, "-c", busy]), Job("wrong", [sys.executable, "-c", "raise SystemExit(3)"])]
    Beside(60).run(*([job] for job in jobs))
    assert [job.code for job in jobs] == [0, 3]
    assert jobs[0].cpu >= 0.3
    assert jobs[0].took > 0
    said = capfd.readouterr().out
    assert "busy      | worked" in said
    assert "wrong     | failed (3) after " in said


def test_the_jobs_of_a_line_run_one_after_the_other(capfd: pytest.CaptureFixture[str]) -> None:
    line = [Job("first", [sys.executable, "-c", "raise SystemExit(3)"]), Job("second", [sys.executable, "-c", ""])]
    Beside(60).run(line)
    assert [job.code for job in line] == [3, 0]
    assert line[1].began >= line[0].began + line[0].took
    assert "failed (3)" in capfd.readouterr().out


def test_what_hangs_is_ended_and_named_and_nothing_starts_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    job = Job("hangs", [sys.executable, "-c", "import time; time.sleep(200)"])
    later = Job("later", [sys.executable, "-c", ""])
    began = time.monotonic()
    Beside(1).run([job, later])
    assert time.monotonic() - began < 60
    assert job.code not in (0, None)
    assert later.process is None
    assert "ended after 1 s: hangs\n" in capfd.readouterr().out


STEPS = """
from ops.core.terminal import say

def test_drill():
    say("killing a broker")

def test_lost():
    assert False
"""


def test_each_step_is_a_line_with_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_a.py").write_text(STEPS)
    command = [*run.pytest_command("--steps", "-s", "--results", str(tmp_path / "results.json")), "test_a.py"]
    monkeypatch.setenv("PYTHONPATH", str(run.ROOT))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stdout
    # However long a busy machine takes.
    lines = [re.sub(r"(^ {4}|after )\d+ s", r"\g<1>0 s", line) for line in done.stdout.splitlines()]
    assert "2 tests, about 20 s" in lines
    assert "[1/2] test_a.py::test_drill: about 20 s; 20 s left" in lines
    assert "    0 s killing a broker" in lines
    assert "[1/2] test_a.py::test_drill: passed after 0 s" in lines
    document = json.loads((tmp_path / "results.json").read_text())
    assert "[2/2] test_a.py::test_lost: failed after 0 s" in lines
    assert (document["passed"], document["failed"]) == (1, {"test_a.py::test_lost": "test_a.py:8: assert False"})
    assert list(seconds.known()).count("test_a.py") == 1


def test_end_to_end_tests_are_timed_one_by_one_and_others_by_file(tmp_path: Path) -> None:
    file = tmp_path / "tests.json"
    seconds.remember({"tests/unit/a.py::one": 1.0, "tests/unit/a.py::two": 2.0, "tests/e2e/b.py::three": 3.0}, file)
    assert json.loads(file.read_text()) == {"tests/e2e/b.py::three": 3.0, "tests/unit/a.py": 3.0}
    file.write_text("{")
    seconds.remember({"tests/unit/a.py::one": 1.5}, file)
    assert json.loads(file.read_text()) == {"tests/unit/a.py": 1.5}
    table = {"tests/unit/a.py": 1.5}
    assert seconds.expected(["tests/unit/a.py::one", "x.py::y"], 9.0, table) == {"tests/unit/a.py": 1.5, "x.py": 9.0}


def test_times_are_taken_over_of_tests_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(seconds, "COMMITTED", tmp_path / "committed.json")
    for file in ("tests/e2e/test_a.py", "tests/unit/test_b.py"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("def test_here(): pass\n")
    kept = {"tests/e2e/test_a.py::test_here[one]": 1.0, "tests/unit/test_b.py": 2.0}
    gone = {"tests/e2e/test_a.py::test_gone": 1.0, "tests/e2e/test_c.py::test_here": 1.0, "tests/unit/test_d.py": 1.0}
    seconds.remember(kept | gone)
    assert seconds.record(tmp_path) == 2
    assert seconds.committed() == kept


ENDED = """
import os, signal, sys, threading
from tests import run
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
job = run.Job("sleeps", [sys.executable, "-c", "import time; print('on'); time.sleep(60)"])
def end():
    print("child", job.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Timer(1.5, end).start()
run.Beside(60).run([job])
"""


def test_who_is_ended_ends_what_was_started() -> None:
    done = subprocess.run([sys.executable, "-c", ENDED], cwd=run.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 143, done.stderr
    [child] = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("child")]
    assert not Path(f"/proc/{child}").exists()
