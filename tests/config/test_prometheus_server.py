"""Prometheus' configuration in the real binaries."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from components.grafana.sources import TRACE_LABEL
from components.prometheus.config import CLIENT_CONFIG, WEB_PORT, ready_probe_command
from lab.toolchain import tools
from tests.config.gateway_process import metrics_request
from tests.config.prometheus_process import USERS, PrometheusProcess, job, prometheus_process, write_files
from tests.config.servers import eventually

PATHS = ("/api/v1/query?query=up", "/metrics", "/-/healthy", "/federate", "/api/v1/otlp/v1/metrics")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    folder = tmp_path_factory.mktemp("prometheus")
    write_files(folder, job("gateway"))
    with prometheus_process(folder) as process:
        yield process


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tools.path("promtool")), *arguments], capture_output=True, text=True, check=False)


def write(prometheus: PrometheusProcess, body: bytes, user: str | None) -> requests.Response:
    return requests.post(
        f"{prometheus.url}/api/v1/otlp/v1/metrics",
        data=body,
        auth=(user, USERS.get(user, "wrong")) if user else None,
        headers={"content-type": "application/x-protobuf"},
        verify=str(prometheus.folder / "ca.crt"),
        timeout=60,
    )


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    write_files(tmp_path, job("gateway"), job("kafka"))
    done = promtool("check", "config", "--lint=all", "--lint-fatal", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_web_configuration(tmp_path: Path) -> None:
    write_files(tmp_path)
    done = promtool("check", "web-config", str(tmp_path / "web.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", ["/api/v1/query?query=up", "/metrics", "/-/healthy", "/federate", "/api/v1/otlp/v1/metrics"]
)
@pytest.mark.parametrize("user", [None, "nobody", "gateway"])
def test_anonymous_and_unknown_users_are_refused(prometheus: PrometheusProcess, path: str, user: str | None) -> None:
    assert prometheus.get(path, user=user).status_code == 401


def test_plain_http_is_not_answered(prometheus: PrometheusProcess) -> None:
    answer = requests.get(f"http://localhost:{prometheus.port}/-/ready", timeout=60)
    assert answer.status_code == 400


def test_the_scrape_user_reads_the_metrics(prometheus: PrometheusProcess) -> None:
    assert "prometheus_build_info" in prometheus.get("/metrics", user="scrape-prometheus-primary").text


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def traced_request() -> ExportMetricsServiceRequest:
    """A histogram in which one slow request is an exemplar with its trace."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in {"service.name": "work-api", "service.instance.id": "work-api-1"}.items():
        resource.resource.attributes.add(key=key).value.string_value = value
    histogram = resource.scope_metrics.add().metrics.add(name="request.duration", unit="s").histogram
    histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    now = time.time_ns()
    point = histogram.data_points.add(start_time_unix_nano=now - 10**9, time_unix_nano=now, count=2, sum=4.2)
    point.explicit_bounds.extend([0.5, 5.0])
    point.bucket_counts.extend([1, 1, 0])
    point.exemplars.add(time_unix_nano=now, as_double=4.1, trace_id=bytes.fromhex(TRACE_ID), span_id=bytes(7) + b"x")
    return request


def test_an_exemplar_that_comes_by_otlp_names_its_trace_as_the_dashboards_ask(prometheus: PrometheusProcess) -> None:
    assert write(prometheus, traced_request().SerializeToString(), "writer").status_code == 200

    def exemplars() -> list[dict[str, str]]:
        expr = "histogram_quantile(0.95, sum by (service_name, le) (rate(request_duration_seconds_bucket[1m])))"
        now = time.time()
        query = urlencode({"query": expr, "start": now - 300, "end": now + 60})
        series_list = prometheus.get(f"/api/v1/query_exemplars?{query}", user="reader").json()["data"]
        return [exemplar["labels"] for series in series_list for exemplar in series["exemplars"]]

    eventually(lambda: bool(exemplars()), 5, "the exemplar is there")
    assert [exemplar[TRACE_LABEL] for exemplar in exemplars()] == [TRACE_ID]


def test_otlp_metrics_get_the_labels_of_the_catalogue(prometheus: PrometheusProcess) -> None:
    assert write(prometheus, metrics_request("device").SerializeToString(), "writer").status_code == 200
    eventually(lambda: bool(prometheus.series("battery")), 5, "the sample is there")
    labels = prometheus.series("battery")[0]["metric"]
    assert labels == {
        "__name__": "battery",
        "job": "recorder",
        "instance": "recorder-1",
        "layer": "device",
        "device_id": "d-1",
    }


def test_two_scopes_of_a_process_are_two_series_and_no_point_says_which(prometheus: PrometheusProcess) -> None:
    request = metrics_request("device", name="scoped")
    first = request.resource_metrics[0].scope_metrics[0]
    first.scope.name = "com.example.first"
    for name, number in (("com.example.second", 2.0), ("", 3.0)):
        second = request.resource_metrics[0].scope_metrics.add()
        second.CopyFrom(first)  # The same moment too: of one series, the second point would be a duplicate.
        second.scope.name = name
        second.metrics[0].gauge.data_points[0].as_double = number
    assert write(prometheus, request.SerializeToString(), "writer").status_code == 200
    eventually(lambda: len(prometheus.series("scoped")) == 3, 5, "the samples are there")
    values = {one["metric"].get("otel_scope_name", ""): float(one["value"][1]) for one in prometheus.series("scoped")}
    assert values == {"com.example.first": 1, "com.example.second": 2, "": 3}
    assert not [one for one in prometheus.series("target_info") if "otel_scope_name" in one["metric"]]


def test_samples_of_an_outage_within_the_window_are_taken_and_older_ones_refused(prometheus: PrometheusProcess) -> None:
    def at(hours_ago: float) -> int:
        request = metrics_request("device")
        metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
        metric.name = "late"
        metric.gauge.data_points[0].time_unix_nano = time.time_ns() - int(hours_ago * 3600 * 1e9)
        return write(prometheus, request.SerializeToString(), "writer").status_code

    assert at(0) == 200
    assert at(11) == 200
    assert at(3) == 200
    assert at(13) == 400


def test_the_readiness_probe_of_the_pod_passes(prometheus: PrometheusProcess) -> None:
    local = {
        "/bin/promtool": str(tools.path("promtool")),
        f"--http.config.file={CLIENT_CONFIG}": f"--http.config.file={prometheus.folder / 'client.yml'}",
        f"--url=https://localhost:{WEB_PORT}": f"--url={prometheus.url}",
    }
    done = subprocess.run(
        [local.get(part, part) for part in ready_probe_command()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
