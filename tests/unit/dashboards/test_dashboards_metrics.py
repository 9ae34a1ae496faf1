"""What dashboards ask for is there, under the name and with the limit that they show."""

from __future__ import annotations

import re

import pytest

from components.agent.rules import RULES as AGENT_RULES
from components.alertevents.rules import RULES as EVENT_RULES
from components.alertmanager.rules import alertmanager_rules
from components.clusterstate.rules import volume_rules
from components.dashboards import limits
from components.dashboards.__main__ import DOCS
from components.dashboards.promql import BY_PART, SERIES, metrics
from components.dashboards.recovery import OF_THE_COPY, OF_THE_OTHER
from components.dashboards.registry import DASHBOARDS
from components.gateway.rules import RULES as GATEWAY_RULES
from components.grafana.rules import RULES as GRAFANA_RULES
from components.kafka.rules import kafka_rules
from components.mirror.rules import RULES as MIRROR_RULES
from components.postgres.rules import RULES as POSTGRES_RULES
from components.prometheus.rules import prometheus_rules
from components.regions.rules import RULES as REGION_RULES
from components.reports.rules import RULES as REPORT_RULES
from components.rules import Recording
from components.sampler.rules import RULES as SAMPLER_RULES
from components.search.rules import RULES as SEARCH_RULES
from components.telemetry.rules import RULES as LAYER_RULES
from services.kafka_archive.metrics import Metrics as ArchiveMetrics

ALL_RULES = (
    *LAYER_RULES,
    *GATEWAY_RULES,
    *AGENT_RULES,
    *SAMPLER_RULES,
    *SEARCH_RULES,
    *EVENT_RULES,
    *POSTGRES_RULES,
    *GRAFANA_RULES,
    *REPORT_RULES,
    *REGION_RULES,
    *MIRROR_RULES,
    *volume_rules(),
    *kafka_rules(min_insync_replicas=2, volume_bytes=1),
    *alertmanager_rules(2),
    *prometheus_rules(["gateway"], volume_bytes=1, memory_bytes=2**30),
)
RECORDED = {rule.record for group in ALL_RULES for rule in group.rules if isinstance(rule, Recording)}
WITH_TWO_REGIONS = OF_THE_OTHER | OF_THE_COPY
QUERIES = [query for dashboard in DASHBOARDS for panel in dashboard.panels for query in panel.queries]


def used() -> set[str]:
    return set().union(*(metrics(query.expr) for query in QUERIES))


def test_metrics_that_are_used_and_not_produced_are_none() -> None:
    assert used() - SERIES - RECORDED == set()


def test_panels_about_two_regions_answer_where_there_is_one() -> None:
    asking = [query.expr for query in QUERIES if metrics(query.expr) & WITH_TWO_REGIONS]
    assert set().union(*(metrics(expr) for expr in asking)) >= WITH_TWO_REGIONS
    assert [expr for expr in asking if not re.search(r" or vector\(-?\d+\)$", expr)] == []


@pytest.mark.parametrize(
    ("part", "source"),
    {
        "backup exporter": "backup_exporter/__main__.py",
        "report server": "report_server/__main__.py",
        "failover agent": "failover_agent/__main__.py",
    }.items(),
)
def test_a_program_of_ours_names_what_dashboards_ask_of_it(part: str, source: str) -> None:
    text = (DOCS.parent / "services" / source).read_text(encoding="utf-8")
    assert [name for name in BY_PART[part] if f'"{name.removesuffix("_total")}"' not in text] == []


def test_the_archive_of_kafka_tells_what_dashboards_ask_of_it() -> None:
    told = {sample.name for family in ArchiveMetrics(["t"]).registry.collect() for sample in family.samples}
    assert set(BY_PART["Kafka archive"]) <= told


def test_the_list_of_produced_metrics_has_no_leftover_and_nothing_twice() -> None:
    listed = [name for names in BY_PART.values() for name in names]
    assert len(set(listed)) == len(listed)
    assert set(listed) <= used()


@pytest.mark.parametrize(("alert", "value"), limits.PLATFORM.items())
def test_a_limit_of_the_platform_is_that_of_its_rule(alert: str, value: float) -> None:
    rule = next(candidate for group in ALL_RULES for candidate in group.alerts if candidate.name == alert)
    # A limit may be a share of something that each server tells of itself.
    of_each = r"(?:on \([\w, ]+\) group_left \(\) )?"
    assert re.search(rf">=? {of_each}{re.escape(f'{value:g}')}(?![\d.])", rule.expr), rule.expr
