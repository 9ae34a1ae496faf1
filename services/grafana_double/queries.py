"""``/api/ds/query`` for Prometheus: instant and range queries, answered as Grafana's data frames."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from services.grafana_double.exchange import Answer, Need, RefusedError, Request, Route, told
from services.grafana_double.proxy import Proxy, SourceAwayError
from services.grafana_double.sources import Source

_MOST_QUERIES: Final = 50
_MOST_POINTS: Final = 11_000
_LEAST_STEP_S: Final = 15
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Queries:
    """Queries by Grafana's own language around PromQL."""

    def __init__(self, sources: tuple[Source, ...], proxy: Proxy) -> None:
        """Ask those sources."""
        self._sources = {source.uid: source for source in sources}
        self._proxy = proxy

    def routes(self) -> list[Route]:
        """Its routes."""
        return [Route(method="POST", path="/api/ds/query", need=Need.PERSON, handle=self._query)]

    def _query(self, request: Request) -> Answer:
        content = request.content()
        queries = content.get("queries")
        if not isinstance(queries, list) or not queries:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "no queries found")
        if len(queries) > _MOST_QUERIES or not all(isinstance(each, dict) for each in queries):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"bad request data: at most {_MOST_QUERIES} queries")
        now = time.time()
        begin, end = moment(content.get("from", "now-1h"), now), moment(content.get("to", "now"), now)
        results = {str(each.get("refId", "A")): self._one(each, begin, end) for each in queries}
        failed = any("error" in each for each in results.values())
        return told({"results": results}, HTTPStatus.BAD_REQUEST if failed else HTTPStatus.OK)

    def _one(self, query: Mapping[str, Any], begin: float, end: float) -> dict[str, Any]:
        given = query.get("datasource")
        source = self._sources.get(str(given.get("uid")) if isinstance(given, dict) else "")
        expression = query.get("expr")
        if source is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Data source not found")
        if source.type != "prometheus":
            return _failed(HTTPStatus.NOT_IMPLEMENTED, "the double answers queries of Prometheus only; use the proxy")
        if not isinstance(expression, str) or not expression.strip():
            return _failed(HTTPStatus.BAD_REQUEST, "the query has no expr")
        instant = query.get("instant") is True and query.get("range") is not True
        step = step_of(query, begin, end)
        asked: dict[str, Any] = {"query": expression}
        asked |= {"time": end} if instant else {"start": begin, "end": end, "step": step}
        target = f"api/v1/{'query' if instant else 'query_range'}"
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "identity"}
        try:
            answer = self._proxy.ask(source, "POST", target, urlencode(asked).encode(), headers)
        except SourceAwayError as error:
            return _failed(error.status, error.status.phrase)
        try:
            found = json.loads(answer.body)
            if found.get("status") != "success":
                return _failed(HTTPStatus(answer.status), str(found.get("error", "the query failed"))[:500])
            return {"status": 200, "frames": frames(found["data"], str(query.get("refId", "A")), expression, step)}
        except (ValueError, KeyError, TypeError, AttributeError):
            return _failed(HTTPStatus.BAD_GATEWAY, "the data source's answer cannot be read")


def moment(value: object, now: float) -> float:
    """A time of a query, in seconds: milliseconds since 1970 as number or text, ``now``, or ``now-6h``.

    Raises:
        RefusedError: 400, it is none of them.
    """
    text = str(value)
    if text.isdigit() and len(text) < 16:
        return int(text) / 1000
    if text == "now":
        return now
    count, unit = text.removeprefix("now-")[:-1], text[-1:]
    if text.startswith("now-") and count.isdigit() and unit in _UNITS and len(count) < 9:
        return now - int(count) * _UNITS[unit]
    raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data: from and to are milliseconds, now, or now-6h")


def step_of(query: Mapping[str, Any], begin: float, end: float) -> int:
    """Seconds between two points: what the panel has room for, and not more points than Prometheus gives."""
    wanted = query.get("intervalMs")
    milliseconds = wanted if isinstance(wanted, int) and not isinstance(wanted, bool) else 0
    return max(_LEAST_STEP_S, milliseconds // 1000, int((end - begin) / _MOST_POINTS) + 1)


def frames(data: Mapping[str, Any], ref: str, expression: str, step: int) -> list[dict[str, Any]]:
    """Prometheus' result as data frames: a column of times in milliseconds and one of values for each series."""
    kind, result = data["resultType"], data["result"]
    series = [{"metric": {}, "values": [result]}] if kind == "scalar" else result
    return [_frame(each, ref, expression, step) for each in series]


def _frame(series: Mapping[str, Any], ref: str, expression: str, step: int) -> dict[str, Any]:
    labels = series["metric"]
    points = series.get("values") or [series["value"]]
    name = labels.get("__name__", "Value")
    return {
        "schema": {
            "refId": ref,
            "meta": {"type": "timeseries-multi", "executedQueryString": f"Expr: {expression}\nStep: {step}s"},
            "fields": [
                {
                    "name": "Time",
                    "type": "time",
                    "typeInfo": {"frame": "time.Time"},
                    "config": {"interval": step * 1000},
                },
                {"name": name, "type": "number", "typeInfo": {"frame": "float64"}, "labels": labels},
            ],
        },
        "data": {"values": [[int(at * 1000) for at, _ in points], [_number(value) for _, value in points]]},
    }


def _number(value: str) -> float | None:
    number = float(value)
    return number if number - number == 0 else None


def _failed(status: HTTPStatus, message: str) -> dict[str, Any]:
    return {"status": int(status), "error": message}
