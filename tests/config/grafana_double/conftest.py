"""Servers, and two replicas that were started at the same moment on an empty database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.grafana_double.directory_server import DirectoryServer
from tests.config.grafana_double.postgres_server import NAME, PostgresServer
from tests.config.grafana_double.prometheus_server import prometheus_server
from tests.config.grafana_double.replica import Replica, World


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    # Below /tmp itself: PostgreSQL runs as its own user and must be able to enter the folder.
    folder = Path(tempfile.mkdtemp(prefix="grafana-double-"))
    folder.chmod(0o755)
    postgres, directory = PostgresServer(folder), DirectoryServer(folder)
    try:
        postgres.start()
        directory.start()
        postgres.make(NAME)
        with prometheus_server(folder) as prometheus:
            yield World(folder, postgres, directory, prometheus)
    finally:
        directory.stop()
        postgres.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="package")
def replicas(world: World) -> Iterator[tuple[Replica, Replica]]:
    pair = world.replica("one"), world.replica("two")
    for each in pair:
        each.begin()
    try:
        for each in pair:
            each.await_health()
        yield pair
    finally:
        for each in pair:
            if each.process:
                each.end(kill=True)


@pytest.fixture
def first(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[0]


@pytest.fixture
def second(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[1]
