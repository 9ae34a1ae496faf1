"""Runs the queries of one report: fills in times, and keeps a list of the failed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.reports.errors import one_line
from services.reports.i18n import translate
from services.reports.metrics import Metrics, RefusedError, Series
from services.reports.periods import DAY, HOUR, Period
from services.reports.queries import HISTORY, Query
from services.reports.text import Text

LOOKBACK = 90 * DAY
"""How far back history is looked for."""
_FINE = 60.0


@dataclass(kw_only=True)
class QueryRunner:
    """Asks about one period.

    Attributes:
        metrics: Who answers.
        period: The period.
        start: From when on there is history in it, seconds since 1970.
        end: Its end, or now where it is not over.
        history: Where history begins, within `LOOKBACK`; None where there is none.
        problems: What was not answered.
    """

    metrics: Metrics
    period: Period
    start: float
    end: float
    history: float | None
    problems: list[Text] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Length of what is known of the period."""
        return max(self.end - self.start, 0.0)

    @property
    def history_s(self) -> float:
        """Length of the history that there is at the end of the period."""
        return 0.0 if self.history is None else max(self.end - self.history, 0.0)

    def by(
        self, query: Query, label: str, *, at: float | None = None, seconds: float | None = None
    ) -> dict[str, float]:
        """Values by one label, at ``at`` (the end) over the ``seconds`` before (what is known of the period)."""
        values: dict[str, float] = {}
        for labels, value in self.every(query, at=at, seconds=seconds):
            name = labels.get(label, "")
            values[name] = max(value, values.get(name, value))
        return dict(sorted(values.items()))

    def every(
        self, query: Query, *, at: float | None = None, seconds: float | None = None
    ) -> list[tuple[Mapping[str, str], float]]:
        """All values with their labels."""
        window = self.seconds if seconds is None else seconds
        expression = query.expr.replace("$range", f"{max(round(window), 60)}s")
        try:
            samples = self.metrics.instant(expression, self.end if at is None else at)
        except RefusedError as error:
            self._note(query.name, error)
            return []
        return [(sample.labels, sample.value) for sample in samples]

    def number(self, query: Query, *, at: float | None = None, seconds: float | None = None) -> float | None:
        """The one value; None where there is none."""
        values = [value for _, value in self.every(query, at=at, seconds=seconds)]
        return values[0] if values else None

    def lines(self, name: str, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Lines over time. A point tells of the step before it, so the first is one step after ``start``."""
        if end - start < step:
            return []
        filled = expression.replace("$step", f"{round(step)}s")
        try:
            return self.metrics.range(filled, start + step, end, step)
        except RefusedError as error:
            self._note(name, error)
            return []

    def line(self, name: str, expression: str, start: float, end: float, step: float) -> list[tuple[float, float]]:
        """The points of one line; none where there is none."""
        lines = self.lines(name, expression, start, end, step)
        return list(lines[0].points) if lines else []

    def _note(self, name: str, error: RefusedError) -> None:
        self.problems.append(translate("problem.query", name=name, error=one_line(error)))


def make_runner(metrics: Metrics, period: Period, now: float) -> QueryRunner:
    """An `QueryRunner` for a period that knows how much history there is.

    Raises:
        ReportError: Nobody answers.
    """
    end = min(period.end, now)
    history = _history(metrics, end)
    start = period.start if history is None else max(period.start, history)
    return QueryRunner(metrics=metrics, period=period, start=min(start, end), end=end, history=history)


def _history(metrics: Metrics, end: float) -> float | None:
    """Where history begins: to the hour, and to the minute where it is younger than a day."""
    first = _first(metrics, end - LOOKBACK, end, HOUR)
    if first is None or end - first < DAY:
        return _first(metrics, end - DAY - HOUR, end, _FINE) or first
    return first


def _first(metrics: Metrics, start: float, end: float, step: float) -> float | None:
    times = [index.points[0][0] for index in metrics.range(HISTORY.expr, start, end, step) if index.points]
    return min(times, default=None)
