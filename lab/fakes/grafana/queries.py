"""``/api/ds/query``: what panels ask, in Grafana's form, answered as data frames or as the error of each query.

The way of a panel's question in the real Grafana: the page sends every query of the panel at once, the server asks the
data source with its own login, and answers with 400 as soon as one query failed, with the reasons beside the frames of
the others. What the fake cannot answer is an error, never an answer without frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from http import HTTPStatus
from typing import Any, Final

from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.proxy import Proxy, SourceAwayError
from lab.fakes.grafana.query_kinds import (
    FailedQueryError,
    Question,
    Window,
    ask_jaeger,
    ask_prometheus,
    ask_search,
)
from lab.fakes.grafana.sources import Source

_MOST_QUERIES: Final = 50
_BODY_LIMIT: Final = 1024 * 1024
_LONGEST_S: Final = 366 * 86_400
_MOST_POINTS: Final = 100_000
_ALL_S: Final = 60.0
"""Seconds for all queries of a request together."""
_WORKERS: Final = 24
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 30 * 86_400, "y": 365 * 86_400}
_ASK: Final[Mapping[str, Callable[[Proxy, Source, Question], list[dict[str, Any]]]]] = {
    "prometheus": ask_prometheus,
    "jaeger": ask_jaeger,
    "elasticsearch": ask_search,
    "grafana-opensearch-datasource": ask_search,
}


class Queries:
    """Questions of panels."""

    def __init__(self, sources: tuple[Source, ...], proxy: Proxy) -> None:
        """Ask those sources."""
        self._sources = {source.uid: source for source in sources}
        self._proxy = proxy
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="query")

    def routes(self) -> list[Route]:
        """Its routes."""
        return [
            Route(
                method="POST",
                path="/api/ds/query",
                need=Need.PERSON,
                action="datasources:query",
                handle=self._query,
            )
        ]

    def _query(self, request: Request) -> Answer:
        if len(request.body) > _BODY_LIMIT:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {_BODY_LIMIT} bytes")
        results = self.results(request.content())
        failed = any("error" in answer for answer in results.values())
        return told({"results": results}, HTTPStatus.BAD_REQUEST if failed else HTTPStatus.OK)

    def results(self, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Answers of all queries of a request, by their names: frames, or an error.

        Args:
            content: ``queries``, ``from`` and ``to``, as the body of a request has them.

        Raises:
            RefusedError: The request is none that can be answered.
        """
        queries = content.get("queries")
        if not isinstance(queries, list) or not queries:
            raise _refused("query.noQueries", "No queries found")
        if len(queries) > _MOST_QUERIES or not all(isinstance(query, dict) for query in queries):
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"bad request data: at most {_MOST_QUERIES} queries")
        window = window_of(content, time.time())
        questions = [(self._source(query), question_of(query, window)) for query in queries]
        refs = [question.ref for _, question in questions]
        if len(set(refs)) != len(refs):
            raise _refused("query.duplicateRefId", "Multiple queries using the same RefId is not allowed")
        under_way = {question.ref: self._pool.submit(self._one, source, question) for source, question in questions}
        wait(under_way.values(), timeout=_ALL_S)
        return {ref: _taken(future) for ref, future in under_way.items()}

    def _source(self, query: Mapping[str, Any]) -> Source:
        given = query.get("datasource")
        uid = given.get("uid") if isinstance(given, dict) else None
        if not isinstance(uid, str) or not uid:
            raise _refused("query.invalidDatasourceId", "Query does not contain a valid data source identifier")
        source = self._sources.get(uid)
        if source is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Data source not found")
        if source.type not in _ASK:
            # Such a plugin has no part at the server: pages ask through the proxy.
            raise RefusedError(
                HTTPStatus.NOT_IMPLEMENTED,
                "Method not implemented",
                messageId="plugin.notImplemented",
                statusCode=int(HTTPStatus.NOT_IMPLEMENTED),
                traceID="",
            )
        return source

    def _one(self, source: Source, question: Question) -> dict[str, Any]:
        try:
            return {"status": int(HTTPStatus.OK), "frames": _ASK[source.type](self._proxy, source, question)}
        except FailedQueryError as error:
            return _failed(error.status, str(error))
        except SourceAwayError as error:
            return _failed(error.status, error.status.phrase)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return _failed(HTTPStatus.BAD_GATEWAY, "the data source's answer cannot be read")


def window_of(content: Mapping[str, Any], now: float) -> Window:
    """The time that a request asks about.

    Args:
        content: The request, with ``from`` and ``to``.
        now: Seconds since 1970.

    Raises:
        RefusedError: 400, one of them is missing or no time, they are in the wrong order, or too far apart.
    """
    begin, end = moment(content.get("from"), now), moment(content.get("to"), now)
    if not 0 < end - begin <= _LONGEST_S:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            f"bad request data: from must be before to, by at most {_LONGEST_S // 86_400} days",
        )
    return Window(begin=begin, end=end)


def moment(value: object, now: float) -> float:
    """A time of a query, in seconds: milliseconds since 1970 as number or text, ``now``, or ``now-6h``.

    Raises:
        RefusedError: 400, it is none of them.
    """
    text = str(value)
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text) / 1000
    if text == "now":
        return now
    count, unit = text.removeprefix("now-")[:-1], text[-1:]
    if text.startswith("now-") and count.isascii() and count.isdigit() and unit in _UNITS and len(count) < 9:
        return now - int(count) * _UNITS[unit]
    raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data: from and to are milliseconds, now, or now-6h")


def question_of(query: Mapping[str, Any], window: Window) -> Question:
    """One query with Grafana's defaults.

    Raises:
        RefusedError: 400, ``refId``, ``maxDataPoints`` or ``intervalMs`` is not what it must be.
    """
    ref = query.get("refId", "A")
    if not isinstance(ref, str) or not 0 < len(ref) <= 100:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data: refId is a short text")
    return Question(
        ref=ref,
        window=window,
        points=_positive(query, "maxDataPoints", 100),
        interval_ms=_positive(query, "intervalMs", 1000),
        model=query,
    )


def _positive(query: Mapping[str, Any], name: str, default: int) -> int:
    value = query.get(name, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 <= value <= (_MOST_POINTS if name == "maxDataPoints" else _LONGEST_S * 1000):
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"bad request data: {name} is no number that it may be")
    return int(value)


def _taken(future: Future[dict[str, Any]]) -> dict[str, Any]:
    if not future.done():
        future.cancel()
        return _failed(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {_ALL_S:.0f} s")
    return future.result()


def _failed(status: int, message: str) -> dict[str, Any]:
    return {"status": int(status), "error": message, "errorSource": "downstream"}


def _refused(message_id: str, message: str) -> RefusedError:
    status = HTTPStatus.BAD_REQUEST
    return RefusedError(status, message, messageId=message_id, statusCode=int(status), traceID="")
