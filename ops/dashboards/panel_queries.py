"""Asks the questions of a dashboard's panels: many at once, each timed, all within a limited time.

`GrafanaQueryClient` asks as Grafana's own pages do: one request of ``/api/ds/query`` for each panel, with the session
of whoever looks. `QueryClient` asks the read address of metrics, past Grafana.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Protocol

from components.dashboards.model import Kind, Panel, Query
from components.dashboards.promql import within
from ops.core.errors import OpsError, one_line
from ops.core.prometheus_text import seconds, seconds_of_option
from ops.core.web import FINEST_S, MOST_POINTS, Found, Metrics, step
from ops.core.web import Query as Server

if TYPE_CHECKING:
    from ops.core.grafana import Grafana

LIMIT_S = 60.0
"""Seconds for all questions of a page."""
WORKERS = 6
_RATE_LEAST_S = 60
"""Samples come every 15 s at most: a rate needs a few of them."""
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")


@dataclass(frozen=True, kw_only=True)
class Span:
    """The time that is looked at."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()

    def of(self, panel: Panel) -> Span:
        """The panel's own time, when it has one."""
        return Span(start=self.end - timedelta(seconds=seconds(panel.since)), end=self.end) if panel.since else self


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one query returned.

    Attributes:
        query: The query of the dashboard.
        expression: PromQL as it was sent.
        series: Labels and points; of a panel that shows the present one point each.
        latency_s: Seconds from the question to the whole answer.
        problem: Why there is none; empty when there is one.
    """

    query: Query
    expression: str
    series: tuple[Found, ...] = ()
    latency_s: float = math.nan
    problem: str = ""

    @property
    def points(self) -> int:
        """How many values there are that are numbers."""
        return sum(value is not None for line in self.series for _, value in line.points)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A panel with its answers, in the order of its queries."""

    panel: Panel
    span: Span
    answers: tuple[Answer, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong, each said once."""
        return tuple(dict.fromkeys(answer.problem for answer in self.answers if answer.problem))

    @property
    def empty(self) -> bool:
        """Whether any of the queries has no value."""
        return any(not answer.points for answer in self.answers)


class Source(Protocol):
    """Where questions go."""

    def expression(self, query: Query, span: Span) -> str:
        """PromQL as it is sent."""

    def batches(self, panel: Panel) -> Sequence[Sequence[int]]:
        """Numbers of a panel's queries; those that are asked together are together."""

    def answers(self, panel: Panel, numbers: Sequence[int], span: Span) -> Sequence[Answer]:
        """Answers of some of a panel's queries; a server that fails gives answers with a problem."""


@dataclass(frozen=True, kw_only=True)
class GrafanaQueryClient:
    """Grafana, as somebody who is logged in.

    Attributes:
        grafana: The visitor.
        chosen: Values of the dashboard's variables, regular expressions; one that is not listed means all.
    """

    grafana: Grafana
    chosen: Mapping[str, str] = field(default_factory=dict)

    def expression(self, query: Query, span: Span) -> str:
        """PromQL with the dashboard's variables filled in by the page; those with two underscores are Grafana's."""
        del span
        text = within(query.expr, 'region=~"$region"')
        return _VARIABLE.sub(
            lambda match: match.group() if match.group(1).startswith("__") else self.chosen.get(match.group(1), ".*"),
            text,
        )

    def batches(self, panel: Panel) -> Sequence[Sequence[int]]:
        """All queries of a panel are one request."""
        return (range(len(panel.queries)),)

    def answers(self, panel: Panel, numbers: Sequence[int], span: Span) -> Sequence[Answer]:
        """Answers of a panel."""
        queries = {ascii_uppercase[number]: panel.queries[number] for number in numbers}
        began = time.monotonic()
        try:
            results = self._results(
                [self._query(panel, letter, query, span) for letter, query in queries.items()], span
            )
        except OpsError as error:
            results = {letter: {"error": one_line(error, 200)} for letter in queries}
        took = time.monotonic() - began
        return [
            read_answer(query, self.expression(query, span), results.get(letter), took)
            for letter, query in queries.items()
        ]

    def _query(self, panel: Panel, letter: str, query: Query, span: Span) -> dict[str, Any]:
        # Not at the head: the lab's fake of Grafana reads answers by this module and has no client of Grafana.
        from ops.core.grafana import METRICS

        lines = panel.kind is Kind.SERIES
        form = "table" if panel.kind in (Kind.TABLE, Kind.GRAPH) else "time_series"
        return {
            "refId": letter,
            "datasource": {"type": "prometheus", "uid": METRICS},
            "expr": self.expression(query, span),
            "range": lines,
            "instant": not lines,
            "exemplar": lines and panel.exemplars,
            "format": form,
            "legendFormat": query.legend or "__auto",
            "interval": f"{FINEST_S:g}s",
            "intervalMs": int(step(span.start, span.end) * 1000),
            "maxDataPoints": MOST_POINTS,
        }

    def _results(self, queries: Sequence[Mapping[str, Any]], span: Span) -> dict[str, Any]:
        """What Grafana says of each query.

        Raises:
            OpsError: There was no answer, or none in Grafana's form.
        """
        body = {
            "queries": list(queries),
            "from": f"{span.start.timestamp() * 1000:.0f}",
            "to": f"{span.end.timestamp() * 1000:.0f}",
        }
        with self.grafana.call("POST", "/api/ds/query", body=body) as response:
            try:
                content = response.json()
            except ValueError:
                raise OpsError(f"Grafana answers {response.status_code} to a panel, and no JSON") from None
            results = content.get("results") if isinstance(content, dict) else None
            # With 400 some of the queries may have failed; which ones is in the results.
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST) or not isinstance(results, dict):
                said = content.get("message") if isinstance(content, dict) else None
                why = f": {one_line(said, 120)}" if said else ", and not in its form"
                raise OpsError(f"Grafana answers {response.status_code} to a panel{why}")
        return results


def read_answer(query: Query, expression: str, result: object, took: float) -> Answer:
    """The answer of one query, from Grafana's frames.

    Args:
        query: The query of the dashboard.
        expression: PromQL as it was sent.
        result: What ``/api/ds/query`` says of it.
        took: Seconds from the question to the answer.
    """
    if not isinstance(result, dict):
        return Answer(query=query, expression=expression, problem="Grafana has no answer to this query")
    if "error" in result:
        return Answer(query=query, expression=expression, problem=one_line(result["error"], 200))
    try:
        series = tuple(_series(frame) for frame in result["frames"] if not _exemplars(frame))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return Answer(query=query, expression=expression, problem="Grafana's answer is no time series")
    return Answer(query=query, expression=expression, series=series, latency_s=took)


def _exemplars(frame: Mapping[str, Any]) -> bool:
    """Whether a frame is about single requests, which are drawn over the series."""
    custom = frame["schema"].get("meta", {}).get("custom", {})
    return isinstance(custom, dict) and custom.get("resultType") == "exemplar"


def _series(frame: Mapping[str, Any]) -> Found:
    _, column = frame["schema"]["fields"]
    times, values = frame["data"]["values"]
    return Found(
        labels=dict(column.get("labels") or {}),
        points=tuple(
            (at / 1000, None if value is None else float(value)) for at, value in zip(times, values, strict=True)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class QueryClient:
    """The read address of metrics.

    Attributes:
        metrics: For values over time.
        now: For values at one moment.
        chosen: Values of the dashboard's variables, regular expressions; one that is not listed means all.
    """

    metrics: Metrics
    now: Server
    chosen: Mapping[str, str] = field(default_factory=dict)

    def expression(self, query: Query, span: Span) -> str:
        """PromQL with everything filled in that Grafana would fill in."""
        text = within(query.expr, 'region=~"$region"')
        known = {
            "__rate_interval": f"{max(_RATE_LEAST_S, int(step(span.start, span.end)) * 2)}s",
            "__range": f"{int(span.seconds)}s",
            **self.chosen,
        }
        return _VARIABLE.sub(lambda match: known.get(match.group(1), ".*"), text)

    def batches(self, panel: Panel) -> Sequence[Sequence[int]]:
        """Every query is a request of its own."""
        return [[number] for number in range(len(panel.queries))]

    def answers(self, panel: Panel, numbers: Sequence[int], span: Span) -> Sequence[Answer]:
        """Answers of some of a panel's queries."""
        return [self.answer(panel, panel.queries[number], span) for number in numbers]

    def answer(self, panel: Panel, query: Query, span: Span) -> Answer:
        """One answer; a server that fails gives an answer with a problem."""
        expression, began = self.expression(query, span), time.monotonic()
        try:
            if panel.kind is Kind.SERIES:
                lines = self.metrics.over(expression, span.start, span.end, step(span.start, span.end))
            else:
                lines = [
                    Found(labels=sample.labels, points=((sample.time, _finite(sample.value)),))
                    for sample in self.now.instant(expression, span.end.timestamp())
                ]
        except OpsError as error:
            return Answer(query=query, expression=expression, problem=one_line(error, 200))
        return Answer(query=query, expression=expression, series=tuple(lines), latency_s=time.monotonic() - began)


def ask(
    query_client: Source,
    panels: Sequence[Panel],
    span: Span,
    *,
    limit_s: float = LIMIT_S,
    workers: int = WORKERS,
    done: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Ask everything that some panels show.

    Args:
        query_client: Where to ask.
        panels: The panels.
        span: The time that is looked at.
        limit_s: Seconds for all of it; what has not been answered by then is a problem of its panel.
        workers: Requests at the same time.
        done: Told after each request.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="panel")
    pending: dict[tuple[int, int], tuple[Future[Sequence[Answer]], int]] = {}
    for number, panel in enumerate(panels):
        for batch in query_client.batches(panel):
            future = pool.submit(query_client.answers, panel, batch, span.of(panel))
            future.add_done_callback(lambda _: done())
            pending |= {(number, query): (future, place) for place, query in enumerate(batch)}
    wait({future for future, _ in pending.values()}, timeout=limit_s)
    pool.shutdown(wait=False, cancel_futures=True)
    return [
        Result(
            panel=panel,
            span=span.of(panel),
            answers=tuple(
                _taken(*pending[number, index], query_client, query, span.of(panel), limit_s)
                for index, query in enumerate(panel.queries)
            ),
        )
        for number, panel in enumerate(panels)
    ]


def _taken(
    future: Future[Sequence[Answer]], place: int, query_client: Source, query: Query, span: Span, limit_s: float
) -> Answer:
    expression = query_client.expression(query, span)
    if not future.done() or future.cancelled():
        return Answer(query=query, expression=expression, problem=f"no answer within {limit_s:g} s")
    error = future.exception()
    if error is not None:
        return Answer(query=query, expression=expression, problem=f"{type(error).__name__}: {one_line(error, 160)}")
    return future.result()[place]


def latencies(results: Iterable[Result]) -> list[float]:
    """Seconds of all answers, quickest first."""
    return sorted(answer.latency_s for result in results for answer in result.answers if not answer.problem)


def quantile(values: Sequence[float], share: float) -> float:
    """Of sorted values the one that a share of them does not exceed; no number when there are none."""
    return values[max(0, math.ceil(len(values) * share) - 1)] if values else math.nan


def span(length: str, end: datetime | None = None) -> Span:
    """The time that ends now, from the value of ``--range``.

    Raises:
        OpsError: The length is no duration, or not between a minute and 30 days.
    """
    now = end or datetime.now(UTC)
    length_s = seconds_of_option("--range", length, shortest="60s", longest="30d")
    return Span(start=now - timedelta(seconds=length_s), end=now)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
