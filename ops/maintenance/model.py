"""What a maintenance is made of: checks as data, and what they need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from components.dashboards.model import Dashboard
from ops.core.context import Context
from ops.core.rows import Finding, Row, State
from ops.dashboards.panel_queries import Result as Panel
from ops.evidence.drills import Drills

T = TypeVar("T")


class Period(StrEnum):
    """How often; a longer one holds the checks of the shorter ones."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Lazy(Generic[T]):
    """A value that several checks need and that is asked for once; a failure is asked for again."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._made: list[T] = []

    def get(self) -> T:
        """The value; the first who asks waits for it, and so does who asks meanwhile."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What checks use.

    Attributes:
        context: The platform.
        now: The moment of the maintenance.
        silence_age: How old a silence may be.
        identity: File with the age identities of an operator, or None: then nothing is decrypted.
        dashboards: Every dashboard with the answers of its panels.
        drills: What the evidence of drills is worth on this platform.
    """

    context: Context
    now: datetime
    silence_age: timedelta
    identity: Path | None
    dashboards: Lazy[list[tuple[Dashboard, list[Panel]]]]
    drills: Drills


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that is looked at.

    Attributes:
        id: Short name, for ``--only`` and for records.
        what: What must hold, in one line.
        query: PromQL, or which interface is asked and how.
        limit: What is still good.
        remediation: What to do when it is not.
        run: Runs the check; what is wrong with what it finds is a problem, any exception a failed row.
        seconds: Time that it has.
    """

    id: str
    what: str
    query: str
    limit: str
    remediation: str
    run: Callable[[Tools], Finding]
    seconds: float = 60.0

    def as_json(self) -> dict[str, str]:
        """The check for machines."""
        return {
            "id": self.id,
            "what": self.what,
            "query": self.query,
            "limit": self.limit,
            "remediation": self.remediation,
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    """A check and its row."""

    check: Check
    row: Row

    @property
    def good(self) -> bool:
        """Whether everything was within its limit."""
        return self.row.state is State.PASS

    def as_json(self) -> dict[str, str]:
        """The result for machines; remediation only where it is needed."""
        told = {**self.check.as_json(), "result": "ok" if self.good else "failed"}
        told |= {"figure": self.row.figure, "seen": self.row.evidence}
        return told if not self.good else {key: value for key, value in told.items() if key != "remediation"}


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """A run: which, of what, when, and what was seen."""

    period: Period
    platform: str
    region: str
    started: datetime
    seconds: float
    commit: str
    results: Sequence[Result] = field(default_factory=tuple)

    @property
    def failed(self) -> list[Result]:
        """What needs somebody."""
        return [result for result in self.results if not result.good]

    @property
    def name(self) -> str:
        """Name of its record, without an ending."""
        return f"maintenance-{self.period}-{self.started:%Y%m%dT%H%M%SZ}"
