"""What a maintenance is made of: checks as data, some of them a query of PromQL with a limit, and what they need."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from components.dashboards.model import Dashboard
from ops.alerts.silences import span
from ops.core.context import Context
from ops.core.rows import Finding, Row, State
from ops.core.web import Sample
from ops.dashboards.panel_queries import Result as Panel
from ops.evidence.reading import Drills

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


_MOST_NAMED = 6


class Unit(Enum):
    """How a value is written."""

    NUMBER = "number"
    SHARE = "share"
    SECONDS = "seconds"

    def text(self, value: float) -> str:
        """The value for people."""
        if self is Unit.SHARE:
            return f"{value * 100:.1f} %"
        if self is Unit.SECONDS:
            return f"-{span(timedelta(seconds=-value))}" if value < 0 else span(timedelta(seconds=value))
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A query whose every value has to be within a limit.

    Attributes:
        expression: PromQL, asked at the read address of metrics.
        limit: The limit itself is still good.
        unit: How values are written.
        least: Whether the limit is the least that is good; else it is the most.
        labels: Labels by which a series is named.
        none: What it means that there is no series; empty where that is a problem.
    """

    expression: str
    limit: float
    unit: Unit = Unit.NUMBER
    least: bool = False
    labels: Sequence[str] = ()
    none: str = ""

    @property
    def limit_text(self) -> str:
        """The limit in words."""
        return f"at {'least' if self.least else 'most'} {self.unit.text(self.limit)}"

    def good(self, value: float) -> bool:
        """Whether a value is within the limit; what is no number never is."""
        return not math.isnan(value) and (value >= self.limit if self.least else value <= self.limit)

    def judge(self, samples: Sequence[Sample]) -> Finding:
        """What the answer says."""
        finding = Finding()
        if not samples:
            finding.expect(bool(self.none), "no series answers: nobody measures it")
            finding.figures.extend([self.none] if self.none else [])
            return finding
        ordered = sorted(samples, key=lambda sample: sample.value, reverse=not self.least)
        worst = next((sample for sample in ordered if math.isnan(sample.value)), ordered[0])
        finding.figures.append(self._named(worst) + (f", worst of {len(samples)}" if len(samples) > 1 else ""))
        beyond = [sample for sample in ordered if not self.good(sample.value)]
        if beyond:
            more = f" and {len(beyond) - _MOST_NAMED} more" if len(beyond) > _MOST_NAMED else ""
            named = ", ".join(map(self._named, beyond[:_MOST_NAMED]))
            finding.wrong.append(f"{named}{more}: must be {self.limit_text}")
        return finding

    def _named(self, sample: Sample) -> str:
        name = " ".join(sample.labels[label] for label in self.labels if sample.labels.get(label))
        return f"{name} {self.unit.text(sample.value)}".strip()


def metric(id: str, what: str, query: Metric, remediation: str) -> Check:
    """A check of a metric."""
    return Check(
        id=id,
        what=what,
        query=query.expression,
        limit=query.limit_text,
        remediation=remediation,
        run=_check_function(query),
    )


def _check_function(query: Metric) -> Callable[[Tools], Finding]:
    def run(tools: Tools) -> Finding:
        return query.judge(tools.context.thanos.instant(query.expression))

    return run
