"""Draws a dashboard: asks what its panels ask, as Grafana's page would, and draws it like ``ops dashboard``.

Panels, series, time and the size of the page are bounded; what is left out says so.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

from components.dashboards.model import Column, Kind
from lab.fakes.grafana import markup
from lab.fakes.grafana.exchange import RefusedError
from lab.fakes.grafana.panels import KINDS, TABLES, Json, mapping, objects, overrides_of, panel_of, rows_of, targets_of
from lab.fakes.grafana.panels import text as text_of
from lab.fakes.grafana.queries import Queries
from lab.fakes.grafana.query_kinds import Window
from lab.fakes.grafana.sources import Source
from lab.fakes.grafana.variables import Variable, interpolated
from ops.core.web import FINEST_S, MOST_POINTS, step
from ops.dashboards.page import Card, Value, about, environment, page_content, safe_card
from ops.dashboards.panel_queries import Answer, Result, Span, read_answer
from services.charts import number

_MOST_PANELS: Final = 80
_MOST_SERIES: Final = 200
_MOST_ROWS: Final = 200
_MOST_COLUMNS: Final = 8
_LONGEST_CELL: Final = 400
_AT_ONCE: Final = 6
_ASK_S: Final = 30.0
_DRAW_S: Final = 45.0
_PAGE_BYTES: Final = 8 * 1024 * 1024
_TURN: Final = threading.Lock()
"""Drawings share settings of the whole process: one page after the other."""
_EXPRESSION: Final = re.compile(r"\$\{([^}]*)\}")
_SPANS: Final = {
    "startTime": "start, ms",
    "duration": "duration, ms",
    "serviceName": "service",
    "operationName": "call",
}


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What was answered to a panel: the result of each of its queries, or why there is none."""

    results: Mapping[str, Json]
    problem: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One look at a dashboard.

    Attributes:
        variables: Its variables.
        window: The time that is looked at.
        queries: What answers.
        find: Data source of a reference.
    """

    variables: Mapping[str, Variable]
    window: Window
    queries: Queries
    find: Callable[[object, Mapping[str, Variable]], Source | None]

    def page(self, model: Json, *, title: str, **head: object) -> str:
        """The page as HTML.

        Args:
            model: The dashboard.
            title: Its title.
            head: What its head shows.

        Raises:
            RefusedError: 503, others are being drawn.
        """
        rows = rows_of(model)
        panels = [panel for _, listed in rows for panel in listed]
        answers = self._answers(panels[:_MOST_PANELS])
        with _turn():
            cards = iter(self._cards(panels, answers))
            drawn = [(heading, [next(cards) for _ in listed]) for heading, listed in rows]
            content = page_content(title, text_of(model.get("description")), drawn, self._span)
            page = environment(markup.TEMPLATES).get_template("dashboard.html.j2")
            return page.render(region="drawn by the platform's fake of Grafana", **content, **head)

    @property
    def _span(self) -> Span:
        start, end = (datetime.fromtimestamp(at, UTC) for at in (self.window.begin, self.window.end))
        return Span(start=start, end=end)

    def _answers(self, panels: Sequence[Json]) -> list[_Told]:
        """Answers of panels, many at once, in their order."""
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="page")
        futures = [pool.submit(self._ask, panel) for panel in panels]
        wait(futures, timeout=_ASK_S)
        pool.shutdown(wait=False, cancel_futures=True)
        late = _Told(results={}, problem=f"no answer within {_ASK_S:g} s")
        return [future.result() if future.done() and not future.cancelled() else late for future in futures]

    def _ask(self, panel: Json) -> _Told:
        began = time.monotonic()
        try:
            span = self._span.of(panel_of(panel))
            queries = [self._query(panel, target, span) for target in targets_of(panel)]
            if not queries:
                return _Told(results={}, problem="the panel asks nothing")
            times = {"from": f"{span.start.timestamp() * 1000:.0f}", "to": f"{span.end.timestamp() * 1000:.0f}"}
            return _Told(results=self.queries.results({"queries": queries, **times}), took_s=time.monotonic() - began)
        except RefusedError as error:
            return _Told(results={}, problem=str(error))
        except Exception as error:  # What somebody saved is of no known form; the other panels are worth seeing.
            return _Told(results={}, problem=f"cannot be asked: {type(error).__name__}")

    def _query(self, panel: Json, target: Json, span: Span) -> dict[str, Any]:
        """A query as the page sends it: with the dashboard's variables filled in."""
        reference = target.get("datasource") or panel.get("datasource")
        source = self.find(reference, self.variables)
        plugin = source.type if source else text_of(mapping(reference).get("type"))
        filled = {
            name: interpolated(value, self.variables, plugin) if isinstance(value, str) and name != "refId" else value
            for name, value in target.items()
        }
        uid = source.uid if source else interpolated(text_of(mapping(reference).get("uid")), self.variables, plugin)
        return {
            "refId": "A",
            **filled,
            "datasource": {"type": plugin, "uid": uid},
            "interval": text_of(target.get("interval")) or text_of(panel.get("interval")) or f"{FINEST_S:g}s",
            "intervalMs": int(step(span.start, span.end) * 1000),
            "maxDataPoints": MOST_POINTS,
        }

    def _cards(self, panels: Sequence[Json], answers: Sequence[_Told]) -> Iterator[Card]:
        began, size = time.monotonic(), 0
        for index, panel in enumerate(panels):
            if index >= len(answers):
                card = _plain(panel, problem=f"left out: a page has at most {_MOST_PANELS} panels")
            elif time.monotonic() - began > _DRAW_S:
                card = _plain(panel, problem=f"left out: the page took longer than {_DRAW_S:g} s")
            elif size > _PAGE_BYTES:
                card = _plain(panel, problem=f"left out: the page is larger than {_PAGE_BYTES >> 20} MiB")
            else:
                card = self._safe_card(index, panel, answers[index])
            size += len(card.picture) + sum(len(cell.text) for row in card.rows for cell in row)
            yield card

    def _safe_card(self, index: int, panel: Json, told: _Told) -> Card:
        try:
            return self._card(index, panel, told)
        except Exception as error:  # As above.
            return _plain(panel, problem=f"cannot be drawn: {type(error).__name__}")

    def _card(self, index: int, panel: Json, told: _Told) -> Card:
        kind = text_of(panel.get("type"))
        if kind not in KINDS and kind not in TABLES:
            return _plain(panel, problem=f"the fake draws no panels of the type {kind[:40]!r}")
        frames = [frame for result in told.results.values() for frame in objects(result.get("frames"))]
        if kind in TABLES and any(not _of_series(frame) for frame in frames):
            return self._table(panel, kind, frames)
        return self._series(index, panel, told)

    def _series(self, index: int, panel: Json, told: _Told) -> Card:
        shown, left_out = panel_of(panel), 0
        answers: list[Answer] = []
        for query, target in zip(shown.queries, targets_of(panel), strict=True):
            result = told.results.get(text_of(target.get("refId")) or "A")
            expression = interpolated(query.expr, self.variables, "prometheus")
            if told.problem:
                answer = Answer(query=query, expression=expression, problem=told.problem)
            else:
                answer = read_answer(query, expression, result, told.took_s)
            left_out += max(0, len(answer.series) - _MOST_SERIES)
            answers.append(replace(answer, series=answer.series[:_MOST_SERIES]))
        if not answers:
            return _plain(panel, problem=told.problem)
        if shown.kind is Kind.TABLE and not shown.columns:
            names = sorted({name for answer in answers for line in answer.series for name in line.labels})
            columns = tuple(Column(label=name, heading=name) for name in names[:_MOST_COLUMNS])
            shown = replace(shown, columns=columns)
        shown = shown if shown.top or shown.kind is not Kind.TABLE else replace(shown, top=_MOST_ROWS)
        card = safe_card(index, Result(panel=shown, span=self._span.of(shown), answers=tuple(answers)))
        note = f"{left_out} more series are left out" if left_out else ""
        return replace(card, note="; ".join(filter(None, (card.note, note))))

    def _table(self, panel: Json, kind: str, frames: Sequence[Json]) -> Card:
        """Frames of traces, logs and documents, the first of them as a table."""
        schema = mapping(frames[0].get("schema"))
        fields = objects(schema.get("fields"))
        columns = dict(zip((field["name"] for field in fields), frames[0]["data"]["values"], strict=True))
        kinds = {field["name"]: field["type"] for field in fields}
        linked = self._linked(panel)
        if kind == "traces" and _SPANS.keys() <= columns.keys():
            begin = min(columns["startTime"], default=0)
            columns["startTime"] = [at - begin for at in columns["startTime"]]
            names, heads = list(_SPANS), list(_SPANS.values())
        else:
            plain = list(columns)[:3] if kind == "logs" else [name for name in columns if kinds[name] != "other"]
            names = heads = [*plain, *(name for name in linked if name in columns and name not in plain)][
                :_MOST_COLUMNS
            ]
        urls = {name: linked.get(name) or _link_of(panel, name) for name in names}
        rows = [
            [self._cell(columns[name][at], kinds[name], urls[name]) for name in names]
            for at in range(min(_MOST_ROWS, len(next(iter(columns.values()), ()))))
        ]
        if not rows:
            return _plain(panel, problem="no data")
        return replace(_plain(panel), head=heads, rows=rows, empty=False)

    def _linked(self, panel: Json) -> dict[str, str]:
        """Fields that the data source links to somewhere."""
        source = next((self.find(target.get("datasource"), self.variables) for target in targets_of(panel)), None)
        links = objects(source.data.get("dataLinks")) if source else []
        return {text_of(link.get("field")): text_of(link.get("url")) for link in links}

    def _cell(self, value: object, kind: str, url: str) -> Value:
        if value is None:
            return Value(label="", text="")
        if kind == "time" and isinstance(value, int | float):
            return Value(label="", text=f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}")
        if isinstance(value, int | float):
            return Value(label="number", text=number(value))
        text = value if isinstance(value, str) else json.dumps(value)
        return Value(label="", text=text[:_LONGEST_CELL], href=self._address(url, text))

    def _address(self, url: str, value: str) -> str:
        """Where a value leads to: a page of this site, or nowhere."""
        period = urlencode({"from": round(self.window.begin * 1000), "to": round(self.window.end * 1000)})
        known = {
            "__value.raw": quote(value, safe=""),
            "__value.text": quote(value, safe=""),
            "__url_time_range": period,
        }
        address = _EXPRESSION.sub(lambda match: known.get(match[1], ""), url)
        return address if address.startswith("/d/") else ""


@contextmanager
def _turn() -> Iterator[None]:
    if not _TURN.acquire(timeout=_DRAW_S):
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "other pages are being drawn: try again")
    try:
        yield
    finally:
        _TURN.release()


def _plain(panel: Json, *, problem: str = "") -> Card:
    queries = [text_of(target.get("expr") or target.get("query"), 1000) for target in targets_of(panel)]
    return replace(about(panel_of(panel)), problem=problem, queries=queries, empty=bool(problem))


def _of_series(frame: Json) -> bool:
    fields = objects(mapping(frame.get("schema")).get("fields"))
    return [field.get("type") for field in fields] == ["time", "number"]


def _link_of(panel: Json, column: str) -> str:
    links = objects(overrides_of(panel, column).get("links"))
    return text_of(links[0].get("url")) if links else ""
