"""``/api/ds/query``: what is asked of each data source for a query of a panel, the frames, and what is refused."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lab.fakes.grafana import queries
from lab.fakes.grafana.exchange import Answer, Column, RefusedError, Request, frame, told
from lab.fakes.grafana.proxy import SourceAwayError
from lab.fakes.grafana.queries import Queries, moment
from lab.fakes.grafana.query_kinds import Question, Window, rounded, step_of
from lab.fakes.grafana.sources import Source

HOUR = {"from": "1700000000000", "to": "1700003600000"}
DATA: dict[str, dict[str, Any]] = {
    "prometheus": {"timeInterval": "15s"},
    "jaeger": {},
    "alertmanager": {"implementation": "prometheus"},
    "elasticsearch": {"index": "logs-read", "timeField": "@timestamp", "logMessageField": "body"},
    "grafana-opensearch-datasource": {
        "database": "logs-read",
        "timeField": "@timestamp",
        "logMessageField": "body",
        "logLevelField": "severity",
        "maxConcurrentShardRequests": 3,
    },
}
Told = Callable[[str, str, bytes], Answer]


def source(kind: str) -> Source:
    return Source(
        id=1, uid=kind, name=kind, type=kind, url="https://x:1", user="", password="", authority="", server_name="",
        default=False, data=DATA[kind], secrets=[],
    )  # fmt: skip


class Proxied:
    """Stands where the proxy is: remembers what is asked, answers as told."""

    def __init__(self, answer: Told) -> None:
        self.answer, self.requests = answer, []  # type: ignore[var-annotated]

    def ask(
        self, source: Source, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Remember and answer."""
        self.requests.append((source.uid, method, target, body))
        return self.answer(method, target, body)


def ask(answer: Told, *panel_queries: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any], Proxied]:
    """One request; status, content, and what the data sources were asked."""
    proxied = Proxied(answer)
    api = Queries(tuple(source(kind) for kind in DATA), proxied)  # type: ignore[arg-type]
    (route,) = api.routes()
    content = {**HOUR, "queries": list(panel_queries), **more}
    got = route.handle(Request(method="POST", path=route.path, body=json.dumps(content).encode()))
    return int(got.status), json.loads(got.body), proxied


def metric(*series: dict[str, Any], kind: str = "matrix") -> Told:
    return lambda *_: told({"status": "success", "data": {"resultType": kind, "result": list(series)}})


def query(kind: str = "prometheus", **model: Any) -> dict[str, Any]:
    return {"refId": "A", "datasource": {"uid": kind, "type": kind}, **model}


UP = {"metric": {"__name__": "up", "job": "a"}, "values": [[1, "1.5"], [2, "NaN"], [3, "+Inf"], [4, "-Inf"]]}


def test_a_range_query_is_a_frame_for_each_series_with_odd_numbers_apart() -> None:
    status, content, proxied = ask(metric(UP), query(expr="up", range=True, maxDataPoints=240))

    (data_frame,) = content["results"]["A"]["frames"]
    assert (status, content["results"]["A"]["status"]) == (200, 200)
    assert data_frame["data"]["values"] == [[1000, 2000, 3000, 4000], [1.5, None, None, None]]
    assert data_frame["data"]["entities"] == [None, {"NaN": [1], "Inf": [2], "NegInf": [3]}]
    times, values = data_frame["schema"]["fields"]
    assert (times["name"], times["type"], times["config"]) == ("Time", "time", {"interval": 15_000})
    assert (values["name"], values["labels"]) == ("Value", {"__name__": "up", "job": "a"})
    assert data_frame["schema"]["name"] == values["config"]["displayNameFromDS"] == 'up{job="a"}'
    assert data_frame["schema"]["meta"]["executedQueryString"] == "Expr: up\nStep: 15s"
    ((uid, method, target, body),) = proxied.requests
    assert (uid, method, target) == ("prometheus", "POST", "api/v1/query_range")
    assert parse_qs(body.decode()) == {
        "query": ["up"],
        "start": ["1700000000.0"],
        "end": ["1700003600.0"],
        "step": ["15.0"],
    }


def test_grafanas_own_variables_are_filled_in_and_the_dashboards_are_not() -> None:
    expr = "rate(a[$__rate_interval])+$__range_s+${__interval}+$__interval_ms+$region"
    _, _, proxied = ask(metric(), query(expr=expr, instant=True))

    ((_, _, target, body),) = proxied.requests
    assert target == "api/v1/query"
    assert parse_qs(body.decode())["query"] == ["rate(a[60s])+3600+30s+30000+$region"]


@pytest.mark.parametrize(
    ("form", "name"), [("{{ job }} of {{none}}", "a of "), ("__auto", ""), ("", 'up{job="a"}'), ("all", "all")]
)
def test_series_are_named_by_the_legend(form: str, name: str) -> None:
    _, content, _ = ask(metric(UP), query(expr="up", legendFormat=form))
    assert content["results"]["A"]["frames"][0]["schema"].get("name", "") == name


def test_an_instant_query_and_a_scalar_are_numbers() -> None:
    one = {"metric": {}, "value": [5, "7"]}
    _, content, _ = ask(metric(one, kind="vector"), query(expr="sum(x)", instant=True))
    (data_frame,) = content["results"]["A"]["frames"]
    assert data_frame["schema"]["meta"]["type"] == "numeric-multi"
    assert data_frame["data"]["values"] == [[5000], [7.0]]
    assert data_frame["schema"]["name"] == "sum(x)"

    def scalar(*_: object) -> Answer:
        return told({"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}})

    _, content, _ = ask(scalar, query(expr="2", instant=True))
    assert content["results"]["A"]["frames"][0]["data"]["values"] == [[1000], [2.0]]


def test_exemplars_come_as_a_frame_of_their_own_and_their_absence_fails_nothing() -> None:
    exemplar_series = {
        "seriesLabels": {"job": "a"},
        "exemplars": [{"labels": {"trace_id": "f"}, "value": "2", "timestamp": 9}],
    }

    def answer(method: str, target: str, body: bytes) -> Answer:
        if target.endswith("exemplars"):
            return told({"status": "success", "data": [exemplar_series]})
        return metric(UP)(method, target, body)

    _, content, _ = ask(answer, query(expr="up", range=True, exemplar=True))
    series, exemplars = content["results"]["A"]["frames"]
    assert [field["name"] for field in exemplars["schema"]["fields"]] == ["Time", "Value", "job", "trace_id"]
    assert exemplars["data"]["values"] == [[9000], [2.0], ["a"], ["f"]]

    def none(method: str, target: str, body: bytes) -> Answer:
        wrong = told({"status": "error", "error": "not there"}, 500)
        return wrong if target.endswith("exemplars") else metric(UP)(method, target, body)

    status, content, _ = ask(none, query(expr="up", range=True, exemplar=True))
    assert (status, content["results"]["A"]["frames"]) == (200, [series])


def test_one_query_that_fails_makes_400_and_the_others_have_their_frames() -> None:
    def answer(method: str, target: str, body: bytes) -> Answer:
        if b"wrong" in body:
            return told({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400)
        return metric(UP)(method, target, body)

    status, content, _ = ask(answer, query(expr="up"), {**query(expr="wrong"), "refId": "B"})
    assert status == 400
    assert content["results"]["A"]["frames"]
    assert content["results"]["B"] == {"status": 400, "error": "bad_data: parse error", "errorSource": "downstream"}


def away(*_: object) -> Answer:
    raise SourceAwayError(HTTPStatus.GATEWAY_TIMEOUT, "no answer")


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (lambda *_: Answer(status=200, body=b"<html>"), 502, "the data source answers 200, and no JSON"),
        (lambda *_: Answer(status=503, body=b"busy"), 503, "the data source answers 503, and no JSON"),
        (lambda *_: told({"status": "success", "data": {}}), 502, "the data source's answer cannot be read"),
        (lambda *_: told({"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}), 400, "a text"),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_not_an_empty_panel(answer: Told, status: int, error: str) -> None:
    code, content, _ = ask(answer, query(expr="up"))
    assert code == 400
    assert content["results"]["A"]["status"] == status
    assert error in content["results"]["A"]["error"]
    assert "frames" not in content["results"]["A"]


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        (query(), 400, "the query has no expr"),
        (query(expr=7), 400, "expr must be a text"),
        (query(expr="up", interval="often"), 400, "'often' is no duration"),
        (query("jaeger", queryType="upload"), 501, "no query of the type upload"),
        (query("jaeger", query="../x"), 400, "query must be the id of a trace"),
        (query("jaeger", queryType="search"), 400, "the search names no service"),
        (query("jaeger", queryType="search", service="a", limit=0), 400, "limit must be from 1 to 1500"),
        (query("elasticsearch", query="x"), 501, "logs, raw data, and counts"),
        (query("elasticsearch", metrics=[{"type": "avg"}]), 501, "logs, raw data, and counts"),
        (query("elasticsearch", metrics=[{"type": "logs", "settings": {"limit": "99999"}}]), 400, "from 1 to 10000"),
        (query("grafana-opensearch-datasource", queryType="PPL", query="source=x"), 501, "Lucene's language only"),
    ],
)
def test_a_query_that_cannot_be_asked_is_an_error_and_nobody_is_asked(
    query: dict[str, Any], status: int, error: str
) -> None:
    code, content, proxied = ask(away, query)
    assert code == 400
    assert content["results"]["A"]["status"] == status
    assert error in content["results"]["A"]["error"]
    assert proxied.requests == []


def test_a_source_that_is_away_is_the_error_of_its_query() -> None:
    code, content, _ = ask(lambda *_: away(), query(expr="up"))
    assert (code, content["results"]["A"]["status"]) == (400, 504)


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({"queries": []}, 400, "No queries found"),
        ({"queries": "up"}, 400, "No queries found"),
        ({"queries": [query(expr="a")] * 2}, 400, "Multiple queries using the same RefId is not allowed"),
        ({"queries": [{**query(expr="a"), "refId": str(index)} for index in range(51)]}, 400, "at most 50 queries"),
        ({"queries": [{"refId": "A", "expr": "a"}]}, 400, "does not contain a valid data source identifier"),
        ({"queries": [query("none", expr="a")]}, 404, "Data source not found"),
        ({"queries": [query("alertmanager", expr="a")]}, 501, "Method not implemented"),
        ({"queries": [query("__expr__", expression="$A")]}, 404, "Data source not found"),
        ({"queries": [query(expr="a", maxDataPoints=0)]}, 400, "maxDataPoints is no number that it may be"),
        ({"queries": [query(expr="a", intervalMs="1")]}, 400, "intervalMs is no number that it may be"),
        ({"queries": [query(expr="a", refId="")]}, 400, "refId is a short text"),
        ({"from": None}, 400, "from and to are milliseconds"),
        ({"from": "now", "to": "now-1h"}, 400, "from must be before to, by at most 366 days"),
        ({"from": "0"}, 400, "by at most 366 days"),
    ],
)
def test_a_request_that_grafana_would_not_take_is_refused_as_a_whole(
    more: dict[str, Any], status: int, message: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        ask(away, query(expr="up"), **more)
    assert caught.value.status == status
    assert message in str(caught.value)


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        ask(away, query(expr="up"), padding="x" * 2**20)
    assert caught.value.status == 413


def test_what_takes_too_long_is_an_error_of_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_ALL_S", 0.0)
    over = threading.Event()

    def late(*_: object) -> Answer:
        over.wait(20)
        return told({})

    try:
        code, content, _ = ask(late, query(expr="up"))
    finally:
        over.set()
    assert (code, content["results"]["A"]["status"]) == (400, 504)


def test_somebody_who_is_not_signed_in_is_nobody_who_may_ask() -> None:
    (route,) = Queries((), Proxied(away)).routes()  # type: ignore[arg-type]
    assert (route.need.name, route.action) == ("PERSON", "datasources:query")


# Search.


def searched(*hits: dict[str, Any], buckets: list[dict[str, Any]] | None = None) -> Told:
    response: dict[str, Any] = {"status": 200, "hits": {"total": {"value": 2}, "hits": list(hits)}}
    if buckets is not None:
        response["aggregations"] = {"2": {"buckets": buckets}}
    return lambda *_: told({"responses": [response]})


RECORD = {
    "_index": "logs-1",
    "_id": "x",
    "_source": {
        "@timestamp": "2023-11-14T22:13:20.000Z",
        "body": "it fails",
        "severity": "ERROR",
        "attributes": {"http": {"status": 500}},
    },
}


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("elasticsearch", {"metrics": [{"type": "logs", "id": "1", "settings": {"limit": "5"}}]}),
        (
            "grafana-opensearch-datasource",
            {"luceneQueryType": "Logs", "metrics": [{"type": "logs", "settings": {"limit": "5"}}]},
        ),
    ],
)
def test_logs_are_asked_by_time_and_words_and_shown_with_their_fields(kind: str, model: dict[str, Any]) -> None:
    _, content, proxied = ask(searched(RECORD), query(kind, query="severity:ERROR", **model))

    ((_, method, target, body),) = proxied.requests
    head, question = (json.loads(line) for line in body.decode().splitlines())
    assert (method, target.partition("?")[0], head["index"]) == ("POST", "_msearch", "logs-read")
    assert question["size"] == 5
    window, words = question["query"]["bool"]["filter"]
    assert window["range"]["@timestamp"]["gte"] == 1_700_000_000_000
    assert words["query_string"]["query"] == "severity:ERROR"
    (data_frame,) = content["results"]["A"]["frames"]
    columns = {
        field["name"]: values
        for field, values in zip(data_frame["schema"]["fields"], data_frame["data"]["values"], strict=True)
    }
    assert data_frame["schema"]["meta"]["preferredVisualisationType"] == "logs"
    assert columns["@timestamp"] == [1_700_000_000_000]
    assert columns["body"] == ["it fails"]
    assert columns["id"] == ["logs-1#x"]
    assert columns["attributes.http.status"] == [500]
    assert columns["_source"] == [RECORD["_source"]]


def test_counts_over_time_are_a_series() -> None:
    buckets = [{"key": 1_700_000_000_000, "doc_count": 3}, {"key": 1_700_000_060_000, "doc_count": 0}]
    model = {"metrics": [{"type": "count", "id": "1"}], "bucketAggs": [{"type": "date_histogram", "id": "2"}]}
    _, content, proxied = ask(searched(buckets=buckets), query("elasticsearch", query="*", intervalMs=60_000, **model))

    question = json.loads(proxied.requests[0][3].decode().splitlines()[1])
    assert question["aggs"]["2"]["date_histogram"]["fixed_interval"] == "60s"
    (data_frame,) = content["results"]["A"]["frames"]
    assert data_frame["data"]["values"] == [[1_700_000_000_000, 1_700_000_060_000], [3.0, 0.0]]


def test_a_search_that_is_refused_is_the_error_of_its_query() -> None:
    refused = {"error": {"type": "security_exception", "reason": "no permissions"}, "status": 403}
    model = {"metrics": [{"type": "logs"}]}
    code, content, _ = ask(lambda *_: told({"responses": [refused]}), query("elasticsearch", **model))
    assert (code, content["results"]["A"]["status"]) == (400, 403)
    assert content["results"]["A"]["error"] == "no permissions"


# Jaeger.

TRACE: dict[str, Any] = {
    "traceID": "f0",
    "processes": {"p1": {"serviceName": "shop", "tags": []}},
    "spans": [
        {
            "traceID": "f0", "spanID": "b", "processID": "p1", "operationName": "pay", "startTime": 2_000_000,
            "duration": 500, "references": [{"refType": "CHILD_OF", "spanID": "a"}],
        },
        {
            "traceID": "f0", "spanID": "a", "processID": "p1", "operationName": "order", "startTime": 1_000_000,
            "duration": 2_000_000, "references": [], "tags": [{"key": "k"}],
        },
    ],
}  # fmt: skip


def test_a_trace_is_a_frame_of_its_spans() -> None:
    _, content, proxied = ask(lambda *_: told({"data": [TRACE]}), query("jaeger", query="f0"))

    assert proxied.requests[0][1:3] == ("GET", "api/traces/f0")
    (data_frame,) = content["results"]["A"]["frames"]
    names = [field["name"] for field in data_frame["schema"]["fields"]]
    columns = dict(zip(names, data_frame["data"]["values"], strict=True))
    assert data_frame["schema"]["meta"]["preferredVisualisationType"] == "trace"
    assert (columns["spanID"], columns["parentSpanID"]) == (["a", "b"], ["", "a"])
    assert (columns["startTime"], columns["duration"]) == ([1000.0, 2000.0], [2000.0, 0.5])
    assert columns["tags"] == [[{"key": "k"}], []]


def test_a_search_for_traces_is_a_table_the_newest_first() -> None:
    older = {**TRACE, "traceID": "e0", "spans": [{**TRACE["spans"][1], "startTime": 5}]}
    model = {"service": "shop", "operation": "order", "tags": 'http.status=500 a="b c"', "limit": 7}
    _, content, proxied = ask(lambda *_: told({"data": [older, TRACE]}), query("jaeger", queryType="search", **model))

    target = urlsplit(proxied.requests[0][2])
    parameters = {name: value for name, (value,) in parse_qs(target.query).items()}
    assert (parameters["service"], parameters["limit"], parameters["start"]) == ("shop", "7", "1700000000000000")
    assert json.loads(parameters["tags"]) == {"http.status": "500", "a": "b c"}
    (data_frame,) = content["results"]["A"]["frames"]
    assert data_frame["data"]["values"] == [["f0", "e0"], ["shop: order"] * 2, [1000, 0], [2_000_000.0, 2_000_000.0]]


def test_the_graph_of_services_is_nodes_and_edges() -> None:
    calls = [{"parent": "shop", "child": "stock", "callCount": 3}]
    _, content, _ = ask(lambda *_: told({"data": calls}), query("jaeger", queryType="dependencyGraph"))
    nodes, edges = content["results"]["A"]["frames"]
    assert nodes["data"]["values"][0] == ["shop", "stock"]
    assert edges["data"]["values"] == [["shop--stock"], ["shop"], ["stock"], [3.0]]


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (lambda *_: told({"data": None, "errors": [{"code": 404, "msg": "trace not found"}]}, 404), 404, "not found"),
        (lambda *_: told({"data": []}), 404, "trace not found"),
    ],
)
def test_a_trace_that_is_not_there_is_an_error(answer: Told, status: int, error: str) -> None:
    code, content, _ = ask(answer, query("jaeger", query="f0"))
    assert (code, content["results"]["A"]["status"]) == (400, status)
    assert error in content["results"]["A"]["error"]


# Times.


@pytest.mark.parametrize(("text", "seconds"), [("1000", 1.0), (2000, 2.0), ("now", 100.0), ("now-1m", 40.0)])
def test_times_of_queries_are_milliseconds_or_relative(text: object, seconds: float) -> None:
    assert moment(text, 100.0) == seconds


@pytest.mark.parametrize("text", ["", "now-", "now-1x", "yesterday", "now-999999999999m", "²", None])
def test_other_times_are_refused(text: object) -> None:
    with pytest.raises(RefusedError):
        moment(text, 100.0)


def test_a_range_query_has_as_many_points_as_the_panel_has_room_for_and_prometheus_gives() -> None:
    question = Question(ref="A", window=Window(begin=0, end=3600), points=240, interval_ms=1, model={})
    assert step_of(question, source("prometheus")) == 15
    assert step_of(replace(question, points=100), source("prometheus")) == 30
    assert step_of(replace(question, model={"interval": "1m"}), source("prometheus")) == 60
    year = replace(question, window=Window(begin=0, end=86_400 * 365), points=100_000)
    assert year.window.seconds / step_of(year, source("prometheus")) <= 11_000
    assert [rounded(step) for step in (0.4, 1.2, 14, 100, 5000, 10**9)] == [0.5, 1, 15, 120, 3600, 31_536_000]


def test_only_numbers_have_a_place_among_the_odd_ones() -> None:
    data_frame = frame("A", [Column(name="x", kind="number", values=[None, math.nan])], meta={})
    assert data_frame["data"] == {"values": [[None, None]], "entities": [{"NaN": [1]}]}
    assert "entities" not in frame("A", [Column(name="x", kind="string", values=["NaN"])], meta={})["data"]
