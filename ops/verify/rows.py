"""Rows of ``ops verify`` and the small tools with which checks build them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from ops import evidence
from ops.context import Context
from ops.errors import one_line


class Status(StrEnum):
    """Outcome of a row; ``absent`` means that the requirement is not built yet."""

    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One requirement with what was seen."""

    id: str
    status: Status
    figure: str = ""
    evidence: str = ""

    def as_json(self) -> dict[str, str]:
        """The row as the machine-readable output has it."""
        return {"id": self.id, "status": str(self.status), "figure": self.figure, "evidence": self.evidence}


@dataclass
class Finding:
    """What a check found: it passes when nothing is wrong."""

    figures: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, condition: bool, problem: str) -> None:
        """Note ``problem`` unless ``condition`` holds."""
        if not condition:
            self.wrong.append(problem)

    def expect_equal(self, what: str, found: object, wanted: object) -> None:
        """Note a difference."""
        self.expect(found == wanted, f"{what} is {found}, must be {wanted}")

    def drill(self, *names: str) -> None:
        """Ask for the evidence of long drills; a missing or failed one is a problem."""
        for name in names:
            found = evidence.newest(name)
            if found is None:
                self.wrong.append(f"drill {name} was never run: run `make e2e`")
            elif not found.passed:
                self.wrong.append(f"drill failed: {found.summary()}")
            else:
                self.seen.append(found.summary())

    def row(self, identifier: str) -> Row:
        """The finished row; problems come first."""
        status = Status.FAIL if self.wrong else Status.PASS
        return Row(
            id=identifier,
            status=status,
            figure=one_line("; ".join(self.figures), 400) if self.figures else "",
            evidence=one_line("; ".join([*self.wrong, *self.seen]), 1200) if self.wrong or self.seen else "",
        )


Check = Callable[[Context], Finding]
"""A check looks at the live platform and returns what it found; any exception becomes a failed row."""


def listed(values: Iterable[object]) -> str:
    """Values in order, separated by commas."""
    return ", ".join(sorted(map(str, values)))
