"""The layers' logs and traces, and the search cluster's health, against fakes of the platform."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from components.telemetry.layers import DEVICE, LAYERS, STREAMING
from ops.checks import prometheus, traces
from ops.checks.grace_period import GRACE_PERIOD
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.rows import Finding
from tests.unit.ops.visualization_platform import OLD


@dataclass
class Platform:
    """A platform whose layers all send, unless told otherwise."""

    counts: dict[str, int] = field(default_factory=lambda: {layer.name: 5 for layer in LAYERS})
    numbers: dict[str, float | None] = field(default_factory=dict)
    status: int = 200
    reader: Any = field(default_factory=lambda: SimpleNamespace(pair=("log-reader", "secret")))
    requests: list[tuple[str, Any]] = field(default_factory=list)
    created: datetime = OLD

    @property
    def context(self) -> Context:
        stub = SimpleNamespace(
            platform=SimpleNamespace(log_reader=self.reader),
            kube=SimpleNamespace(
                ready_pod=lambda name: SimpleNamespace(name=f"{name}-0"), created=lambda: self.created
            ),
            tunnels=SimpleNamespace(url=lambda pod, port: f"https://localhost/{pod}/{port}"),
            web=SimpleNamespace(call=self.call),
            thanos=SimpleNamespace(number=self.number),
        )
        return cast(Context, stub)

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        self.requests.append((f"{method} {url}", options["auth"]))
        buckets = [{"key": key, "doc_count": count} for key, count in self.counts.items()]
        response = requests.Response()
        response._content_consumed = True  # type: ignore[attr-defined]
        response.status_code = self.status
        response._content = json.dumps({"aggregations": {"layers": {"buckets": buckets}}}).encode()
        return response

    def number(self, expression: str) -> float | None:
        return next((value for part, value in self.numbers.items() if part in expression), 3.0)


@pytest.fixture(autouse=True)
def _metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        prometheus, "layer_check", lambda layer: lambda _: Finding(figures=[f"metrics of {layer.name}"])
    )


def test_a_layer_with_all_its_signals_passes() -> None:
    platform = Platform()
    finding = prometheus.signals_check(STREAMING)(platform.context)
    assert finding.wrong == []
    assert finding.figures == ["metrics of streaming", "5 log records in 15m", "3 spans in 5m"]
    assert platform.requests == [("POST https://localhost/search-0/9200/logs-read/_search", ("log-reader", "secret"))]


def test_a_layer_that_may_send_no_traces_is_not_asked_for_any() -> None:
    finding = prometheus.signals_check(DEVICE)(Platform(numbers={"traces_span": 0.0}).context)
    assert finding.wrong == []
    assert finding.figures[-1] == "5 log records in 15m"


def test_missing_logs_and_spans_are_found() -> None:
    finding = prometheus.signals_check(STREAMING)(Platform(counts={"device": 1}, numbers={"traces_span": None}).context)
    assert [problem.partition(" (was due")[0] for problem in finding.wrong] == [
        "no log record of layer streaming in the last 15m",
        "no span of layer streaming in the last 5m",
    ]


def test_a_young_platform_waits_for_the_first_logs_and_spans() -> None:
    young = Platform(counts={}, numbers={"traces_span": None}, created=datetime.now(UTC))
    finding = prometheus.signals_check(STREAMING)(young.context)
    assert finding.wrong == []
    assert [wait.what for wait in finding.waits] == [
        "first log record of layer streaming",
        "first span of layer streaming",
    ]
    assert all(wait.due == young.created + GRACE_PERIOD for wait in finding.waits)


def test_a_refusal_of_the_search_cluster_is_one_line() -> None:
    with pytest.raises(OpsError, match="answered 403 to a search in the logs"):
        prometheus.layers_with_logs(Platform(status=403).context)


def test_a_stack_without_logs_says_so() -> None:
    with pytest.raises(OpsError, match="no login for reading logs"):
        prometheus.layers_with_logs(Platform(reader=None).context)


def test_every_layer_has_a_check() -> None:
    assert {layer.source for layer in LAYERS} <= set(prometheus.CHECKS)


def healthy(**numbers: float | None) -> Finding:
    finding = Finding()
    readings = {"search_cluster_status": 0.0, "search_nodes_expected": 3.0, "search_nodes{": 3.0}
    traces.search_healthy(Platform(numbers={**readings, **numbers}).context, finding)
    return finding


def test_a_green_cluster_with_all_nodes_is_healthy() -> None:
    finding = healthy()
    assert (finding.wrong, finding.figures) == ([], ["search green, 3 nodes"])


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"search_cluster_status": 1.0}, "status of the search cluster is yellow, must be green"),
        ({"search_cluster_status": 2.0}, "status of the search cluster is red, must be green"),
        ({"search_cluster_status": None}, "status of the search cluster is not reported, must be green"),
        ({"search_nodes{": 2.0}, "2 search nodes, must be 3"),
        ({"search_nodes{": None}, "0 search nodes, must be 3"),
    ],
)
def test_an_unhealthy_cluster_is_found(numbers: dict[str, float | None], problem: str) -> None:
    assert healthy(**numbers).wrong == [problem]
