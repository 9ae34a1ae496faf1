"""One real search cluster of three nodes for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.telemetry.attributes import CLASSES
from tests.config.index_manager_process import (
    USERS,
    IndexManagerFiles,
    ask_index_manager,
    index_manager_files,
    index_manager_process,
)
from tests.config.search.documents import bulk, span
from tests.config.search_process import SearchProcesses, search_processes
from tests.config.servers import eventually


@pytest.fixture(scope="package")
def cluster() -> Iterator[SearchProcesses]:
    with search_processes(3, USERS) as started:
        yield started


@pytest.fixture(scope="package")
def files(cluster: SearchProcesses, tmp_path_factory: pytest.TempPathFactory) -> IndexManagerFiles:
    """An index manager's files; the program has run once, so that everything is in place."""
    settings_files = index_manager_files(cluster, tmp_path_factory.mktemp("index_manager"))
    with index_manager_process(settings_files):
        eventually(
            lambda: ask_index_manager(settings_files, "/readyz").status_code == 200, 60, "the index manager is ready"
        )
        eventually(
            lambda: "search_family_indices{" in ask_index_manager(settings_files, "/metrics", login=True).text,
            10,
            "it measures",
        )
        (settings_files.folder / "metrics.txt").write_text(
            ask_index_manager(settings_files, "/metrics", login=True).text
        )
        assert ask_index_manager(settings_files, "/metrics").status_code == 401
    return settings_files


@pytest.fixture(scope="package")
def spans(cluster: SearchProcesses, files: IndexManagerFiles) -> SearchProcesses:
    """One span of one trace in every class, written as Jaeger's collector writes."""
    for number, name in enumerate(CLASSES):
        answer = bulk(
            cluster, "jaeger-collector", {"index": {"_index": f"{name}-jaeger-span-write"}}, span(name, number)
        )
        assert not answer["errors"], answer
    return cluster
