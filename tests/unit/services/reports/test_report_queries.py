"""PromQL of the reports: Prometheus takes it, the platform produces what it asks for, limits are those of the rules."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from components.alertevents.rules import RULES as EVENT_RULES
from components.alertmanager.rules import alertmanager_rules
from components.dashboards.limits import PLATFORM as DASHBOARD_LIMITS
from components.dashboards.promql import SERIES, metrics
from components.gateway.rules import RULES as GATEWAY_RULES
from components.kafka.rules import kafka_rules
from components.prometheus.rules import prometheus_rules
from components.rules import Recording
from components.sampler.rules import RULES as SAMPLER_RULES
from components.search.rules import RULES as SEARCH_RULES
from components.telemetry.rules import RULES as LAYER_RULES
from components.telemetry.thresholds import threshold
from lab.toolchain import tools
from services.index_manager.indices import IndexManagerMetrics
from services.reports import maintenance, queries
from services.reports.queries import CAPACITIES, FRESH_S, KPIS, Query, kpi
from services.reports.recommendations import RULES

ALL_RULES = (
    *LAYER_RULES,
    *GATEWAY_RULES,
    *SAMPLER_RULES,
    *SEARCH_RULES,
    *EVENT_RULES,
    *kafka_rules(min_insync_replicas=2, volume_bytes=1),
    *alertmanager_rules(2),
    *prometheus_rules(["gateway"], volume_bytes=1, memory_bytes=2**30),
)
RECORDED = {rule.record for group in ALL_RULES for rule in group.rules if isinstance(rule, Recording)}
PLAIN = list(
    {
        id(query): query
        for value in (*vars(queries).values(), *vars(maintenance).values())
        for query in (value if isinstance(value, tuple) else (value,))
        if isinstance(query, Query)
    }.values()
)
EXPRESSIONS = {
    **{f"query {query.name}": query.expr for query in PLAIN},
    **{f"kpi {indicator.name}": indicator.mean for indicator in KPIS},
    **{f"capacity {capacity.name}": capacity.mean for capacity in CAPACITIES},
    **{f"rule {rule.name}": rule.expr for rule in RULES},
}
OWN_WORDS = {
    "prometheus_build_info": "prometheus",
    "alertmanager_build_info": "alertmanager",
    "thanos_build_info": "thanos",
    "blackbox_exporter_build_info": "blackbox_exporter",
}
"""Series that each program says about itself -> program."""


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"report:{number}", "expr": expr.replace("$range", "86400s").replace("$step", "3600s")}
        for number, expr in enumerate(EXPRESSIONS.values())
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "reports", "rules": rules}]}))
    done = subprocess.run(
        [str(tools.path("promtool")), "check", "rules", str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def test_every_series_is_one_that_the_platform_produces() -> None:
    index_manager = set(
        re.findall(r"^# TYPE (\S+)", generate_latest(IndexManagerMetrics(1, 60.0).registry).decode(), re.MULTILINE)
    )
    known = SERIES | RECORDED | index_manager | set(OWN_WORDS)
    for name, expr in EXPRESSIONS.items():
        metric_names = metrics(expr)
        assert metric_names, name
        assert metric_names <= known, f"{name}: {metric_names - known}"


@pytest.mark.parametrize(("series", "program"), OWN_WORDS.items())
def test_a_program_says_its_version_in_a_series_of_its_name(series: str, program: str) -> None:
    content = tools.path(program).read_bytes()
    # Go's client makes the name of the program's; the metric's other half is in the library.
    assert series.removesuffix("_build_info").encode() in content
    assert b"build_info" in content


def test_placeholders_are_the_two_that_are_filled_in() -> None:
    for name, expr in EXPRESSIONS.items():
        assert set(re.findall(r"\$[a-z]\w*", expr)) <= {"$range", "$step"}, name


def test_names_are_unique() -> None:
    for those in (PLAIN, KPIS, CAPACITIES, RULES):
        names = [query.name for query in those]
        assert len(set(names)) == len(names)


def test_the_metric_that_a_recommendation_names_is_in_its_query() -> None:
    for rule in RULES:
        assert rule.metric in metrics(rule.expr), rule.name


def test_limits_are_those_of_the_alerts_and_thresholds() -> None:
    limits = {capacity.name: capacity.limit for capacity in CAPACITIES}
    assert limits["kafka-disk"] == DASHBOARD_LIMITS["KafkaDiskFilling"]
    assert limits["prometheus-disk"] == DASHBOARD_LIMITS["PrometheusDiskFilling"]
    assert limits["search-disk"] == DASHBOARD_LIMITS["SearchDiskFull"]
    assert limits["object-storage"] == threshold("storage").limit
    assert limits["sessions"] == threshold("sessions").limit
    assert DASHBOARD_LIMITS["TelemetryStale"] == FRESH_S
    beyond = {rule.name: rule.limit for rule in RULES}
    assert beyond["lag-peak"] == DASHBOARD_LIMITS["KafkaConsumerLag"]
    expressions = {rule.name: rule.expr for rule in RULES}
    assert f"(({DASHBOARD_LIMITS['KafkaDiskFilling']:g} - " in expressions["kafka-disk"]
    assert f"(({DASHBOARD_LIMITS['PrometheusDiskFilling']:g} - " in expressions["prometheus-disk"]
    assert f"(({DASHBOARD_LIMITS['SearchDiskFull']:g} - " in expressions["search-disk"]
    assert threshold("api-latency").limit == 3


def test_a_figure_nobody_knows_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="use one of devices"):
        kpi("nothing")
