"""Runs a drill in a process of its own within a limited time, one drill at a time on a machine, from a steady state;
says what it does while it runs.

The process is ``python -m ops.drills.run NAME``. Its last lines on standard output are `PASSED` with the drill's name,
or `PROBLEM` with what did not hold, a line each. Exit codes: 0 passed, 1 failed, 2 not run, 130 interrupted, after what
was taken away was put back.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from components.rules import Severity
from ops.alerts.silences import WATCHDOG
from ops.core import health, terminal
from ops.core import platform as platform_module
from ops.core.alertmanager import FiringAlert
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.platform import PROJECT, READS, limited
from ops.core.terminal import clock, end
from ops.drills.drills_flow import FLOW, TRACES
from ops.drills.drills_recovery import RECOVERY
from ops.drills.drills_users import ALERTING, GATE
from ops.drills.procedure import LONGEST, CannotRunError, Drill, carry_out, settle

DRILLS: tuple[Drill, ...] = (*FLOW, *GATE, *ALERTING, *TRACES, *RECOVERY)

PASSED: Final = "PASSED "
PROBLEM: Final = "PROBLEM "
DONE, FAILED, NOT_RUN, INTERRUPTED = 0, 1, 2, 130

SHOWN: dict[str, str] = {drill.name: drill.shows for drill in DRILLS}
"""Name -> what it shows."""


def find(name: str) -> Drill:
    """A drill by its name.

    Raises:
        OpsError: There is none of that name.
    """
    for drill in DRILLS:
        if drill.name == name:
            return drill
    raise OpsError(f"no drill {name!r}: use one of {', '.join(SHOWN)}; `ops drill list` describes them")


BEFORE_S, AFTER_S = 60.0, 240.0
_PAUSE_S = 3.0


def steady_problems(context: Context) -> list[str]:
    """What is not as it must be: workloads, Kafka, the read address, Critical alerts. Empty: steady."""
    try:
        lines = health.check(context)
        messages = [f"{line.name}: {line.detail}" for line in lines if not line.healthy]
    except OpsError as error:
        return [str(error)]
    return [*messages, *_alerts(context)]


def critical(alerts: list[FiringAlert]) -> list[str]:
    """Critical alerts that nobody has silenced."""
    return sorted(
        {
            alert.identity or alert.name
            for alert in alerts
            if alert.labels.get("severity") == Severity.CRITICAL.value
            and alert.state != "suppressed"
            and alert.name != WATCHDOG
        }
    )


def wait_until_steady(look: Callable[[], list[str]], seconds: float, pause: float = _PAUSE_S) -> list[str]:
    """Look until nothing is wrong, at most for so long; what is wrong in the end."""
    deadline = time.monotonic() + seconds
    while True:
        wrong = look()
        if not wrong or time.monotonic() + pause > deadline:
            return wrong
        time.sleep(pause)


def _alerts(context: Context) -> list[str]:
    try:
        firing = critical(context.alertmanager().alerts())
    except OpsError as error:
        return [str(error)]
    return [f"Critical alerts fire: {', '.join(firing)}"] if firing else []


SILENT_S = 30.0
"""After that without a word, it is said what still goes on."""


class DrillProgress:
    """Tells of one drill on standard error.

    Args:
        drill: Which one.
        console: Where it is told.
    """

    def __init__(self, drill: Drill, console: Console | None = None) -> None:
        self._drill = drill
        self._console = console or Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=self._console
        )
        self._task = self._bar.add_task(drill.name, total=drill.seconds)
        self._folder = tempfile.TemporaryDirectory(prefix="obs-drill-")
        self.steps = Path(self._folder.name) / "steps"
        """Into which the drill writes its steps."""
        self._reader = terminal.Reader(self.steps)
        self._seconds = 0.0
        self._last = ""
        self._spoke = time.monotonic()

    def __enter__(self) -> DrillProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._folder.cleanup()

    def say(self, text: str) -> None:
        """Tell a step."""
        self._last, self._spoke = text, time.monotonic()
        self._console.print(f"{self._drill.name}: {clock(self._seconds)}: {text}")

    def beat(self, seconds: float) -> None:
        """Tell the new steps of the drill, or what it has been doing for half a minute.

        Args:
            seconds: Since the drill began.
        """
        self._seconds = seconds
        self._bar.update(self._task, completed=min(seconds, self._drill.seconds))
        for step in self._reader.new():
            self.say(step)
        if time.monotonic() - self._spoke >= SILENT_S:
            left = self._drill.seconds - seconds
            rest = (
                f"about {clock(left)} left"
                if left > 0
                else f"longer than usual, stopped at {clock(self._drill.limit_s)}"
            )
            self._spoke = time.monotonic()
            self._console.print(f"{self._drill.name}: {clock(seconds)}: still running: {self._last}; {rest}")


_LOOK_S = 0.5
_MOST_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the drill ended.

    Attributes:
        passed: Whether all that it promises held.
        seconds: How long it took.
        reasons: Why it failed, in its own words.
        log: Everything that it said.
    """

    passed: bool
    seconds: float
    reasons: tuple[str, ...]
    log: Path


def command_of(drill: Drill) -> list[str]:
    """Command line of the process that carries it out."""
    return [sys.executable, "-m", f"{__package__}.run", drill.name]


def run(
    command: Sequence[str],
    limit_s: float,
    log: Path,
    beat: Callable[[float], None] = lambda _: None,
    *,
    cwd: Path = PROJECT,
    put_back_s: float,
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a drill; ends it when the time is up, or when we are interrupted, so that it puts things back.

    Args:
        command: Its command line.
        limit_s: Seconds that it has.
        log: File for what it says.
        beat: Told the seconds since the start, twice a second.
        cwd: Where it runs.
        put_back_s: Seconds that it has after it was told to end, see `Drill`.
        variables: Added to its environment.

    Raises:
        OpsError: It was not run.
    """
    began = time.monotonic()
    with log.open("wb") as out, _terminated():
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            late = _wait(process, began, limit_s, beat)
        finally:
            end(process, put_back_s)
    seconds = round(time.monotonic() - began, 1)
    said = log.read_text(errors="replace").splitlines()
    if late:
        return Outcome(passed=False, seconds=seconds, reasons=(f"timed out after {limit_s:.0f} s",), log=log)
    if process.returncode < 0:
        reason = f"ended by {signal.Signals(-process.returncode).name} before it could put back what it took away"
        return Outcome(passed=False, seconds=seconds, reasons=(reason,), log=log)
    if process.returncode not in (DONE, FAILED):
        raise OpsError(f"the drill did not run (exit code {process.returncode}): {_last(said)}; full output: {log}")
    if process.returncode == DONE and not any(line.startswith(PASSED) for line in said):
        return Outcome(passed=False, seconds=seconds, reasons=("it exited without a result",), log=log)
    return Outcome(passed=process.returncode == DONE, seconds=seconds, reasons=tuple(reasons(said)), log=log)


def reasons(said: Sequence[str]) -> list[str]:
    """What failed, from what the drill said."""
    messages = [line.removeprefix(PROBLEM).strip() for line in said if line.startswith(PROBLEM)]
    return [one_line(message) for message in dict.fromkeys(messages) if message][:_MOST_REASONS]


@contextmanager
def alone(name: str, folder: Path | None = None) -> Iterator[None]:
    """Nobody else runs a drill from this machine meanwhile.

    Raises:
        OpsError: Somebody does.
    """
    file = (folder or Path(tempfile.gettempdir())) / f"obs-drill-{os.getuid()}.lock"
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise OpsError(
                f"another drill is running: {lock.read().strip() or 'unknown'}; wait until it ends"
            ) from None
        lock.truncate(0)
        lock.write(f"{name}, process {os.getpid()}")
        lock.flush()
        yield


def _wait(process: subprocess.Popen[bytes], began: float, limit_s: float, beat: Callable[[float], None]) -> bool:
    """Whether the time was up before it ended."""
    while process.poll() is None:
        passed = time.monotonic() - began
        if passed > limit_s:
            return True
        beat(passed)
        time.sleep(_LOOK_S)
    return False


@contextmanager
def _terminated() -> Iterator[None]:
    """A scheduler's SIGTERM ends the drill as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last(said: Sequence[str]) -> str:
    lines = [line.strip() for line in said if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return one_line((errors or lines[-1:] or ["no output"])[0])


def attempt(drill: Drill) -> list[str]:
    """Carry a drill out on the platform of the selected stack; what did not hold.

    Raises:
        CannotRunError: The platform does not answer, is not settled, or lacks something that the drill needs.
    """
    try:
        with limited(READS["drill"]):
            platform = platform_module.load()
        kube = Kube.of(platform)
    except OpsError as error:
        raise CannotRunError(str(error)) from error
    with Context(platform, kube) as context:
        if drill.looked_at:
            try:
                settle(context)
            except OpsError as error:
                raise CannotRunError(str(error)) from error
        return carry_out(drill, context)


def main(drill: Drill, attempted: Callable[[Drill], list[str]] = attempt) -> int:
    """Carry a drill out in this process and tell how it went; the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        problems = attempted(drill)
    except KeyboardInterrupt:
        print("interrupted: what was taken away was put back", flush=True)
        return INTERRUPTED
    except CannotRunError as error:
        print(f"ERROR: {one_line(error, LONGEST)}", flush=True)
        return NOT_RUN
    except Exception as error:
        traceback.print_exc()
        problems = [f"{type(error).__name__}: {error}"]
    for problem in problems:
        print(f"{PROBLEM}{one_line(problem, LONGEST)}", flush=True)
    if not problems:
        print(f"{PASSED}{drill.name}", flush=True)
    return FAILED if problems else DONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does; a second signal does not stop what puts things back."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt(f"signal {number}")


if __name__ == "__main__":
    sys.exit(main(find(sys.argv[1])))
