"""Step times: told while the work goes on, with the time left by the last run; a table at the end, kept as a file, and
as evidence about the platform that just came up, where that is asked for.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab import LabError
from lab.paths import cache_root
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.evidence import files as evidence

COMMITTED = Path(__file__).with_name("seconds.json")
"""Title -> step -> seconds, for a machine that has not done it yet; `make seconds` writes it."""
TOOL = "tool: "
"""How the steps begin that a machine does once."""
SILENT_S = 30.0
"""A step that takes longer says so this often."""


@dataclass
class Steps:
    """Collects the seconds that each named step took.

    Attributes:
        title: Of the work; what it took the last time is kept under this name.
        console: Where it is told.
        taken: Step -> seconds, of this run.
        last: Step -> seconds, of the last run on this machine.
    """

    title: str
    console: Console = field(default_factory=lambda: Console(stderr=True, soft_wrap=True))
    taken: dict[str, float] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Read what the last run took, here or where the committed times come from."""
        self.last = self.last or {**committed().get(self.title, {}), **read(self._file)}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; its beginning and its end are told at once, and every half minute that it goes on."""
        started = time.monotonic()
        self.console.print(f"[bold]..[/] {name}{self._expected(name)}", highlight=False)
        ended = threading.Event()
        beat = threading.Thread(target=self._beat, args=(name, started, ended), daemon=True)
        beat.start()
        try:
            yield
        finally:
            ended.set()
            beat.join()
        self.record(name, time.monotonic() - started)

    def record(self, name: str, seconds: float) -> None:
        """Add a step that was timed elsewhere."""
        self.taken[name] = seconds
        self._done.add(name)
        self.console.print(f"[green]ok[/] {name} [dim]{seconds:.1f} s[/]", highlight=False)

    def skip(self, name: str) -> None:
        """Say that a step is not needed this time."""
        self._done.add(name)

    def left(self, name: str, passed: float = 0.0) -> float:
        """Seconds from a moment of a step to the end of the work, by the last run; 0 where nobody knows."""
        if name not in self.last:
            return 0.0
        names = list(self.last)
        later = sum(
            self.last[later_name] for later_name in names[names.index(name) + 1 :] if later_name not in self._done
        )
        return max(self.last[name] - passed, 0.0) + later

    def show(self) -> None:
        """Print the table of steps."""
        table = Table(title=self.title)
        table.add_column("step")
        table.add_column("seconds", justify="right")
        for name, seconds in self.taken.items():
            table.add_row(name, f"{seconds:.1f}")
        table.add_row("[bold]total[/]", f"[bold]{sum(self.taken.values()):.1f}[/]")
        self.console.print(table)

    def save(self, path: Path | None = None) -> None:
        """Write the steps as JSON: for the next run's estimates, and to a path."""
        once = {name: seconds for name, seconds in self.last.items() if name.startswith(TOOL)}
        for file, seconds in ((self._file, {**once, **self.taken}), (path, self.taken)):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps({"title": self.title, "seconds": seconds}, indent=1) + "\n")

    @property
    def _file(self) -> Path:
        return measured_file(self.title)

    def _expected(self, name: str) -> str:
        if name not in self.last:
            return ""
        return f" [dim](about {self.last[name]:.0f} s; {self.left(name):.0f} s left)[/]"

    def _beat(self, name: str, started: float, ended: threading.Event) -> None:
        while not ended.wait(SILENT_S):
            passed = time.monotonic() - started
            left = self.left(name, passed)
            rest = f", about {left:.0f} s left" if left else ""
            self.console.print(f"[dim].. {name}: {passed:.0f} s gone{rest}[/]", highlight=False)


def measured_file(title: str) -> Path:
    """What the steps of some work took on this machine the last time."""
    return cache_root() / "seconds" / f"{title.replace(' ', '-')}.json"


def committed() -> dict[str, dict[str, float]]:
    """Title -> step -> seconds of the committed file; empty where it cannot be read."""
    try:
        content = json.loads(COMMITTED.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def commit() -> list[str]:
    """Take what this machine measured over into the committed file; the titles that it has then."""
    known = committed()
    for file in sorted(measured_file("x").parent.glob("*.json")):
        document = _parsed(file)
        seconds = read(file)
        if seconds and isinstance(document.get("title"), str):
            known[document["title"]] = {name: round(duration, 1) for name, duration in seconds.items()}
    COMMITTED.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return sorted(known)


def _parsed(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read(file: Path) -> dict[str, float]:
    """Step -> seconds of a file that was saved; empty where it is no such file."""
    try:
        return {str(name): float(duration) for name, duration in _parsed(file)["seconds"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


EVIDENCE_VARIABLE = "OBS_EVIDENCE"
"""Set to 1, `make up` leaves its step times as evidence; otherwise it changes no file of the checkout."""


def leave(taken: Mapping[str, float], stack: str, profile: str, namespace: str, kubeconfig: Path) -> None:
    """Write the seconds of each step as evidence, where `EVIDENCE_VARIABLE` asks for it.

    Args:
        taken: Step -> seconds, of a run that created the platform.
        stack: The platform's stack.
        profile: Sizes that the stack file chooses.
        namespace: The platform's namespace.
        kubeconfig: For the cluster.

    Raises:
        LabError: The cluster does not answer.
    """
    if os.environ.get(EVIDENCE_VARIABLE) != "1":
        return
    total = sum(taken.values())
    try:
        evidence.write(
            "up-steps",
            figures={
                "total s": round(total, 1),
                "steps s": {name: round(seconds, 1) for name, seconds in taken.items()},
            },
            kube=Kube.connect(namespace, kubeconfig),
            stack=stack,
            settings={"stack": stack, "profile": profile},
            started=datetime.now(UTC) - timedelta(seconds=total),
        )
    except OpsError as error:
        raise LabError(f"no evidence of the step times: {error}") from None
