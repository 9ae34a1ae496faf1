"""A failover or failback under way: what every step works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ops.regions.journal import Journal
from ops.regions.region import Region
from services.regions.witness import Witness

Figures = dict[str, Any]
"""What a step has seen, as JSON has it."""


@dataclass
class FailoverContext:
    """A failover under way.

    Attributes:
        target: Region that takes over.
        source: Name of the region that gives up.
        witness: The bucket in neither.
        journal: What is done.
        by: Who does it.
        tell: Tells what is waited for.
        other: The region that gives up, where it may be called: in a failback only.
        problems: What was not as it should be in the step under way.
    """

    target: Region
    source: str
    witness: Witness
    journal: Journal
    by: str
    tell: Callable[[str], None]
    other: Region | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def planned(self) -> bool:
        """Whether the region that gives up is there."""
        return self.journal.operation.planned

    @property
    def epoch(self) -> int:
        """Epoch of the lease that this failover took."""
        return int(self.journal.operation.figures("fence")["epoch"])

    @property
    def reason(self) -> str:
        """Why the lease changes."""
        operation = self.journal.operation
        return f"{operation.kind} from {operation.source} to {operation.target}, {operation.id}"

    def problem(self, text: str) -> None:
        """Tell what is wrong and go on."""
        self.problems.append(text)
        self.tell(f"warning: {text}")
