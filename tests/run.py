"""Runs what a change must pass: ``python -m tests.run check|test|e2e|drills|record``.

``test`` has four lines of jobs beside each other. The tests whose subject is a time (mark ``timed``) have the
processors when they want them, which is seldom. What they leave goes first to the tests that wait for servers, then to
the tests that compute, and to format, lint and types. A test that fails fails the run; only one that
``tests/flaky.yaml`` lists is run a second time, alone, and named at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from lab import timing
from lab.paths import cache_root
from ops.core.terminal import clock
from tests import flaky, seconds
from tests.support import shared

ROOT = Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0))
COMPUTING = ("tests/unit", "tests/policy", "tests/rules")
WAITING = ("tests/config",)
"""Folder of the tests that start servers."""
WAITING_WORKERS = min(4 * CORES, 12)
"""Workers that wait for servers: with six on two cores a fifth of the time is idle; each server takes memory."""
COMPUTING_WORKERS = 3 * CORES
"""Some tests wait for a program: with three on two cores a fifth of the time is idle."""
TIMED_WORKERS = min(2 * CORES + 1, 8)
"""With five on two cores they use a quarter of the time."""
TIMED = "timed"
"""Mark of the tests whose subject is a time. It stands in the file, for all of its tests."""
NICE = 5
LATER = 10
LAST = 19
"""Niceness of what must not disturb a time: a core that a timed test or its server wants is theirs at once."""
TEST_LIMIT_S = 2400.0
"""Ends what hangs."""
CHECK_LIMIT_S = 300.0
CHECK_BUDGET_S = 40.0
"""Of tests, one after the other: two workers, and the time that it takes them to start."""
_SILENT_S = 30.0
_NAMED = 15
"""Files of tests that are named for the processor time that they used."""
_SOME_FAILED = 1
_MARKED = re.compile(rf"^pytestmark = .*pytest\.mark\.{TIMED}\b", re.MULTILINE)
_PLUGIN = ("-p", "tests.reporting", "-p", "no:anyio")
"""Ours; and not that of anyio, which no test uses and every worker would import."""


@dataclass
class Job:
    """One program that runs beside others; its lines are printed behind its name.

    Attributes:
        name: What it does.
        command: Command line.
        results: File for the results of pytest; None for other programs.
        nice: How much it lets others go first.
        code: How it ended.
        began: When it began, by the monotonic clock.
        took: Seconds from then to its end.
        cpu: Seconds of processor that it and its children used.
    """

    name: str
    command: Sequence[str]
    results: Path | None = None
    nice: int = 0
    code: int | None = None
    began: float = 0.0
    took: float = 0.0
    cpu: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def passed(self) -> int:
        """Tests that passed."""
        return int(self._read("passed", 0))

    @property
    def failed(self) -> dict[str, str]:
        """Node ids of the tests that failed, each with its reason in one line."""
        return dict(self._read("failed", {}))

    @property
    def files(self) -> dict[str, float]:
        """File of tests -> seconds of processor that its tests used, with what they started."""
        return dict(self._read("cpu", {}))

    def _read(self, key: str, default: Any) -> Any:
        if self.results is None or not self.results.exists() or not self.results.stat().st_size:
            return default
        return json.loads(self.results.read_text())[key]


class Beside:
    """Runs lines of jobs at the same time, the jobs of a line one after the other, and relays what they say.

    Args:
        limit_s: Seconds after which what still runs is ended and counts as failed.
        about_s: Seconds that all take, about; 0 where nobody knows.
    """

    def __init__(self, limit_s: float, about_s: float = 0.0) -> None:
        self._limit_s, self._about_s = limit_s, about_s
        self._began = self._spoke = time.monotonic()
        self._lock, self._ending = threading.Lock(), threading.Event()

    def run(self, *lines: Sequence[Job]) -> None:
        """Run all to their end."""
        jobs = [job for line in lines for job in line]
        threads = [threading.Thread(target=self._run_line, args=(line,), daemon=True) for line in lines]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                self._beat(_running(jobs))
                if time.monotonic() - self._began > self._limit_s:
                    self._say("make", f"ended after {clock(self._limit_s)}: {_running(jobs)}")
                    break
                time.sleep(0.2)
        finally:
            with self._lock:
                self._ending.set()
            for job in jobs:
                _end(job)
        for thread in threads:
            thread.join(10)

    def _run_line(self, line: Sequence[Job]) -> None:
        for job in line:
            with self._lock:
                if self._ending.is_set():
                    return
                job.began, job.process = time.monotonic(), _start(job)
            self._follow(job)

    def _follow(self, job: Job) -> None:
        process = job.process
        assert process is not None
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                self._say(job.name, line.decode(errors="replace").rstrip())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        job.took, job.cpu = time.monotonic() - job.began, used.ru_utime + used.ru_stime
        job.code = process.returncode
        self._say(job.name, f"{'ended' if job.code == 0 else f'failed ({job.code})'} after {clock(job.took)}")

    def _beat(self, running: str) -> None:
        if time.monotonic() - self._spoke < _SILENT_S:
            return
        gone = time.monotonic() - self._began
        left = f", about {clock(self._about_s - gone)} left" if self._about_s > gone else ""
        self._say("make", f"{clock(gone)} gone{left}; running: {running}")

    def _say(self, name: str, line: str) -> None:
        with self._lock:
            self._spoke = time.monotonic()
            print(f"{name:9} | {line}", flush=True)


def _running(jobs: Sequence[Job]) -> str:
    return ", ".join(job.name for job in jobs if job.process is not None and job.code is None)


def _start(job: Job) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["nice", "-n", str(job.nice), *job.command],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Not a session of its own: the kernel groups by session (autogroup), and niceness counts within a group only.
        process_group=0,
    )


def _end(job: Job) -> None:
    if job.process is None or job.code is not None:
        return
    for number, patience_s in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(job.process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while job.code is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if job.code is not None:
            return


def pytest_command(*arguments: str) -> list[str]:
    """Command line of pytest with our plugin."""
    return [sys.executable, "-m", "pytest", *_PLUGIN, *arguments]


def lint(nice: int = 0) -> Job:
    """Format and lint."""
    ruff = f"{shlex.quote(sys.executable)} -m ruff"
    return Job("lint", ["bash", "-c", f"{ruff} format --check --quiet . && {ruff} check --quiet ."], nice=nice)


def types(nice: int = NICE) -> Job:
    """Types, with what was read before from the cache; one type check at a time writes there."""
    cache = cache_root() / "types"
    cache.mkdir(parents=True, exist_ok=True)
    mypy = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--sqlite-cache"]
    return Job("types", ["flock", "--wait", "600", str(cache / "lock"), *mypy], nice=nice)


def timed_files() -> list[str]:
    """Files of tests whose subject is a time."""
    files = [file for place in (*COMPUTING, *WAITING) for file in (ROOT / place).rglob("test_*.py")]
    return sorted(str(file.relative_to(ROOT)) for file in files if _MARKED.search(file.read_text()))


def _tests(name: str, places: Sequence[str], workers: int, folder: Path, nice: int = 0, marks: str = "") -> Job:
    results = folder / f"{name}.json"
    chosen = "not e2e and not drill" + (f" and {marks}" if marks else "")
    command = pytest_command(
        *places,
        *("-q", "-m", chosen, "-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"),
        *("-p", "no:cacheprovider", "--results", str(results)),
    )
    return Job(name, command, results, nice)


def test() -> int:
    """Everything that needs no cluster."""
    with tempfile.TemporaryDirectory(prefix="obs-test-") as folder:
        untimed = f"not {TIMED}"
        lines = [
            [_tests("timed", timed_files(), TIMED_WORKERS, Path(folder), marks=TIMED)],
            [_tests("waiting", WAITING, WAITING_WORKERS, Path(folder), LATER, untimed)],
            [_tests("computing", COMPUTING, COMPUTING_WORKERS, Path(folder), LAST, untimed)],
            [lint(LAST), types(LAST)],
        ]
        return _judged(lines, TEST_LIMIT_S, "make test")


def check(base: str | None) -> int:
    """Format, types, and the unit tests of what changed."""
    from tests import changed, ci

    began = time.monotonic()
    try:
        files = changed.changed_files(ROOT, base)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    chosen = changed.selected(files, ROOT, CHECK_BUDGET_S)
    print(f"{len(files)} files changed: {len(chosen.files)} test files, {clock(chosen.seconds)} of tests")
    if chosen.left_out:
        print(f"left to `make test`, for want of time: {', '.join(chosen.left_out)}")
    with tempfile.TemporaryDirectory(prefix="obs-check-") as folder:
        lines = [[lint()], [types()]]
        if chosen.files:
            lines.append([_tests("tests", chosen.files, min(CORES, len(chosen.files)), Path(folder))])
        code = _judged(lines, CHECK_LIMIT_S, "make check")
    counts = {"files changed": len(files), "test files": len(chosen.files)}
    ci.leave_check(code, time.monotonic() - began, counts)
    return code


def _judged(lines: Sequence[Sequence[Job]], limit_s: float, title: str) -> int:
    """Run all lines of jobs, what is listed as flaky once more, print a row per job.

    Returns:
        0 when all is well.
    """
    times = cache_root() / "seconds" / f"{title.replace(' ', '-')}.json"
    began = time.monotonic()
    jobs = [job for line in lines for job in line]
    Beside(limit_s, _last(times)).run(*lines)
    again = [name for job in jobs if job.code == _SOME_FAILED for name in job.failed]
    repeated = _repeated(again)
    good = [job for job in jobs if job.code == 0 or (job.failed and set(job.failed) <= set(repeated))]
    took = time.monotonic() - began
    print(f"\n{'step':10} {'seconds':>8} {'cpu s':>8} {'passed':>8} {'failed':>8}")
    for job in jobs:
        print(f"{job.name:10} {job.took:8.0f} {job.cpu:8.0f} {job.passed or '':>8} {len(job.failed) or '':>8}")
    print(f"{title:10} {took:8.0f} {sum(job.cpu for job in jobs):8.0f}")
    costly = sorted(((cpu, file) for job in jobs for file, cpu in job.files.items()), reverse=True)[:_NAMED]
    print("most processor time:", ", ".join(f"{file} {cpu:.0f} s" for cpu, file in costly if cpu >= 1) or "none")
    for name, entry in repeated.items():
        print(f"repeated, and passed then: {name} (listed since {entry.since}: {entry.reason})")
    lost = {name: reason for job in jobs for name, reason in job.failed.items() if name not in repeated}
    for name, reason in lost.items():
        print(f"failed: {name}\n        {reason}")
    broken = [job.name for job in jobs if job not in good]
    if broken:
        print(f"not passed: {', '.join(broken)}")
    print(f"{sum(job.passed for job in jobs) + len(repeated)} passed, {len(lost)} failed")
    if not broken:
        times.parent.mkdir(parents=True, exist_ok=True)
        times.write_text(json.dumps({"seconds": round(took, 1)}))
    return 1 if broken else 0


def _repeated(failed: Sequence[str]) -> dict[str, flaky.Entry]:
    """Tests that failed, are listed, and passed when they were run once more, alone; none where another one failed."""
    listed = {entry.test: entry for entry in flaky.read()}
    if not failed or not set(failed) <= set(listed):
        return {}
    entries = {}
    for name in failed:
        print(f"\n== {name} failed and is listed in {flaky.FILE.name}: once more, alone", flush=True)
        done = subprocess.run(pytest_command(name, "-q", "-n0", "-p", "no:cacheprovider"), cwd=ROOT, timeout=1200)
        if done.returncode == 0:
            entries[name] = listed[name]
    return entries


def _last(file: Path) -> float:
    try:
        return float(json.loads(file.read_text())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def on_cluster(marks: str, more: Sequence[str]) -> NoReturn:
    """End-to-end tests on the running cluster, none of them twice; does not return."""
    places = [] if any(test_id.startswith("tests/") for test_id in more) else ["tests/e2e"]
    command = pytest_command(*places, "-q", "-m", marks, "-s", "--steps", "-p", "no:cacheprovider", *more)
    # In our place, so that a signal reaches the drill, which then puts back what it took away.
    os.chdir(ROOT)
    os.execve(command[0], command, {**os.environ, "PYTHONUNBUFFERED": "1"})


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__)
    parser.add_argument("what", choices=("check", "test", "e2e", "drills", "record"))
    parser.add_argument("--base", help="check: commit to compare with")
    given, more = parser.parse_known_args(arguments)
    # What we started runs in process groups of its own: whoever ends us ends it too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if more and given.what not in ("e2e", "drills"):
        parser.error(f"unknown: {' '.join(more)}")
    if wrong := flaky.problems(flaky.read(), datetime.now(UTC).date(), ROOT):
        print("\n".join(wrong), file=sys.stderr)
        return 2
    if given.what == "record":
        print(f"{seconds.COMMITTED.relative_to(ROOT)}: {seconds.record(ROOT)} times")
        print(f"{timing.COMMITTED.relative_to(ROOT)}: {', '.join(timing.commit())}")
        return 0
    if given.what in ("check", "test"):
        with shared.folder():
            return check(given.base) if given.what == "check" else test()
    on_cluster("core" if given.what == "e2e" else "drill", more)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
