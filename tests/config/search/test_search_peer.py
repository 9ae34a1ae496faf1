"""The peer of traces: a stock Jaeger fills indices of its own in the platform's search cluster, and leaves none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.telemetry.layers import Signal
from lab import LabError
from lab.peer.__main__ import PLANS
from lab.peer.stores import PREFIX, SpanIndices
from ops.backups.destinations import Cluster
from ops.loadtest.bench_load import Load
from ops.loadtest.bench_requests import ENVIRONMENT
from tests.config.peer_process import running_peer
from tests.config.search.documents import bulk, span
from tests.config.search_process import SearchProcesses


def indices_of(cluster: SearchProcesses) -> SpanIndices:
    """The peer's indices in a cluster of the tests."""
    nodes = cluster.nodes
    return SpanIndices(
        cluster=Cluster(url="", ca_file=cluster.ca, certificate=cluster.administrator[0]),
        url=lambda: nodes[0].url,
        addresses=[f"127.0.0.1:{node.http_port}" for node in nodes],
    )


def left(cluster: SearchProcesses) -> list[str]:
    """Names of indices and templates of the peer."""
    names: list[str] = []
    for path in (f"/{PREFIX}-*", f"/_template/{PREFIX}-*", f"/_index_template/{PREFIX}-*"):
        answer = cluster.as_admin("GET", path)
        content: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        names += content.get("index_templates", content)
    return names


def test_the_peer_carries_every_span_to_its_indices(
    spans: SearchProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, indices = PLANS[Signal.TRACES], indices_of(spans)
    try:
        with running_peer(Signal.TRACES, plan.size, tmp_path, monkeypatch, indices) as running:
            assert set(running.peer.cpu_seconds()) == set(plan.processes)
            acknowledged = running.carries(Load(rate=plan.rate, seconds=3, clients=2))
            assert indices.spans() == acknowledged
            # What an earlier turn sent is not counted again.
            running.carries(Load(rate=plan.rate, seconds=2, clients=2))
            assert len(left(spans)) >= 4
    finally:
        indices.remove()
    assert left(spans) == []


def test_spans_of_load_tests_are_counted_in_the_platforms_indices(spans: SearchProcesses) -> None:
    indices = indices_of(spans)
    assert indices.spans_of_platform() == 0
    tags = [{"key": "deployment.environment.name", "type": "string", "value": ENVIRONMENT}]
    document = {**span("internal", 99), "process": {"serviceName": "service-internal", "tags": tags}}
    answer = bulk(spans, "jaeger-collector", {"index": {"_index": "internal-jaeger-span-write"}}, document)
    assert not answer["errors"], answer
    [written] = answer["items"]
    assert indices.spans_of_platform() == 1
    place = written["index"]
    assert spans.as_admin("DELETE", f"/{place['_index']}/_doc/{place['_id']}?refresh=true").status_code == 200
    assert indices.spans_of_platform() == 0


def test_without_templates_of_jaeger_no_index_is_made(spans: SearchProcesses) -> None:
    indices = indices_of(spans)
    with pytest.raises(LabError, match="has made no templates"):
        indices.create()
    assert left(spans) == []


def test_whoever_has_no_certificate_is_told(tmp_path: Path) -> None:
    cluster = Cluster(url="", ca_file=tmp_path, login=("search-restorer", "sesame"))
    with pytest.raises(LabError, match="needs the lab's OpenSearch"):
        SpanIndices(cluster=cluster, url=lambda: "", addresses=()).backend()
