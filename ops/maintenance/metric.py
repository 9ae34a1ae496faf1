"""Checks that are a query of PromQL with a limit, as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from ops.alerts.silences import span
from ops.core.rows import Finding
from ops.core.web import Sample
from ops.maintenance.model import Check, Tools

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
