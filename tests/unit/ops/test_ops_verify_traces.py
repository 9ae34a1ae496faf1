"""The checks of Jaeger against fakes of the platform: each promise broken once."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from components.telemetry.attributes import ATTRIBUTE, CLASSES, readable
from components.telemetry.services import EDGES, TRACED_SERVICES
from ops.checks import traces
from ops.core.context import Context
from ops.core.errors import OpsError
from tests.unit.ops.visualization_platform import OLD

URLS = {name: f"https://{name}:4180" for name in CLASSES}
CLAIMS = {"sub": "ops", "groups": ["traces-confidential"]}
TOKEN = ".".join(base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") for claims in ({}, CLAIMS))
TOKEN += ".signature"


@dataclass
class Platform:
    """A platform that keeps its promises, unless told otherwise."""

    ready: dict[str, int] = field(default_factory=dict)
    shows: dict[str, tuple[str, ...]] = field(default_factory=lambda: {name: readable(name) for name in CLASSES})
    open_to: set[str] = field(default_factory=set)
    status: int = 200
    sent: list[Any] = field(default_factory=list)
    edges: tuple[tuple[str, str], ...] = EDGES
    answers: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    in_prometheus: tuple[tuple[str, str], ...] = EDGES
    timed: tuple[str, ...] = tuple(service.name for service in TRACED_SERVICES)
    search_nodes: float = 3.0
    created: datetime = OLD

    @property
    def context(self) -> Context:
        stub = SimpleNamespace(
            platform=SimpleNamespace(trace_query_urls=URLS, left_out=lambda _: ()),
            kube=SimpleNamespace(
                pods=lambda name: (
                    [SimpleNamespace(ready=True)] * self.ready.get(name, 1 if name == "otel-agent" else 2)
                ),
                core=SimpleNamespace(list_node=lambda **_: SimpleNamespace(items=[1])),
                created=lambda: self.created,
            ),
            otlp=SimpleNamespace(traces=self.take),
            web=SimpleNamespace(call=self.call),
            thanos=SimpleNamespace(instant=self.instant, number=self.number),
        )
        return cast(Context, stub)

    def number(self, expression: str) -> float:
        if "search_cluster_status" in expression:
            return 0.0
        return 3.0 if "expected" in expression else self.search_nodes

    def instant(self, expression: str) -> list[Any]:
        if "service_graph" in expression:
            return [SimpleNamespace(labels={"client": a, "server": b}, value=2.0) for a, b in self.in_prometheus]
        return [SimpleNamespace(labels={"service_name": name}, value=0.2) for name in self.timed]

    def take(self, request: Any, layer: str) -> tuple[int, int]:
        self.sent.append((request, layer))
        return self.status, 0

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        del method
        token = options.get("headers", {}).get("Authorization", "").removeprefix("Bearer ")
        kind = "real" if token == TOKEN else "unsigned" if token.endswith(".") else "changed" if token else "none"
        response = requests.Response()
        response._content_consumed = True  # type: ignore[attr-defined]
        response.status_code = 200 if kind == "real" or kind in self.open_to else 403
        clearance = next(name for name, base in URLS.items() if url.startswith(base))
        if url.endswith("/api/dependencies"):
            calls = [{"parent": a, "child": b, "callCount": 4} for a, b in self.edges]
            response._content = json.dumps({"data": calls}).encode()
            return response
        shows = self.shows[clearance]
        if "/api/traces/" in url and (answers := self.answers.get(clearance)):
            shows = answers.pop(0)
        spans = [
            {"spanID": str(index), "operationName": name, "startTime": 1, "duration": 1}
            for index, name in enumerate(shows)
        ]
        response._content = json.dumps({"data": [{"traceID": "t", "spans": spans}]}).encode()
        if not spans and response.status_code == 200:
            response.status_code = 404
        return response


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "fetch_token", lambda *_: TOKEN)
    monkeypatch.setattr(traces, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(traces, "_REFRESH_SECONDS", 1.2)


def test_a_platform_that_keeps_its_promises_passes() -> None:
    platform = Platform()
    assert traces.j1(platform.context).wrong == []
    assert traces.j2(platform.context).wrong == []
    assert traces.j3(platform.context).wrong == []


def test_the_probe_fails_so_that_it_is_kept_and_names_its_classes() -> None:
    request = traces.probe(b"t" * 16, CLASSES)
    spans = request.resource_spans[0].scope_spans[0].spans
    assert [span.name for span in spans] == list(CLASSES)
    assert all(span.status.code == 2 for span in spans)
    assert [span.attributes[0].value.string_value for span in spans] == list(CLASSES)
    assert {span.attributes[0].key for span in spans} == {ATTRIBUTE}
    assert spans[1].parent_span_id == spans[0].span_id


@pytest.mark.parametrize("workload", ["jaeger-collector", "jaeger-query-public", "otel-agent"])
def test_a_missing_pod_is_found(workload: str) -> None:
    wrong = traces.j1(Platform(ready={workload: 1 if workload != "otel-agent" else 0}).context).wrong
    assert len(wrong) == 1


def test_a_trace_that_never_comes_is_found() -> None:
    with pytest.raises(OpsError, match="in vain for the probe's trace"):
        traces.j1(Platform(shows=dict.fromkeys(CLASSES, ())).context)


def test_a_query_whose_copy_of_the_index_refreshes_later_is_waited_for() -> None:
    platform = Platform(answers={"internal": [("public",), ("public",)]})
    assert traces.j3(platform.context).wrong == []
    assert platform.answers["internal"] == []


def test_an_answer_that_lacks_what_an_earlier_one_had_is_no_lack() -> None:
    whole = readable("internal")
    platform = Platform(answers={"internal": [whole, ("public",)], "public": [("public",), ()]})
    assert traces.j3(platform.context).wrong == []
    assert platform.answers == {"internal": [], "public": []}


def test_a_class_that_only_one_answer_shows_too_much_is_found() -> None:
    for answers in ([CLASSES, readable("internal")], [readable("internal"), CLASSES]):
        platform = Platform(answers={"internal": list(answers)})
        [wrong] = traces.j3(platform.context).wrong
        assert "classes that internal shows is confidential, internal, public" in wrong


def test_a_gateway_that_refuses_is_found() -> None:
    with pytest.raises(OpsError, match="answered 503"):
        traces.j3(Platform(status=503).context)


@pytest.mark.parametrize("kind", ["none", "changed", "unsigned"])
def test_a_query_that_lets_somebody_in_is_found(kind: str) -> None:
    wrong = traces.j3(Platform(open_to={kind}).context).wrong
    assert len(wrong) == len(CLASSES)


@pytest.mark.parametrize(
    ("clearance", "shows"),
    [("public", CLASSES), ("internal", CLASSES), ("internal", ("public",)), ("public", ())],
)
def test_a_clearance_that_shows_more_or_less_is_found(clearance: str, shows: tuple[str, ...]) -> None:
    promised = {name: readable(name) for name in CLASSES}
    wrong = traces.j3(Platform(shows={**promised, clearance: shows}).context).wrong
    assert len(wrong) == 1
    assert clearance in wrong[0]


def test_a_missing_search_node_is_found() -> None:
    assert traces.j1(Platform(search_nodes=2).context).wrong == ["2 search nodes, must be 3"]


@pytest.mark.parametrize("where", ["edges", "in_prometheus"])
def test_a_map_that_is_not_the_services_graph_is_found(where: str) -> None:
    name = {"edges": "Jaeger", "in_prometheus": "Prometheus"}[where]
    lacking: Any = {where: EDGES[1:]}
    [wrong] = traces.j2(Platform(**lacking).context).wrong
    assert wrong.startswith(f"{name} lacks {' -> '.join(EDGES[0])} (was due at ")
    young = traces.j2(Platform(**lacking, created=datetime.now(UTC)).context)
    assert (young.wrong, [wait.what for wait in young.waits]) == (
        [],
        [f"first calls {' -> '.join(EDGES[0])} in {name}"],
    )
    more: Any = {where: (*EDGES, ("metadata", "nobody"))}
    assert traces.j2(Platform(**more).context).wrong == [f"{name} shows calls that do not exist: metadata -> nobody"]


def test_a_service_without_percentiles_is_found() -> None:
    timed = tuple(service.name for service in TRACED_SERVICES[1:])
    wrong = [problem.partition(" (was due")[0] for problem in traces.j2(Platform(timed=timed).context).wrong]
    assert wrong == [f"no {percentile} of {TRACED_SERVICES[0].name}" for percentile in ("p50", "p95", "p99")]


def test_a_query_that_does_not_answer_as_jaeger_does_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = Platform()
    monkeypatch.setattr(platform, "edges", ())
    monkeypatch.setattr(traces, "fetch_token", lambda *_: "")
    with pytest.raises(OpsError, match="answered 403"):
        traces.j2(platform.context)
