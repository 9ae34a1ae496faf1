"""The real Prometheus spells the catalogue's metrics as the catalogue says, and can read every threshold."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricsData

from components.dashboards.registry import DASHBOARDS
from components.prometheus.config import PrometheusConfig, prometheus_config
from components.telemetry.catalogue import METRICS, REQUIRED_METRICS, metric
from components.telemetry.rules import RULES
from components.telemetry.thresholds import SLOS, THRESHOLDS, slo
from lab.simulator.config import FaultPlan
from lab.simulator.pipeline import Pipeline
from lab.simulator.services import Simulation
from lab.toolchain import tools
from tests.support.ports import free_port
from tests.unit.telemetry.test_telemetry_reserved import sendable

START_LIMIT_S = 30.0
SCOPE = "otel_scope_name"


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """HTTP client that ignores the machine's proxies."""
    with requests.Session() as client:
        client.trust_env = False
        yield client


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, session: requests.Session) -> Iterator[str]:
    """A Prometheus that has received one export of every source; its address."""
    folder = tmp_path_factory.mktemp("prometheus")
    config = prometheus_config(
        PrometheusConfig(
            platform="obs",
            region="a",
            replica="primary",
            jobs=(),
            alerts=(),
            scrape_interval="15s",
            out_of_order_window="12h",
        )
    )
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"otlp": config["otlp"]}))
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(tools.path("prometheus")),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--web.enable-otlp-receiver",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _await_ready(session, address, process, folder / "log")
            simulation = Simulation(seed=1, devices=3)
            simulation.step(10, FaultPlan())
            parts = [part for source in simulation.sources for part in Pipeline(source, "test").metrics()]
            body = encode_metrics(MetricsData(resource_metrics=parts)).SerializeToString()
            answer = session.post(
                f"http://{address}/api/v1/otlp/v1/metrics",
                data=body,
                headers={"Content-Type": "application/x-protobuf"},
                timeout=60,
            )
            assert answer.status_code == 200, answer.text
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(60)


def _await_ready(session: requests.Session, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if session.get(f"http://{address}/-/ready", timeout=2).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    pytest.fail(f"prometheus is not ready on {address}: {log.read_text()[-2000:]}")


def _get(session: requests.Session, url: str, **parameters: str) -> Any:
    answer = session.get(url, params=parameters, timeout=60)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)["data"]


def test_prometheus_stores_exactly_the_names_of_the_catalogue(prometheus: str, session: requests.Session) -> None:
    stored = set(_get(session, f"{prometheus}/api/v1/label/__name__/values"))
    sent = stored - {"target_info"}
    assert sent <= {series for catalogue_metric in METRICS for series in catalogue_metric.series}
    assert sent >= {series for required_metric in REQUIRED_METRICS for series in required_metric.series}


def test_series_carry_the_labels_of_the_catalogue(prometheus: str, session: requests.Session) -> None:
    for catalogue_metric in METRICS:
        series = _get(session, f"{prometheus}/api/v1/series", **{"match[]": catalogue_metric.series[0]})
        promoted = {"layer", *(["device_id"] if catalogue_metric.layer.name == "device" else [])}
        expected = {
            "__name__",
            "job",
            "instance",
            SCOPE,
            "otel_scope_version",  # The gate, which is not in this way, takes it away.
            *promoted,
            *catalogue_metric.labels,
            *(["le"] if catalogue_metric.buckets else []),
        }
        for labels in series:
            assert set(labels) == expected, catalogue_metric.name
            assert labels["job"] == catalogue_metric.service


def test_devices_are_told_apart_by_their_id(prometheus: str, session: requests.Session) -> None:
    series = _get(session, f"{prometheus}/api/v1/series", **{"match[]": metric("hw.battery.charge").prometheus})
    assert sorted(labels["device_id"] for labels in series) == ["dev-0001", "dev-0002", "dev-0003"]


@pytest.mark.parametrize("name", [threshold.name for threshold in THRESHOLDS])
def test_every_threshold_is_promql_that_prometheus_can_answer(
    name: str, prometheus: str, session: requests.Session
) -> None:
    expression = next(threshold.expression for threshold in THRESHOLDS if threshold.name == name)
    assert _get(session, f"{prometheus}/api/v1/query", query=expression)["resultType"] == "vector"


@pytest.mark.parametrize("name", [objective.name for objective in SLOS if objective.layer != "platform"])
def test_every_objective_finds_its_events(name: str, prometheus: str, session: requests.Session) -> None:
    objective = slo(name)
    for indicator in filter(None, (objective.good, objective.total)):
        # Two exports would be needed for a rate: what it reads has to be there.
        for selector in re.findall(r"[a-z_]+(?:\{[^}]*\})?(?=\[\{window\}\])", indicator):
            assert _get(session, f"{prometheus}/api/v1/query", query=selector)["result"], selector


def _kept(node: Any, clients: set[str], aggregated: bool = False) -> Iterator[str]:
    """Series of clients that a parsed expression reads without leaving the label of the scope out."""
    if isinstance(node, list):
        for part in node:
            yield from _kept(part, clients, aggregated)
    elif isinstance(node, dict):
        named = {matcher["name"] for matcher in node.get("matchers", ())}
        # What names a job of the platform is scraped, and has no scope.
        if node.get("type") == "vectorSelector" and node["name"] in clients and not aggregated and "job" not in named:
            yield node["name"]
        if node.get("type") == "aggregation" and node["op"] not in ("topk", "bottomk", "limitk", "limit_ratio"):
            aggregated = aggregated or (not node["without"] and SCOPE not in node["grouping"])
        for part in node.values():
            yield from _kept(part, clients, aggregated)


def test_a_second_scope_adds_no_result_to_a_rule_or_panel(prometheus: str, session: requests.Session) -> None:
    """Else a library of another name would be another alert, with an escalation of its own."""
    clients = sendable()
    expressions = [rule.expr for group in RULES for rule in group.rules]
    expressions += [query.expr for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]
    kept = []
    for expression in sorted(set(expressions)):
        readable = re.sub(r"\$__\w+", "5m", expression)
        tree = _get(session, f"{prometheus}/api/v1/parse_query", query=readable)
        kept += [f"{name} in {expression}" for name in _kept(tree, clients)]
    assert not kept
    tree = _get(session, f"{prometheus}/api/v1/parse_query", query="max without (le) (hw_battery_charge_ratio) > 1")
    assert list(_kept(tree, clients)) == ["hw_battery_charge_ratio"]
