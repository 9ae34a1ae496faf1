"""Servers, and two replicas that were started at the same moment on an empty database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.grafana_fake.directory_server import DirectoryServer
from tests.config.grafana_fake.postgres_server import NAME, PostgresServer
from tests.config.grafana_fake.prometheus_server import prometheus_server
from tests.config.grafana_fake.replica import Harness, Replica


@pytest.fixture(scope="package")
def harness() -> Iterator[Harness]:
    # Below /tmp itself: PostgreSQL runs as its own user and must be able to enter the folder.
    folder = Path(tempfile.mkdtemp(prefix="grafana-fake-"))
    folder.chmod(0o755)
    postgres, directory = PostgresServer(folder), DirectoryServer(folder)
    try:
        postgres.start()
        directory.start()
        postgres.make(NAME)
        with prometheus_server(folder) as prometheus:
            yield Harness(folder, postgres, directory, prometheus)
    finally:
        directory.stop()
        postgres.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="package")
def replicas(harness: Harness) -> Iterator[tuple[Replica, Replica]]:
    pair = harness.replica("one"), harness.replica("two")
    for replica in pair:
        replica.begin()
    try:
        for replica in pair:
            replica.await_health()
        yield pair
    finally:
        for replica in pair:
            if replica.process:
                replica.end(kill=True)


@pytest.fixture
def first(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[0]


@pytest.fixture
def second(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[1]
