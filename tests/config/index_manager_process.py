"""The index manager as its pod runs it, against real nodes; or round by round, where a test wants to see each step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from components.k8s import TLS_MOUNT
from components.search import access, indices
from components.search.access import INDEX_MANAGER, SearchUser
from components.search.component import PORT, index_manager_settings
from components.search.config import Engine
from components.search.indices import Family, IndexPolicy
from components.telemetry.attributes import CLASSES
from lab.paths import CHECKOUT
from services.index_manager import IndexManagerSettings
from services.index_manager.__main__ import IndexManager
from services.index_manager.indices import IndexManagerMetrics
from tests.config.search_process import SearchProcesses, hashes, password_of
from tests.config.servers import free_port, running

TRACES = IndexPolicy(shards=1, replicas=1, retention_days=7)
LOGS = IndexPolicy(shards=2, replicas=1, retention_days=14)
FAMILIES: tuple[Family, ...] = indices.families(Engine.OPENSEARCH, traces=TRACES, logs=LOGS)
USERS: tuple[SearchUser, ...] = (
    access.trace_writer("jaeger-collector"),
    *(access.trace_reader(f"jaeger-query-{name}", name) for name in CLASSES),
    access.dependency_writer("service-graph"),
    access.log_writer("log-indexer"),
    access.log_reader("log-reader", people=True),
    access.log_reader("grafana"),
    *access.own_users([family.name for family in FAMILIES], Engine.OPENSEARCH),
)
SCRAPE_PASSWORD = "scrape-password"


@dataclass(frozen=True)
class IndexManagerFiles:
    """Everything that the index manager's pod mounts, in a folder."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "config.yaml"

    def settings(self, **changes: Any) -> IndexManagerSettings:
        """The settings as the program reads them, with some of them changed."""
        return IndexManagerSettings.parse(yaml.safe_load(self.config.read_text())).model_copy(update=changes)

    def write_access(self, users: Sequence[SearchUser], passwords: dict[str, str]) -> None:
        """Write the file of users and roles."""
        (self.folder / "access.json").write_text(json.dumps(access.security_documents(users, passwords)))


def index_manager_files(
    cluster: SearchProcesses,
    folder: Path,
    families: Sequence[Family] = FAMILIES,
) -> IndexManagerFiles:
    """Write the files for a cluster; only folders and addresses differ from the pod's."""
    port = free_port()
    cluster.authority.issue(folder / "tls", INDEX_MANAGER, ())
    settings = index_manager_settings(
        url=cluster.nodes[0].url,
        scrape_user="scrape-index-manager",
        engine=cluster.engine,
        nodes=len(cluster.nodes),
        families=families,
        interval_s=1,
    )
    text = yaml.safe_dump(settings.content())
    moved = {
        TLS_MOUNT + "/": f"{folder / 'tls'}/",
        "/etc/index-manager-auth/": f"{folder}/",
        **({"/etc/search-admin/": f"{cluster.root / 'admin'}/"} if cluster.engine is Engine.OPENSEARCH else {}),
        f"0.0.0.0:{PORT}": f"127.0.0.1:{port}",
    }
    for old, new in moved.items():
        assert old in text
        text = text.replace(old, new)
    files = IndexManagerFiles(folder, port)
    files.config.write_text(text)
    (folder / "search-password").write_text(password_of(INDEX_MANAGER))
    (folder / "scrape-password").write_text(SCRAPE_PASSWORD)
    files.write_access(cluster.users, hashes(cluster.users))
    return files


@contextmanager
def index_manager_process(files: IndexManagerFiles) -> Iterator[subprocess.Popen[bytes]]:
    """Run the program until the block ends."""
    environment = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = str(CHECKOUT)
    try:
        command = [sys.executable, "-m", "services.index_manager", "--config", str(files.config)]
        with running(command, files.folder / "index_manager.log", files.port) as process:
            yield process
    finally:
        os.environ["PYTHONPATH"] = environment


def ask_index_manager(files: IndexManagerFiles, path: str, *, login: bool = False) -> requests.Response:
    """A request to the index manager's own web server."""
    auth = ("scrape-index-manager", SCRAPE_PASSWORD) if login else None
    url = f"https://localhost:{files.port}{path}"
    return requests.get(url, auth=auth, verify=str(files.folder / "tls" / "ca.crt"), timeout=60)


@contextmanager
def index_manager(
    settings: IndexManagerSettings, said: list[str] | None = None
) -> Iterator[tuple[IndexManager, IndexManagerMetrics]]:
    """An index manager to be turned by hand."""
    metrics = IndexManagerMetrics(settings.nodes, settings.interval_s)
    index_manager = IndexManager(settings, metrics, (said if said is not None else []).append)
    try:
        yield index_manager, metrics
    finally:
        index_manager.close()
