"""Draws a dashboard: asks what its panels ask, as Grafana's page would, and draws it like ``ops dashboard``, of its
JSON. Everything in the JSON is what somebody saved: what is not of the expected form is passed over.

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

from components.dashboards.model import GRID, Column, Kind, Limit, Panel, Query, State, Tone
from lab.fakes.grafana import exchange
from lab.fakes.grafana.exchange import RefusedError
from lab.fakes.grafana.queries import Queries, Variable, interpolated
from lab.fakes.grafana.query_kinds import Window
from lab.fakes.grafana.sources import Source
from ops.core.web import FINEST_S, MOST_POINTS, step
from ops.dashboards.page import Card, Value, about, environment, page_content, safe_card
from ops.dashboards.panel_queries import Answer, Result, Span, read_answer
from services.charts import number

Json = Mapping[str, Any]

KINDS: Final[Mapping[str, Kind]] = {
    **{kind.value: kind for kind in Kind},
    "gauge": Kind.STAT,
    "graph": Kind.SERIES,
    "barchart": Kind.BARS,
}
"""Types of panels that are drawn of series."""
TABLES: Final = ("table", "logs", "traces")
"""Types of panels whose frames are shown as they come."""
_UNITS: Final = {
    "none": "",
    "short": "",
    "percentunit": "1",
    "percent": "%",
    "bytes": "By",
    "decbytes": "By",
    "binBps": "By/s",
    "Bps": "By/s",
    "hertz": "Hz",
    "bps": "bit/s",
    "celsius": "Cel",
    "volt": "V",
    "watt": "W",
}
"""Grafana's name of a unit -> UCUM; others are shown as they are."""
_TONES: Final[Mapping[str, Tone]] = {
    "green": "good",
    "blue": "note",
    "purple": "note",
    "yellow": "warning",
    "orange": "warning",
    "red": "bad",
}
_WORST: Final[Sequence[Tone]] = ("good", "note", "warning", "bad")
_SINCE: Final = re.compile(r"[1-9]\d{0,4}[smhd]")
_MOST: Final = 100
"""Rows, thresholds, words or columns that are read of one list, at most."""


def mapping(value: object) -> Json:
    """A JSON object; what is none is an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Json]:
    """The objects of a JSON list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: object, most: int = 2000) -> str:
    """A text; what is none is empty."""
    return value[:most] if isinstance(value, str) else ""


def rows_of(model: Json) -> list[tuple[str, list[Json]]]:
    """Panels under the heading of their row, from top to bottom; those of a row that is folded in as well."""
    rows: list[tuple[str, list[Json]]] = [("", [])]
    for panel in sorted(objects(model.get("panels")), key=_place):
        if panel.get("type") == "row":
            rows.append((text_of(panel.get("title")), sorted(objects(panel.get("panels")), key=_place)))
        else:
            rows[-1][1].append(panel)
    return [(title, panels) for title, panels in rows if panels]


def _place(panel: Json) -> tuple[float, float]:
    place = mapping(panel.get("gridPos"))
    return _number(place.get("y")) or 0.0, _number(place.get("x")) or 0.0


def targets_of(panel: Json) -> list[Json]:
    """Queries of a panel that are not switched off."""
    return [target for target in objects(panel.get("targets")) if target.get("hide") is not True]


def panel_of(panel: Json) -> Panel:
    """A panel, with a query for each of its targets."""
    defaults = mapping(mapping(panel.get("fieldConfig")).get("defaults"))
    kind, names = KINDS.get(text_of(panel.get("type")), Kind.TABLE), _headings(panel)
    targets, width = targets_of(panel), _number(mapping(panel.get("gridPos")).get("w")) or GRID / 2
    since = text_of(panel.get("timeFrom"))
    return Panel(
        title=text_of(panel.get("title")),
        description=text_of(panel.get("description")),
        kind=kind,
        unit=unit_of(defaults.get("unit")),
        queries=tuple(_query(panel, target, len(targets), names) for target in targets),
        width=int(min(GRID, max(1, width))),
        limits=_limits(mapping(defaults.get("thresholds"))),
        states=_states(objects(defaults.get("mappings"))),
        columns=tuple(
            Column(label=label, heading=heading) for label, heading in names.items() if not label.startswith("Value")
        ),
        since=since if _SINCE.fullmatch(since) else "",
        top=_top(objects(panel.get("transformations"))),
    )


def unit_of(name: object) -> str:
    """UCUM unit of one of Grafana."""
    written = text_of(name, 40)
    return written.removeprefix("suffix:").strip() if written.startswith("suffix:") else _UNITS.get(written, written)


def overrides_of(panel: Json, column: str) -> dict[str, Any]:
    """What overrides say of a column, by property."""
    properties: dict[str, Any] = {}
    for override in objects(mapping(panel.get("fieldConfig")).get("overrides"))[:_MOST]:
        if _matches(mapping(override.get("matcher")), column):
            properties |= {text_of(item.get("id")): item.get("value") for item in objects(override.get("properties"))}
    return properties


def _matches(matcher: Json, column: str) -> bool:
    wanted = text_of(matcher.get("options"), 200)
    if matcher.get("id") == "byName":
        return wanted == column
    if matcher.get("id") != "byRegexp":
        return False
    # A plain pattern only: one that somebody saved could keep a thread busy for ever.
    pattern, _, flags = wanted.removeprefix("/").rpartition("/") if wanted.startswith("/") else (wanted, "", "")
    if not re.fullmatch(r"\^?[\w ]+(?:\?[\w ]+)*\$?", pattern):
        return False
    return re.search(pattern, column, re.IGNORECASE if "i" in flags else 0) is not None


def _query(panel: Json, target: Json, count: int, names: Mapping[str, str]) -> Query:
    legend = text_of(target.get("legendFormat"), 500)
    value = "Value" if count == 1 else f"Value #{text_of(target.get('refId'))}"
    heading = names.get(value) or ("" if legend == "__auto" else legend)
    unit = overrides_of(panel, heading).get("unit") if panel.get("type") == "table" else None
    return Query(expr=text_of(target.get("expr"), 100_000), legend=heading, unit=unit_of(unit))


def _headings(panel: Json) -> dict[str, str]:
    """Column of a table -> its heading, in the order that the table gives them."""
    for transformation in objects(panel.get("transformations")):
        options = mapping(transformation.get("options"))
        order = mapping(options.get("indexByName"))
        if transformation.get("id") == "organize" and order:
            names = sorted((name for name in order if name != "Time"), key=lambda name: _number(order[name]) or 0.0)
            renamed = mapping(options.get("renameByName"))
            return {name: text_of(renamed.get(name), 200) or name for name in names[:_MOST]}
    return {}


def _top(transformations: Sequence[Json]) -> int:
    limits = [mapping(item.get("options")).get("limitField") for item in transformations if item.get("id") == "limit"]
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), 0)


def _limits(thresholds: Json) -> tuple[Limit, ...]:
    """Thresholds where a colour changes to a worse one (too high), or from a worse one (too low)."""
    if thresholds.get("mode") == "percentage":
        return ()
    limits: list[Limit] = []
    before: Tone | None = None
    for limit in objects(thresholds.get("steps"))[:_MOST]:
        tone, value = _tone(limit.get("color")), _number(limit.get("value"))
        if value is not None and tone and before and tone != before:
            worse = _WORST.index(tone) > _WORST.index(before)
            limits.append(
                Limit(value=value, label="limit", bad="above" if worse else "below", tone=tone if worse else before)
            )
        before = tone or before
    return tuple(limits)


def _states(mappings: Sequence[Json]) -> tuple[State, ...]:
    words = [mapping(item.get("options")) for item in mappings if item.get("type") == "value"]
    pairs = [(value, mapping(word)) for options in words for value, word in options.items()][:_MOST]
    return tuple(
        State(value=int(value), text=text_of(word.get("text"), 200), tone=_tone(word.get("color")) or "note")
        for value, word in pairs
        if re.fullmatch(r"-?\d{1,9}", value)
    )


def _tone(colour: object) -> Tone | None:
    return _TONES.get(text_of(colour, 40).rpartition("-")[2])


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e18 else None


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
            page = environment(exchange.TEMPLATES).get_template("dashboard.html.j2")
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
