"""How each kind of data source is asked by Grafana's server, and what its answer looks like as frames.

Prometheus: instant, range and exemplar queries, with Grafana's step and its own variables filled in. Elasticsearch and
OpenSearch: logs, documents, and counts over time. Jaeger: a trace, a search, the graph of services. Everything else is
an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

from lab.fakes.grafana.exchange import Column, frame
from lab.fakes.grafana.proxy import Proxy
from lab.fakes.grafana.sources import Source

Frames = list[dict[str, Any]]

_SAFE_POINTS: Final = 11_000
"""Points of a series that Prometheus gives, at most."""
_SCRAPE_S: Final = 15.0
_MOST_DOCUMENTS: Final = 10_000
_MOST_TRACES: Final = 1_500
_MOST_FIELDS: Final = 400
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_ROUND: Final = (
    *((0.015, 0.01), (0.035, 0.02), (0.075, 0.05), (0.15, 0.1), (0.35, 0.2), (0.75, 0.5), (1.5, 1), (3.5, 2)),
    *((7.5, 5), (12.5, 10), (17.5, 15), (25, 20), (45, 30), (90, 60), (210, 120), (450, 300), (750, 600)),
    *((1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200), (16_200, 10_800), (32_400, 21_600)),
    *((86_400, 43_200), (604_800, 86_400), (1_814_400, 604_800), (3_628_800, 2_592_000)),
)
"""Seconds between two points, up to which they are rounded to the second number."""
_LONGEST_STEP_S: Final = 31_536_000
_LABEL: Final = re.compile(r"\{\{\s*(.+?)\s*\}\}")
_TAG: Final = re.compile(r'([^\s=]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time that is asked about, in seconds since 1970."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin


@dataclass(frozen=True, kw_only=True)
class Question:
    """One query of a panel.

    Attributes:
        ref: Its name within the request.
        window: The time that is asked about.
        points: Points that the panel has room for.
        interval_ms: Milliseconds between two points, as the page reckons.
        model: The rest of it, as its data source understands it.
    """

    ref: str
    window: Window
    points: int
    interval_ms: int
    model: Mapping[str, Any]

    def text(self, name: str, default: str = "") -> str:
        """A text of the model.

        Raises:
            FailedQueryError: It is something else.
        """
        value = self.model.get(name, default)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > 100_000:
            raise FailedQueryError(HTTPStatus.BAD_REQUEST, f"{name} must be a text")
        return value


class FailedQueryError(Exception):
    """A query without an answer: status and reason for whoever asked."""

    def __init__(self, status: int, reason: str) -> None:
        """Answer with that status."""
        super().__init__(reason[:1000])
        self.status = int(status)


# Prometheus.


def ask_prometheus(proxy: Proxy, source: Source, question: Question) -> Frames:
    """Ask PromQL.

    Raises:
        FailedQueryError: There is no question, or Prometheus refuses it.
        SourceAwayError: There was no answer.
    """
    model, window = question.model, question.window
    written = question.text("expr")
    if not written.strip():
        raise FailedQueryError(HTTPStatus.BAD_REQUEST, "the query has no expr")
    step = step_of(question, source)
    expression = _filled(written, window, step, _seconds(source.data.get("timeInterval")) or _SCRAPE_S)
    # As in Grafana, a query that says nothing is asked over time.
    instant = model.get("instant") is True
    frames: Frames = []
    if model.get("range") is True or not instant:
        parameters = {"query": expression, "start": window.begin, "end": window.end, "step": step}
        frames += _series(_prometheus(proxy, source, "query_range", parameters), question, expression, step)
    if instant:
        data = _prometheus(proxy, source, "query", {"query": expression, "time": window.end})
        frames += _series(data, question, expression, step)
    if model.get("exemplar") is True:
        parameters = {"query": expression, "start": window.begin, "end": window.end}
        # Where there are none to be had, Grafana shows the series all the same.
        with suppress(FailedQueryError):
            frames += _exemplars(_prometheus(proxy, source, "query_exemplars", parameters), question.ref)
    return frames


def step_of(question: Question, source: Source) -> float:
    """Seconds between two points: what the panel has room for, rounded, and not more points than Prometheus gives."""
    least = _seconds(question.model.get("interval")) or _seconds(source.data.get("timeInterval")) or _SCRAPE_S
    room = rounded(question.window.seconds / question.points)
    safe = question.window.seconds / _SAFE_POINTS
    return max(least, room, rounded(safe) if safe > 1 else 0.0)


def rounded(seconds: float) -> float:
    """An interval rounded as Grafana rounds it."""
    return next((float(to) for limit, to in _ROUND if seconds <= limit), float(_LONGEST_STEP_S))


def _seconds(value: object) -> float:
    """Seconds of a duration; 0: there is none.

    Raises:
        FailedQueryError: It is no duration.
    """
    text = "" if value is None else str(value).lstrip(">").strip()
    parts = _DURATION.findall(text)
    if "".join(f"{count}{unit}" for count, unit in parts) != text:
        raise FailedQueryError(HTTPStatus.BAD_REQUEST, f"{text[:40]!r} is no duration")
    return float(sum(float(count) * _SECONDS[unit] for count, unit in parts))


def _filled(expression: str, window: Window, step: float, scrape_s: float) -> str:
    """PromQL with Grafana's own variables filled in; those of a dashboard are the page's."""
    values = {
        "__rate_interval_ms": f"{max(step + scrape_s, 4 * scrape_s) * 1000:.0f}",
        "__rate_interval": f"{max(step + scrape_s, 4 * scrape_s):g}s",
        "__interval_ms": f"{step * 1000:.0f}",
        "__interval": f"{step:g}s",
        "__range_ms": f"{window.seconds * 1000:.0f}",
        "__range_s": f"{window.seconds:.0f}",
        "__range": f"{window.seconds:.0f}s",
    }
    for name, value in values.items():
        expression = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, expression)
    return expression


def _prometheus(proxy: Proxy, source: Source, path: str, parameters: Mapping[str, object]) -> Any:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept-Encoding": "identity"}
    answer = proxy.ask(source, "POST", f"api/v1/{path}", urlencode(parameters).encode(), headers)
    content = _json(answer.body, answer.status)
    if content.get("status") != "success":
        reason = ": ".join(str(content[key]) for key in ("errorType", "error") if content.get(key))
        raise FailedQueryError(_error_status(answer.status), reason or "the query failed")
    return content["data"]


def _series(data: Mapping[str, Any], question: Question, expression: str, step: float) -> Frames:
    kind, result, ref = data["resultType"], data["result"], question.ref
    legend = question.text("legendFormat")
    series = [{"metric": {}, "value": result}] if kind in ("scalar", "string") else result
    if kind == "string":
        raise FailedQueryError(HTTPStatus.BAD_REQUEST, "the answer is a text and no number")
    meta = {
        "type": "timeseries-multi" if kind == "matrix" else "numeric-multi",
        "typeVersion": [0, 1],
        "custom": {"resultType": kind},
        "executedQueryString": f"Expr: {expression}\nStep: {step:g}s",
    }
    frames = []
    for single in series:
        labels, points = single["metric"], single.get("values") or [single["value"]]
        times = Column(
            name="Time",
            kind="time",
            values=[round(float(at) * 1000) for at, _ in points],
            config={"interval": round(step * 1000)},
        )
        name = _legend(legend, labels) or ("" if labels else expression)
        values = Column(
            name="Value",
            kind="number",
            values=[float(value) for _, value in points],
            labels=labels,
            config={"displayNameFromDS": name} if name else {},
        )
        frames.append(frame(ref, [times, values], meta=meta, name=name))
    return frames


def _legend(form: str, labels: Mapping[str, str]) -> str:
    """Name of a series: by the form of the query, else by its labels; with the form ``__auto`` the page names it."""
    if form == "__auto":
        return ""
    if form:
        return _LABEL.sub(lambda match: labels.get(match[1], ""), form)
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return labels.get("__name__", "") + (f"{{{pairs}}}" if pairs else "")


def _exemplars(data: Sequence[Mapping[str, Any]], ref: str) -> Frames:
    rows = [(exemplar_series["seriesLabels"], one) for exemplar_series in data for one in exemplar_series["exemplars"]]
    if not rows:
        return []
    names = sorted({name for series, one in rows for name in (*series, *one["labels"])})
    columns = [
        Column(name="Time", kind="time", values=[round(float(one["timestamp"]) * 1000) for _, one in rows]),
        Column(name="Value", kind="number", values=[float(one["value"]) for _, one in rows]),
        *(
            Column(name=name, kind="string", values=[{**series, **one["labels"]}.get(name, "") for series, one in rows])
            for name in names
        ),
    ]
    return [
        frame(ref, columns, meta={"custom": {"resultType": "exemplar"}, "dataTopic": "annotations"}, name="exemplar")
    ]


# Elasticsearch and OpenSearch.


def ask_search(proxy: Proxy, source: Source, question: Question) -> Frames:
    """Ask for logs, documents, or counts over time, in Lucene's language.

    Raises:
        FailedQueryError: It is something else, or the search cluster refuses it.
        SourceAwayError: There was no answer.
    """
    if question.text("queryType", "lucene") not in ("", "lucene"):
        raise FailedQueryError(HTTPStatus.NOT_IMPLEMENTED, "the fake asks Lucene's language only")
    at = str(source.data.get("timeField") or "@timestamp")
    kind, limit = _search_kind(question)
    interval = max(1.0, rounded(max(question.window.seconds / question.points, question.interval_ms / 1000)))
    body: dict[str, Any] = {"size": limit, "query": _search_query(question, at)}
    if kind == "count":
        body["aggs"] = {
            "2": {
                "date_histogram": {
                    "field": at,
                    "fixed_interval": f"{interval:g}s",
                    "min_doc_count": 0,
                    "extended_bounds": _bounds(question.window),
                    "format": "epoch_millis",
                }
            }
        }
    else:
        body["sort"] = [{at: {"order": "desc", "unmapped_type": "boolean"}}]
    index = str(source.data.get("index") or source.data.get("database") or "*")
    head = {"ignore_unavailable": True, "index": index, "search_type": "query_then_fetch"}
    lines = f"{json.dumps(head)}\n{json.dumps(body)}\n"
    shards = int(source.data.get("maxConcurrentShardRequests") or 5)
    headers = {"Content-Type": "application/x-ndjson", "Accept-Encoding": "identity"}
    answer = proxy.ask(source, "POST", f"_msearch?max_concurrent_shard_requests={shards}", lines.encode(), headers)
    content = _json(answer.body, answer.status)
    response = content["responses"][0] if "responses" in content else content
    if "error" in response:
        error = response["error"]
        reason = error.get("reason", "the search failed") if isinstance(error, dict) else str(error)
        raise FailedQueryError(_error_status(int(response.get("status", answer.status))), str(reason))
    if kind == "count":
        return [_counts(response["aggregations"]["2"]["buckets"], question.ref, interval)]
    return [_documents(response["hits"], source, question, at, limit, logs=kind == "logs")]


def _search_kind(question: Question) -> tuple[str, int]:
    """What is asked for, and how many documents at most."""
    metrics, buckets = question.model.get("metrics"), question.model.get("bucketAggs")
    first = metrics[0] if isinstance(metrics, list) and metrics and isinstance(metrics[0], dict) else {}
    kind = str(first.get("type") or "")
    by_type = {"Logs": "logs", "RawData": "raw_data", "Metric": kind or "count"}
    kind = by_type.get(question.text("luceneQueryType"), kind)
    settings = first.get("settings") if isinstance(first.get("settings"), dict) else {}
    if kind in ("logs", "raw_data", "raw_document"):
        wanted = str((settings or {}).get("limit") or (settings or {}).get("size") or "500")
        if not wanted.isdigit() or not 0 < int(wanted) <= _MOST_DOCUMENTS:
            raise FailedQueryError(HTTPStatus.BAD_REQUEST, f"the limit must be from 1 to {_MOST_DOCUMENTS}")
        return ("logs" if kind == "logs" else "raw_data"), int(wanted)
    kinds = [bucket.get("type") for bucket in buckets if isinstance(bucket, dict)] if isinstance(buckets, list) else []
    if kind == "count" and kinds == ["date_histogram"] and isinstance(metrics, list) and len(metrics) == 1:
        return "count", 0
    raise FailedQueryError(
        HTTPStatus.NOT_IMPLEMENTED, "the fake answers logs, raw data, and counts over a date histogram only"
    )


def _bounds(window: Window) -> dict[str, int]:
    return {"min": round(window.begin * 1000), "max": round(window.end * 1000)}


def _search_query(question: Question, at: str) -> dict[str, Any]:
    bounds = _bounds(question.window)
    time_range = {"gte": bounds["min"], "lte": bounds["max"], "format": "epoch_millis"}
    filters: list[dict[str, Any]] = [{"range": {at: time_range}}]
    words = question.text("query").strip()
    if words:
        filters.append({"query_string": {"analyze_wildcard": True, "query": words}})
    return {"bool": {"filter": filters}}


def _counts(buckets: Sequence[Mapping[str, Any]], ref: str, interval: float) -> dict[str, Any]:
    times = Column(
        name="Time",
        kind="time",
        values=[int(bucket["key"]) for bucket in buckets],
        config={"interval": round(interval * 1000)},
    )
    counts = Column(name="Value", kind="number", values=[float(bucket["doc_count"]) for bucket in buckets], labels={})
    return frame(ref, [times, counts], meta={"type": "timeseries-multi", "typeVersion": [0, 1]}, name="Count")


def _documents(
    hits: Mapping[str, Any], source: Source, question: Question, at: str, limit: int, *, logs: bool
) -> dict[str, Any]:
    """Documents as a frame: time, message, level, identity, and each of their fields."""
    hit_list = hits["hits"]
    flat = [dict(_flattened(hit["_source"])) for hit in hit_list]
    message = str(source.data.get("logMessageField") or "_source")
    level = str(source.data.get("logLevelField") or "level")
    names = sorted({name for document in flat for name in document} - {at, message})[:_MOST_FIELDS]
    texts = [
        str(document.get(message, "")) if message != "_source" else json.dumps(hit["_source"])
        for document, hit in zip(flat, hit_list, strict=True)
    ]
    columns = [
        Column(name=at, kind="time", values=[_time_ms(document.get(at)) for document in flat]),
        Column(name=message, kind="string", values=texts),
        Column(name="level", kind="string", values=[str(document.get(level, "")) for document in flat]),
        Column(name="id", kind="string", values=[f"{hit['_index']}#{hit['_id']}" for hit in hit_list]),
        Column(name="_source", kind="other", values=[hit["_source"] for hit in hit_list]),
        *(Column(name=name, kind="other", values=[document.get(name) for document in flat]) for name in names),
    ]
    kept: dict[str, Column] = {}
    for column in columns:
        kept.setdefault(column.name, column)
    total = hits.get("total")
    meta: dict[str, Any] = {
        "custom": {"limit": limit, "total": total.get("value") if isinstance(total, dict) else total}
    }
    if logs:
        meta["preferredVisualisationType"] = "logs"
    return frame(question.ref, list(kept.values()), meta=meta)


def _flattened(content: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict) and depth < 10:
            yield from _flattened(value, f"{before}{name}.", depth + 1)
        else:
            yield f"{before}{name}", value


def _time_ms(value: object) -> int | None:
    if isinstance(value, int | float):
        return int(value)
    try:
        return round(datetime.fromisoformat(str(value)).timestamp() * 1000)
    except ValueError:
        return None


# Jaeger.


def ask_jaeger(proxy: Proxy, source: Source, question: Question) -> Frames:
    """Ask for a trace, for traces, or for the graph of services.

    Raises:
        FailedQueryError: It is something else, or Jaeger refuses it.
        SourceAwayError: There was no answer.
    """
    kind, window = question.text("queryType"), question.window
    if kind == "search":
        return [_traces(_jaeger(proxy, source, f"api/traces?{urlencode(_search_parameters(question))}"), question.ref)]
    if kind == "dependencyGraph":
        parameters = {"endTs": round(window.end * 1000), "lookback": round(window.seconds * 1000)}
        return _graph(_jaeger(proxy, source, f"api/dependencies?{urlencode(parameters)}"), question.ref)
    if kind:
        raise FailedQueryError(HTTPStatus.NOT_IMPLEMENTED, f"the fake answers no query of the type {kind[:40]}")
    identity = question.text("query").strip()
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", identity):
        raise FailedQueryError(HTTPStatus.BAD_REQUEST, "query must be the id of a trace: up to 32 hexadecimal digits")
    traces = _jaeger(proxy, source, f"api/traces/{quote(identity)}")
    if not traces:
        raise FailedQueryError(HTTPStatus.NOT_FOUND, "trace not found")
    return [_trace(traces[0], question.ref)]


def _search_parameters(question: Question) -> dict[str, str]:
    service = question.text("service")
    if not service:
        raise FailedQueryError(HTTPStatus.BAD_REQUEST, "the search names no service")
    limit = question.model.get("limit", 20)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= _MOST_TRACES:
        raise FailedQueryError(HTTPStatus.BAD_REQUEST, f"limit must be from 1 to {_MOST_TRACES}")
    parameters = {
        "service": service,
        "limit": str(limit),
        "start": str(round(question.window.begin * 1_000_000)),
        "end": str(round(question.window.end * 1_000_000)),
        "lookback": "custom",
    }
    parameters |= {
        name: question.text(name) for name in ("operation", "minDuration", "maxDuration") if question.text(name)
    }
    tags = {name: plain or quoted for name, quoted, plain in _TAG.findall(question.text("tags"))}
    return {**parameters, "tags": json.dumps(tags)} if tags else parameters


def _jaeger(proxy: Proxy, source: Source, target: str) -> Any:
    answer = proxy.ask(source, "GET", target, headers={"Accept-Encoding": "identity"})
    content = _json(answer.body, answer.status)
    errors = content.get("errors") or []
    if answer.status != HTTPStatus.OK or errors:
        reason = errors[0].get("msg", "") if errors and isinstance(errors[0], dict) else ""
        raise FailedQueryError(_error_status(answer.status), reason or f"Jaeger answers {answer.status}")
    return content["data"] or []


def _traces(traces: Sequence[Mapping[str, Any]], ref: str) -> dict[str, Any]:
    rows = []
    for trace in traces:
        spans = sorted(trace["spans"], key=lambda span: span["startTime"])
        root = next((span for span in spans if not span.get("references")), spans[0])
        service = trace["processes"][root["processID"]]["serviceName"]
        end = max(span["startTime"] + span["duration"] for span in spans)
        rows.append((trace["traceID"], f"{service}: {root['operationName']}", spans[0]["startTime"], end))
    rows.sort(key=lambda row: -row[2])
    columns = [
        Column(name="traceID", kind="string", values=[row[0] for row in rows]),
        Column(name="traceName", kind="string", values=[row[1] for row in rows]),
        Column(name="startTime", kind="time", values=[row[2] // 1000 for row in rows]),
        Column(name="duration", kind="number", values=[row[3] - row[2] for row in rows], config={"unit": "µs"}),
    ]
    return frame(ref, columns, meta={"preferredVisualisationType": "table"})


def _trace(trace: Mapping[str, Any], ref: str) -> dict[str, Any]:
    spans = sorted(trace["spans"], key=lambda span: span["startTime"])
    processes = [trace["processes"][span["processID"]] for span in spans]
    parents = [
        next((one["spanID"] for one in span.get("references") or [] if one["refType"] == "CHILD_OF"), "")
        for span in spans
    ]
    columns = [
        Column(name="traceID", kind="string", values=[span["traceID"] for span in spans]),
        Column(name="spanID", kind="string", values=[span["spanID"] for span in spans]),
        Column(name="parentSpanID", kind="string", values=parents),
        Column(name="operationName", kind="string", values=[span["operationName"] for span in spans]),
        Column(name="serviceName", kind="string", values=[process["serviceName"] for process in processes]),
        Column(name="serviceTags", kind="other", values=[process.get("tags") or [] for process in processes]),
        Column(name="startTime", kind="number", values=[span["startTime"] / 1000 for span in spans]),
        Column(name="duration", kind="number", values=[span["duration"] / 1000 for span in spans]),
        *(
            Column(name=name, kind="other", values=[span.get(name) or [] for span in spans])
            for name in ("logs", "references", "tags", "warnings")
        ),
    ]
    return frame(ref, columns, meta={"preferredVisualisationType": "trace", "custom": {"traceFormat": "jaeger"}})


def _graph(calls: Sequence[Mapping[str, Any]], ref: str) -> Frames:
    names = sorted({call[end] for call in calls for end in ("parent", "child")})
    nodes = [Column(name=name, kind="string", values=names) for name in ("id", "title")]
    edges = [
        Column(name="id", kind="string", values=[f"{call['parent']}--{call['child']}" for call in calls]),
        Column(name="source", kind="string", values=[call["parent"] for call in calls]),
        Column(name="target", kind="string", values=[call["child"] for call in calls]),
        Column(name="mainstat", kind="number", values=[float(call["callCount"]) for call in calls]),
    ]
    meta = {"preferredVisualisationType": "nodeGraph"}
    return [frame(ref, nodes, meta=meta, name="nodes"), frame(ref, edges, meta=meta, name="edges")]


def _json(body: bytes, status: int) -> dict[str, Any]:
    """A data source's answer.

    Raises:
        FailedQueryError: It is no JSON object.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FailedQueryError(
            _error_status(status) if status >= HTTPStatus.BAD_REQUEST else HTTPStatus.BAD_GATEWAY,
            f"the data source answers {status}, and no JSON",
        )
    return content


def _error_status(status: int) -> int:
    return status if status >= HTTPStatus.BAD_REQUEST else int(HTTPStatus.BAD_GATEWAY)
