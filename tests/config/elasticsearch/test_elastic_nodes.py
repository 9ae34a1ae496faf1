"""Three nodes of a real Elasticsearch, as `prod` has them: the elected one is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import grpc
import pytest

from components.search import indices
from components.search.config import Engine
from components.telemetry.attributes import CLASSES
from tests.config.elasticsearch.conftest import POLICY, USERS, prepared
from tests.config.jaeger_harness import SPANS, JaegerHarness, jaeger_harness
from tests.config.jaeger_process import Sent, trace
from tests.config.search.documents import bulk, readable_documents
from tests.config.search_process import SearchProcesses, search_processes
from tests.config.servers import eventually

pytestmark = pytest.mark.drill

COPIED = replace(POLICY, replicas=1)
FAMILIES = indices.families(Engine.ELASTICSEARCH, traces=COPIED, logs=COPIED)


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JaegerHarness]:
    """Clients are led to a node that is not the elected one, which is the last."""
    with search_processes(3, USERS, Engine.ELASTICSEARCH) as nodes:
        [elected] = nodes.as_admin("GET", "/_cat/master?format=json").json()
        nodes.nodes.sort(key=lambda node: node.name == elected["node"])
        prepared(nodes, tmp_path_factory.mktemp("index_manager"), FAMILIES)
        nodes.wait(nodes=3)
        with jaeger_harness(nodes, tmp_path_factory.mktemp("jaeger")) as started:
            yield started


def test_without_the_elected_node_what_was_written_is_read_and_more_is_taken(harness: JaegerHarness) -> None:
    nodes = harness.search
    write_log(nodes, "before")
    nodes.nodes[-1].stop(kill=True)
    died = time.monotonic()
    eventually(lambda: nodes.health().get("number_of_nodes") == 2, 120, "two nodes have elected another")
    eventually(lambda: nodes.health().get("status") == "yellow", 120, "every index has its primary copies")
    print(f"yellow with two nodes after {time.monotonic() - died:.1f} s")

    for number, clearance in enumerate(CLASSES):
        assert harness.names(clearance) == {span.name for span in SPANS[: number + 1]}
    assert log_bodies(nodes) == {"before"}

    assert harness.collector.send(trace([Sent(name="x", service="later", span_class="public")])) is grpc.StatusCode.OK
    eventually(lambda: "later" in harness.services("public"), 60, "spans are taken and found")
    write_log(nodes, "meanwhile")
    assert log_bodies(nodes) == {"before", "meanwhile"}

    nodes.start(len(nodes.nodes) - 1)
    nodes.wait(nodes=3)
    assert harness.names(CLASSES[-1]) == {span.name for span in SPANS}
    assert log_bodies(nodes) == {"before", "meanwhile"}


def write_log(nodes: SearchProcesses, body: str) -> None:
    document = {"@timestamp": datetime.now(UTC).isoformat(), "body": body}
    answer = bulk(nodes, "log-indexer", {"index": {"_index": "logs-write"}}, document)
    assert not answer["errors"], answer


def log_bodies(nodes: SearchProcesses) -> set[str]:
    return {document["body"] for document in readable_documents(nodes, "log-reader", "logs-read")}
