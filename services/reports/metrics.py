"""Asks Thanos Query (HTTPS verified against one CA, Basic auth, bounded in time) and runs the queries of one report,
with a list of the failed ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from services.reports.model import DAY, HOUR, Period, ReportError, Text, translate
from services.reports.queries import HISTORY, Query
from services.runtime import one_line

TIMEOUT = (10.0, 120.0)
"""Seconds to connect, and to wait for an answer: a month is a large question."""
TRIES = Retry(
    total=None, connect=5, read=False, redirect=0, status=0, other=0, backoff_factor=1.0, allowed_methods=None
)
"""Of a connection, within about half a minute: the network lets a pod out some seconds after the pod began."""
MOST_POINTS = 10_000
"""Prometheus refuses a range with more points than 11,000."""


class RefusedError(ReportError):
    """The server answered, and said no to this one question."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One series of an answer about one moment."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series of an answer about a range: seconds since 1970 and value, oldest first, without gaps' NaN."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Metrics(Protocol):
    """Who answers PromQL."""

    @property
    def warnings(self) -> Sequence[str]:
        """What answers were incomplete over: a store that did not answer, for one."""

    def instant(self, expression: str, at: float) -> list[Sample]:
        """Answer about one moment; series without a number are left out.

        Raises:
            RefusedError: This question is not answered.
            ReportError: There is no answer to any question.
        """

    def range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Answer about ``start`` to ``end``, a point every ``step`` seconds.

        Raises:
            RefusedError: This question is not answered.
            ReportError: There is no answer to any question.
        """


class ThanosMetrics:
    """Thanos Query, or a Prometheus: the same interface."""

    def __init__(self, url: str, *, ca_file: Path, user: str, password: str) -> None:
        """Get ready.

        Args:
            url: ``https://host:port``, with a path where there is one.
            ca_file: The only authority that is trusted.
            user: Reader.
            password: Its password.
        """
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca_file)
        self._session.auth = (user, password)
        self._session.mount("https://", HTTPAdapter(max_retries=TRIES))
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> Sequence[str]:
        """As `Metrics` says."""
        return tuple(self._warnings)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def instant(self, expression: str, at: float) -> list[Sample]:
        """As `Metrics` says."""
        vector = self._ask("query", {"query": expression, "time": f"{at:.3f}"}, "vector")
        samples = [Sample(labels=sample["metric"], value=float(sample["value"][1])) for sample in vector]
        return [sample for sample in samples if math.isfinite(sample.value)]

    def range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """As `Metrics` says."""
        if (end - start) / step > MOST_POINTS:
            raise RefusedError(f"{(end - start) / step:.0f} points are too many, use a step of more than {step:.0f} s")
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        matrix = self._ask("query_range", {"query": expression, **times}, "matrix")
        return [
            Series(
                labels=series["metric"],
                points=[(float(at), float(value)) for at, value in series["values"] if math.isfinite(float(value))],
            )
            for series in matrix
        ]

    def _ask(self, path: str, data: Mapping[str, str], kind: str) -> list[dict[str, Any]]:
        url = f"{self._url}/api/v1/{path}"
        try:
            response = self._session.post(url, data=dict(data), timeout=TIMEOUT, allow_redirects=False)
        except requests.ReadTimeout:
            raise RefusedError(f"no answer within {TIMEOUT[1]:.0f} s") from None
        except requests.RequestException as error:
            raise ReportError(f"{self._url} cannot be asked: {one_line(_cause(error))}") from None
        with response:
            if response.status_code in (401, 403):
                raise ReportError(
                    f"{self._url} refuses the user {self._user!r}: {response.status_code}; see its password"
                )
            try:
                body = response.json()
            except json.JSONDecodeError:
                raise RefusedError(f"{response.status_code} without JSON: {one_line(response.text, 120)}") from None
        if not isinstance(body, dict) or body.get("status") != "success":
            reason = body.get("error", "") if isinstance(body, dict) else body
            raise RefusedError(one_line(f"{response.status_code}: {reason}"))
        self._warnings.update(dict.fromkeys(one_line(warning) for warning in body.get("warnings") or ()))
        answer = body["data"]
        if answer.get("resultType") != kind:
            raise RefusedError(f"the answer is a {answer.get('resultType')}, not a {kind}")
        result: list[dict[str, Any]] = answer["result"]
        return result

    @property
    def _user(self) -> str:
        auth = self._session.auth
        return str(auth[0]) if isinstance(auth, tuple) else ""


def _cause(error: BaseException) -> BaseException:
    """The innermost reason, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return error


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
