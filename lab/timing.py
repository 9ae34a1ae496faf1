"""Step times: shown while the work goes on, as a table at the end, and kept as a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.errors import LabError
from ops import evidence
from ops.errors import OpsError
from ops.kube import Kube

EVIDENCE_VARIABLE = "OBS_EVIDENCE"
"""Set to 1, `make up` leaves its step times as evidence; otherwise it changes no file of the checkout."""


@dataclass
class Steps:
    """Collects the seconds that each named step took."""

    title: str
    console: Console = field(default_factory=lambda: Console(stderr=True))
    taken: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step; its end is printed at once."""
        started = time.monotonic()
        self.console.print(f"[bold]..[/] {name}", highlight=False)
        yield
        self.record(name, time.monotonic() - started)

    def record(self, name: str, seconds: float) -> None:
        """Add a step that was timed elsewhere."""
        self.taken[name] = seconds
        self.console.print(f"[green]ok[/] {name} [dim]{seconds:.1f} s[/]", highlight=False)

    def show(self) -> None:
        """Print the table of steps."""
        table = Table(title=self.title)
        table.add_column("step")
        table.add_column("seconds", justify="right")
        for name, seconds in self.taken.items():
            table.add_row(name, f"{seconds:.1f}")
        table.add_row("[bold]total[/]", f"[bold]{sum(self.taken.values()):.1f}[/]")
        self.console.print(table)

    def save(self, path: Path) -> None:
        """Write the steps as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"title": self.title, "seconds": self.taken}, indent=1) + "\n")

    def leave_evidence(self, stack: str, namespace: str, kubeconfig: Path) -> None:
        """Write the steps as evidence about the platform that just came up, where `EVIDENCE_VARIABLE` asks for it.

        Raises:
            LabError: The cluster does not answer.
        """
        if os.environ.get(EVIDENCE_VARIABLE) != "1":
            return
        os.environ.setdefault("PULUMI_STACK", stack)
        total = sum(self.taken.values())
        steps = {name: round(seconds, 1) for name, seconds in self.taken.items()}
        try:
            evidence.write(
                "up-steps",
                figures={"total s": round(total, 1), "steps s": steps},
                kube=Kube.connect(namespace, kubeconfig),
                started=datetime.now(UTC) - timedelta(seconds=total),
            )
        except OpsError as error:
            raise LabError(f"no evidence of the step times: {error}") from None
