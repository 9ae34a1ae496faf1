"""What a drill is doing while it runs: a line at each step of its test and at least every half minute; a bar besides
where there is a terminal."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.core import steps
from ops.core.steps import clock
from ops.drills.model import Drill

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
        """Into which the test writes its steps."""
        self._reader = steps.Reader(self.steps)
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
        """Tell the new steps of the test, or what it has been doing for half a minute.

        Args:
            seconds: Since the test began.
        """
        self._seconds = seconds
        self._bar.update(self._task, completed=min(seconds, self._drill.seconds))
        for step in self._reader.new():
            self.say(step)
        if time.monotonic() - self._spoke >= SILENT_S:
            left = self._drill.seconds - seconds
            rest = (
                f"about {clock(left)} left" if left > 0 else f"longer than usual, ended at {clock(self._drill.limit_s)}"
            )
            self._spoke = time.monotonic()
            self._console.print(f"{self._drill.name}: {clock(seconds)}: still at: {self._last}; {rest}")
