"""pytest plugin: how long each test took, for the next run; and with ``--steps`` a line at each step, with time left.

Loaded by ``tests.run``. Node ids, results and seconds go to the file of ``--results``, and the processor time of each
file with that of what it started, as far as that has ended.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

from ops.core import terminal
from ops.core.terminal import clock
from tests import seconds

UNKNOWN_S = 20.0
"""Of an end-to-end test that nobody has timed."""
SILENT_S = 30.0
"""After that without a word, it is said what is still going on."""
_QUIET_WAIT_S = 1.0
_REASON_LENGTH = 300


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options for ``tests.run``."""
    parser.addoption("--results", metavar="FILE", help="write what came of each test, as JSON")
    parser.addoption("--steps", action="store_true", help="a line at each test and each of its steps, with time left")


def pytest_configure(config: pytest.Config) -> None:
    """Watch in the process that the workers report to; measure where the tests run."""
    config.pluginmanager.register(ProcessorTime(), "obs-processor-time")
    if hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(Results(config.getoption("results")), "obs-results")
    if config.getoption("steps"):
        config.pluginmanager.register(Steps(config), "obs-steps")


class ProcessorTime:
    """Gives each report the processor time since the one before it, as ``cpu``."""

    def __init__(self) -> None:
        self._used = _used()

    def pytest_collection_finish(self) -> None:
        """What it took to collect the tests is no file's."""
        self._used = _used()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """One phase of one test: its set-up, itself, or its end, with that of its file's servers."""
        report = yield
        before, self._used = self._used, _used()
        report.cpu = self._used - before
        return report


def _used() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Results:
    """Collects what came of each test.

    Args:
        file: Where it is written at the end; None for nowhere.
    """

    def __init__(self, file: str | None) -> None:
        self._file = Path(file) if file else None
        self._seconds: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._cpu: Counter[str] = Counter()
        self._passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one phase of one test."""
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        self._cpu[report.nodeid.partition("::")[0]] += getattr(report, "cpu", 0.0)  # none of a worker that died
        if report.failed:
            self._failed.setdefault(report.nodeid, _reason(report))
        elif report.when == "call" and report.passed:
            self._passed += 1

    def pytest_sessionfinish(self) -> None:
        """Keep the times of what passed, and write the results."""
        whole = {test: took for test, took in self._seconds.items() if test not in self._failed}
        seconds.remember(whole)
        if self._file is not None:
            summary = {"passed": self._passed, "failed": self._failed, "seconds": self._seconds, "cpu": self._cpu}
            self._file.write_text(json.dumps(summary))


def _reason(report: pytest.TestReport) -> str:
    """The first line of what a test failed with, and where."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return (str(report.longrepr).strip().splitlines() or ["no reason"])[-1][:_REASON_LENGTH]
    message = crash.message.strip().partition("\n")[0]
    return f"{Path(crash.path).name}:{crash.lineno}: {message}"[:_REASON_LENGTH]


class Steps:
    """Prints a line at each test and at each of its steps, also where nobody has a terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._left: dict[str, float] = {}
        self._count = self._at = 0
        self._test, self._began, self._outcome = "", 0.0, ""
        self._spoke = time.monotonic()
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read how long everything takes."""
        self._left = seconds.expected([item.nodeid for item in session.items], UNKNOWN_S)
        self._count = len(session.items)
        self._print(f"{self._count} tests, about {clock(sum(self._left.values()))}")

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No dots: this prints a line."""
        return ("passed", "", "") if report.passed and report.when == "call" else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Know how a test ends before its end is told."""
        if not report.passed:
            self._outcome = report.outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Say when a test begins and ends, and at least every half minute that it goes on."""
        self._at += 1
        about = self._left.get(item.nodeid, UNKNOWN_S)
        self._test, self._began = item.nodeid.removeprefix("tests/e2e/"), time.monotonic()
        self._outcome = "passed"
        self._print(f"[{self._at}/{self._count}] {self._test}: about {clock(about)}; {self._rest()}")
        ended = threading.Event()
        beat = threading.Thread(target=self._beat, args=(ended, about), daemon=True)
        beat.start()
        try:
            with terminal.heard(lambda text: self._print(f"    {self._took()} {text}")):
                return (yield)
        finally:
            ended.set()
            beat.join()
            self._left.pop(item.nodeid, None)
            self._print(f"[{self._at}/{self._count}] {self._test}: {self._outcome} after {self._took()}")

    def _beat(self, ended: threading.Event, about: float) -> None:
        while not ended.wait(_QUIET_WAIT_S):
            if time.monotonic() - self._spoke >= SILENT_S:
                self._print(f"    {self._took()} of about {clock(about)}: {self._test} goes on; {self._rest()}")

    def _took(self) -> str:
        return clock(time.monotonic() - self._began)

    def _rest(self) -> str:
        passed = time.monotonic() - self._began
        about = self._left.get(f"tests/e2e/{self._test}", 0.0)
        return f"{clock(sum(self._left.values()) - min(passed, about))} left"

    def _print(self, text: str) -> None:
        with self._lock:
            self._spoke = time.monotonic()
            reporter: TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(text)
