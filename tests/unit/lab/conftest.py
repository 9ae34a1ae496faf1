"""Fakes of Grafana and of the receivers, each anew for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.provider import Engine
from tests.unit.lab.grafana_api_fake import GrafanaFake, grafana_fake
from tests.unit.lab.grafana_plugin import plugin_on
from tests.unit.lab.receivers_fakes import Fakes, fakes


@pytest.fixture
def grafana(tmp_path: Path) -> Iterator[GrafanaFake]:
    with grafana_fake(tmp_path) as fake:
        yield fake


@pytest.fixture
def engine(grafana: GrafanaFake) -> Iterator[Engine]:
    """The provider, configured for the fake."""
    with plugin_on(grafana.settings()) as provider_engine:
        yield provider_engine


@pytest.fixture
def all_fakes(tmp_path: Path) -> Iterator[Fakes]:
    with fakes(tmp_path) as receivers:
        yield receivers
