"""``/api/ds/query``: what panels ask, in Grafana's form, answered as data frames or as the error of each query; and
variables of a dashboard: what the address chooses, what can be chosen, and how their values stand in a query.

The way of a panel's question in the real Grafana: the page sends every query of the panel at once, the server asks the
data source with its own login, and answers with 400 as soon as one query failed, with the reasons beside the frames of
the others. What the fake cannot answer is an error, never an answer without frames.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

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


ALL: Final = "$__all"
_MOST_VARIABLES: Final = 50
_MOST_CHOICES: Final = 500
_MOST_VALUES: Final = 100
_LONGEST: Final = 1000
_NAMED: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})|\[\[(\w+)\]\]")
_LABEL_VALUES: Final = re.compile(r"label_values\((?:(.+),)?\s*([A-Za-z_]\w*)\s*\)", re.DOTALL)
_PATTERN_SIGNS: Final = re.compile(r"[\\\"'^$*{}\[\]+?.()|]")
_LUCENE_SIGNS: Final = re.compile(r"[!*+\-=<>\s&|()\[\]{}^~?:\\/\"]")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable.

    Attributes:
        name: Stands in queries as ``$name``.
        label: For people.
        kind: As Grafana names it: ``query``, ``custom``, ``datasource``, ``textbox``, ``constant``.
        values: What is chosen; `ALL` alone: everything.
        choices: Value and text of what can be chosen; empty where anything can be written.
        multiple: Whether several can be chosen.
        pattern: Whether it stands in queries as a regular expression: where several, or everything, can be chosen.
        all_value: What stands for everything; empty: all choices.
        hidden: Whether it has no place at the head of the page.
    """

    name: str
    label: str
    kind: str
    values: tuple[str, ...]
    choices: tuple[tuple[str, str], ...] = ()
    multiple: bool = False
    pattern: bool = False
    all_value: str = ""
    hidden: bool = False

    def selected(self, value: str) -> bool:
        """Whether a choice is chosen."""
        return value in self.values

    def written(self, plugin: str) -> str:
        """Its value as it stands in a query of that kind of data source."""
        if ALL in self.values and self.all_value:
            return self.all_value
        values = [value for value, _ in self.choices if value != ALL] if ALL in self.values else list(self.values)
        if plugin == "prometheus" and self.pattern:
            escaped = [_PATTERN_SIGNS.sub(_in_pattern, value) for value in values]
            return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
        if plugin == "prometheus":
            return ",".join(re.sub(r"[\\\"']", r"\\\g<0>", value) for value in values)
        if plugin in ("elasticsearch", "grafana-opensearch-datasource"):
            escaped = [_LUCENE_SIGNS.sub(r"\\\g<0>", value) for value in values]
            return escaped[0] if len(escaped) == 1 else f"({' OR '.join(escaped)})"
        return ",".join(values)


def _in_pattern(match: re.Match[str]) -> str:
    """A sign of a regular expression, within a text of PromQL."""
    sign = match[0]
    return f"\\{sign}" if sign in "\"'" else "\\\\\\\\" if sign == "\\" else f"\\\\{sign}"


def interpolated(text: str, variables: Mapping[str, Variable], plugin: str) -> str:
    """A text with the dashboard's variables filled in; Grafana's own ones are the server's."""

    def value(match: re.Match[str]) -> str:
        variable = variables.get(match[1] or match[2] or match[3])
        return variable.written(plugin) if variable else match[0]

    return _NAMED.sub(value, text)


class Variables:
    """Reads them, with the values that a Prometheus knows."""

    def __init__(self, sources: Sequence[Source], proxy: Proxy) -> None:
        """Ask those sources."""
        self._sources, self._proxy = sources, proxy

    def read(self, model: Mapping[str, Any], request: Request, window: Window) -> dict[str, Variable]:
        """Name -> variable, in the order of the dashboard; those of kinds that the fake does not offer are left out.

        Args:
            model: The dashboard.
            request: What chooses, with ``var-NAME=VALUE``.
            window: The time that is looked at.
        """
        templating = model.get("templating")
        listed = templating.get("list") if isinstance(templating, dict) else None
        variables: dict[str, Variable] = {}
        for written in (listed if isinstance(listed, list) else [])[:_MOST_VARIABLES]:
            if not isinstance(written, dict) or not re.fullmatch(r"\w{1,100}", str(written.get("name"))):
                continue
            reader = _READERS.get(str(written.get("type")))
            if reader:
                choices = reader(self, written, variables, window)
                variables[written["name"]] = _variable(written, choices, request)
        return variables

    def source(self, reference: object, variables: Mapping[str, Variable]) -> Source | None:
        """The data source that a panel, a query or a variable names; the default one where it names none."""
        wanted = reference.get("uid") if isinstance(reference, dict) else reference
        if wanted in (None, "", "default"):
            return next((source for source in self._sources if source.default), None)
        name = interpolated(str(wanted), variables, "")
        return next((source for source in self._sources if name in (source.uid, source.name)), None)

    def _sources_of(self, written: Mapping[str, Any], *_: object) -> tuple[tuple[str, str], ...]:
        kind = written.get("query")
        listed = [source for source in self._sources if source.type == kind]
        listed.sort(key=lambda source: (not source.default, source.name.lower()))
        return tuple((source.uid, source.name) for source in listed)

    def _known(
        self, written: Mapping[str, Any], variables: Mapping[str, Variable], window: Window
    ) -> tuple[tuple[str, str], ...]:
        """Values of a label; none where they cannot be had."""
        query = written.get("query")
        text = query.get("query") if isinstance(query, dict) else query
        match = _LABEL_VALUES.fullmatch(text.strip()) if isinstance(text, str) else None
        source = self.source(written.get("datasource"), variables)
        if match is None or source is None or source.type != "prometheus":
            return ()
        parameters = {"start": f"{window.begin:.3f}", "end": f"{window.end:.3f}", "limit": str(_MOST_CHOICES)}
        if match[1]:
            parameters["match[]"] = interpolated(match[1].strip(), variables, source.type)
        target = f"api/v1/label/{quote(match[2])}/values?{urlencode(parameters)}"
        try:
            answer = self._proxy.ask(source, "GET", target, headers={"Accept-Encoding": "identity"})
            values = [str(value) for value in json.loads(answer.body)["data"]]
        except (SourceAwayError, ValueError, KeyError, TypeError):
            return ()
        return tuple((value, value) for value in sorted(values)[:_MOST_CHOICES])

    def _custom(self, written: Mapping[str, Any], *_: object) -> tuple[tuple[str, str], ...]:
        parts = [part.strip() for part in str(written.get("query") or "").split(",")]
        pairs = [part.rpartition(" : ") for part in parts if part][:_MOST_CHOICES]
        return tuple((value.strip(), (text or value).strip()) for text, _, value in pairs)

    def _free(self, *_: object) -> tuple[tuple[str, str], ...]:
        return ()


_Reader = Callable[
    [Variables, Mapping[str, Any], Mapping[str, Variable], Window],
    tuple[tuple[str, str], ...],
]
_READERS: Final[Mapping[str, _Reader]] = {
    "query": Variables._known,
    "custom": Variables._custom,
    "interval": Variables._custom,
    "datasource": Variables._sources_of,
    "textbox": Variables._free,
    "constant": Variables._free,
}


def _variable(written: Mapping[str, Any], choices: tuple[tuple[str, str], ...], request: Request) -> Variable:
    name, kind, every = written["name"], str(written["type"]), written.get("includeAll") is True
    chosen = [value[:_LONGEST] for value in request.query.get(f"var-{name}", ())][:_MOST_VALUES]
    if kind == "constant" or not chosen:
        current = written.get("current")
        value = current.get("value") if isinstance(current, dict) else None
        if value in (None, "", []) and kind in ("textbox", "constant"):
            value = written.get("query")
        chosen = [str(item) for item in (value if isinstance(value, list) else [value]) if item not in (None, "")]
    by_text = {text: value for value, text in choices} if kind == "datasource" else {}
    values = [by_text.get(value, value) for value in chosen]
    if kind == "datasource":
        known = [value for value, _ in choices]
        values = [value for value in values if value in known] or known[:1]
    elif every and (not values or {ALL, "All"} & set(values)):
        values = [ALL]
    elif not values:
        values = [value for value, _ in choices[:1]]
    multiple = written.get("multi") is True
    return Variable(
        name=name,
        label=str(written.get("label") or name),
        kind=kind,
        values=tuple(values if multiple else values[:1]) or ("",),
        choices=(((ALL, "All"),) if every else ()) + _with(choices, values),
        multiple=multiple,
        pattern=multiple or every,
        all_value=str(written.get("allValue") or ""),
        hidden=kind == "constant" or written.get("hide") == 2,
    )


def _with(choices: tuple[tuple[str, str], ...], values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Choices, and with them what was chosen by the address alone; none where anything can be written."""
    known = {ALL, *(value for value, _ in choices)}
    return choices + tuple((value, value) for value in values if value not in known) if choices else ()
