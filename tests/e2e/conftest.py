"""Fixtures of the end-to-end tests: the live platform. Without one they fail; they are never skipped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.kafka import KafkaAdmin
from ops.core.kube import Kube
from ops.core.otlp import OtlpClient
from ops.core.platform import Platform
from ops.drills.procedure import settle
from tests.e2e.core import is_core

_ORDER = (
    "test_pulumi",
    "test_change",
    "test_five_layers",
    "test_bad_input",
    "test_security",
    "test_traces",
    "test_sign_in",
    "test_logs",
    "test_masking",
    "test_grafana",
    "test_alerts",
    "test_alert_latency",
    "test_reports",
    "test_backups",
    "test_loadtest",
    "test_dashboards",
    "test_pages",
    "test_verify",
    "test_gate_drills",
    "test_trace_faults",
    "test_alert_faults",
    "test_faults",
    "test_certificates",
    "test_zone",
    "test_region",
    "test_chaos",
    "test_shards",
    "test_rebalance",
    "test_partitions",
    "test_storage",
    "test_admin_password",
    "test_kafka_logins",
    "test_gateway_passwords",
    "test_kafka_upgrade",
    "test_kafka_controllers",
)
"""Cheap ones first; dashboards after what they draw (reports, backups, people); faults, which restart pods, last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put this folder's files into the order above; what is not of the core is a drill; none is ever repeated."""
    here = Path(__file__).parent
    mine = [item for item in items if item.path.parent == here]
    for item in mine:
        item.add_marker(pytest.mark.e2e)
        item.add_marker(pytest.mark.promise)
        item.add_marker(pytest.mark.core if is_core(item.path.stem, item.name) else pytest.mark.drill)
    mine.sort(key=lambda item: _ORDER.index(item.path.stem))
    items[:] = [item for item in items if item.path.parent != here] + mine


@pytest.fixture(scope="session", autouse=True)
def tidy() -> Iterator[None]:
    """End on SIGTERM as on SIGINT: a drill that is stopped puts back what it took away."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


@pytest.fixture(scope="session")
def platform() -> Platform:
    """Outputs of the selected stack."""
    return platform_module.load()


@pytest.fixture(scope="session")
def context(platform: Platform) -> Iterator[Context]:
    """All clients."""
    with Context(platform, Kube.of(platform)) as clients:
        yield clients


@pytest.fixture(scope="session")
def kube(context: Context) -> Kube:
    """The platform's namespace."""
    return context.kube


@pytest.fixture(scope="session")
def kafka_admin(context: Context) -> KafkaAdmin:
    """Kafka as its administrator."""
    return context.kafka


@pytest.fixture(scope="session")
def otlp(context: Context) -> OtlpClient:
    """The gateway as its clients see it."""
    return context.otlp


@pytest.fixture
def settled(context: Context) -> Context:
    """The platform with every pod ready and every replica in sync, so that a drill starts from a good state."""
    settle(context)
    return context
