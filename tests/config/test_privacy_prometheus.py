"""`ops privacy` on a real Prometheus: series are found by any label; they go only where removal is switched on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops.core import otlp
from ops.core.errors import OpsError
from ops.core.web import Web
from ops.privacy.stores import ADMIN_OFF, MetricStore
from tests.config.prometheus_process import USERS, PrometheusProcess, local_command, write_files
from tests.config.servers import START_SECONDS, eventually, free_port, running

SUBJECT, OTHER = "5f" * 32, "a1" * 32


@contextmanager
def prometheus(folder: Path, *options: str) -> Iterator[PrometheusProcess]:
    """One with further options."""
    write_files(folder)
    port = free_port()
    with running([*local_command(folder, port), *options], folder / "prometheus.log", port):
        process = PrometheusProcess(folder, port)
        eventually(lambda: process.get("/-/ready").status_code == 200, START_SECONDS, "Prometheus is ready")
        yield process


def write(process: PrometheusProcess, request: ExportMetricsServiceRequest) -> None:
    answer = requests.post(
        f"{process.url}/api/v1/otlp/v1/metrics",
        data=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
        auth=("writer", USERS["writer"]),
        verify=str(process.folder / "ca.crt"),
        timeout=60,
    )
    assert answer.status_code == 200, answer.text


def fill(process: PrometheusProcess) -> None:
    """A device's own series, a label of another's, and a series that is about nobody."""
    now = time.time_ns()
    own = {"layer": "device", "service.name": "recorder", "service.instance.id": "r-1", "device_id": SUBJECT}
    other = {**own, "service.instance.id": "r-2", "device_id": OTHER}
    write(process, otlp.gauge(own, "battery", [(now, 1.0, {}), (now, 2.0, {"slot": "b"})]))
    write(process, otlp.gauge(other, "battery", [(now, 1.0, {})]))
    write(process, otlp.gauge(other, "shift", [(now, 1.0, {"worker.id": SUBJECT})]))


@contextmanager
def store(process: PrometheusProcess, user: str = "reader") -> Iterator[MetricStore]:
    web = Web(str(process.folder / "ca.crt"))
    try:
        yield MetricStore(web, process.url, (user, USERS[user]), "prometheus-primary")
    finally:
        web.close()


def names(process: PrometheusProcess) -> Sequence[str]:
    return sorted(series["metric"]["__name__"] for series in process.series('{__name__=~"battery|shift"}'))


def test_series_are_found_by_any_label_and_stay_where_removal_is_off(tmp_path: Path) -> None:
    with prometheus(tmp_path) as process:
        fill(process)
        with store(process) as metrics:
            held = metrics.find(SUBJECT)
            assert metrics.labels(SUBJECT, 86400) == ["device_id", "worker_id"]
            # The two of the device, its target_info, and the one of another device.
            assert (held.matches, held.left, held.removable, held.why) == (4, 4, False, ADMIN_OFF)
            assert held.expires is not None
            assert timedelta(hours=23) < held.expires - datetime.now(UTC) < timedelta(hours=25)
            assert metrics.erase(SUBJECT) == held or metrics.erase(SUBJECT).left == 4
            assert metrics.find("b2" * 32).matches == 0
        assert names(process) == ["battery", "battery", "battery", "shift"]


def test_series_go_where_removal_is_on(tmp_path: Path) -> None:
    with prometheus(tmp_path, "--web.enable-admin-api") as process:
        fill(process)
        with store(process) as metrics:
            erased = metrics.erase(SUBJECT)
            assert (erased.matches, erased.removed, erased.left, erased.removable) == (4, 4, 0, True)
            assert erased.expires is None
            assert metrics.find(SUBJECT).matches == 0
            assert metrics.find(OTHER).matches == 2
        assert names(process) == ["battery"]


def test_a_login_that_is_refused_is_one_line(tmp_path: Path) -> None:
    with prometheus(tmp_path) as process:
        web = Web(str(process.folder / "ca.crt"))
        metrics = MetricStore(web, process.url, ("reader", "wrong"), "prometheus-primary")
        with pytest.raises(OpsError, match="prometheus-primary answered 401"):
            metrics.find(SUBJECT)
        web.close()
