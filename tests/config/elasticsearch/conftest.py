"""One real Elasticsearch, as `prod` names it, for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from components.search import access, indices
from components.search.config import Engine
from components.search.indices import Family, IndexPolicy
from components.telemetry.attributes import CLASSES
from tests.config.index_manager_process import ask_index_manager, index_manager_files, index_manager_process
from tests.config.search_process import SearchProcesses, search_processes
from tests.config.servers import eventually

POLICY = IndexPolicy(shards=1, replicas=0, retention_days=7)
FAMILIES: tuple[Family, ...] = indices.families(Engine.ELASTICSEARCH, traces=POLICY, logs=POLICY)
USERS = (
    access.trace_writer("jaeger-collector"),
    *(access.trace_reader(f"jaeger-query-{name}", name) for name in CLASSES),
    access.dependency_writer("service-graph"),
    access.log_writer("log-indexer"),
    access.log_reader("log-reader", people=True),
    access.log_reader("grafana"),
    *access.own_users([family.name for family in FAMILIES], Engine.ELASTICSEARCH),
)


def prepared(cluster: SearchProcesses, folder: Path, families: Sequence[Family] = FAMILIES) -> None:
    """Let the index manager make everything."""
    files = index_manager_files(cluster, folder, families=families)
    with index_manager_process(files):
        eventually(lambda: ask_index_manager(files, "/readyz").status_code == 200, 60, "the index manager is ready")


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchProcesses]:
    """A node that the index manager has prepared."""
    with search_processes(1, USERS, Engine.ELASTICSEARCH) as started:
        prepared(started, tmp_path_factory.mktemp("index_manager"))
        yield started
