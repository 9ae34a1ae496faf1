"""Step times: shown while the work goes on, as a table at the end, and kept as a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


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
