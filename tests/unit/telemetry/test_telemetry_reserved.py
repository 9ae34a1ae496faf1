"""Reserved names against their sources: scrape jobs, labels, rules and dashboards of the planned stacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from components.dashboards.promql import BY_PART
from components.prometheus.config import RULES_FILE
from components.telemetry.catalogue import METRICS
from components.telemetry.fields import PLATFORM
from components.telemetry.gate_catalogue import sent_metrics
from components.telemetry.layers import LAYERS
from components.telemetry.naming import Kind, prometheus_name
from components.telemetry.registry import REGISTRY, service_reserved
from components.telemetry.thresholds import series_in
from tests.support.engine import recorded

NOT_SERIES = {"count_values", "group_left", "timestamp_seconds"}
"""Words of PromQL, and the end of a recorded name, that look like series."""


@dataclass
class Planned:
    """What a stack's Prometheus is told: names of jobs, external labels, expressions of rules."""

    jobs: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    expressions: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=["local", "prod"])
def planned(request: pytest.FixtureRequest) -> Planned:
    plan = Planned()
    for content in files(request.param):
        if "scrape_configs" in content:
            plan.jobs |= {job["job_name"] for job in content["scrape_configs"]}
            plan.labels |= set(content["global"]["external_labels"])
        for group in content.get("groups", ()):
            plan.expressions += [str(rule["expr"]) for rule in group["rules"]]
    assert plan.jobs
    assert plan.expressions
    return plan


def files(stack: str) -> Iterator[dict[str, Any]]:
    """Configuration and rules of a stack's Prometheus."""
    for manifest in recorded(stack).kinds("ConfigMap"):
        data = manifest.get("data") or {}
        yield from (yaml.load(data[name], yaml.CSafeLoader) for name in ("prometheus.yml", RULES_FILE) if name in data)


def reserved_series(name: str) -> bool:
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in REGISTRY.reserved.metrics
    )


def sendable() -> set[str]:
    """Series that clients may send, by their names in Prometheus."""
    names: set[str] = {series for metric in METRICS for series in metric.series}
    for layer in LAYERS:
        for metric in sent_metrics(layer):
            name = prometheus_name(metric.name, metric.unit or "", metric.kind)
            parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
            names |= {name + part for part in parts}
    return names


def test_every_scrape_job_is_reserved(planned: Planned) -> None:
    assert [job for job in sorted(planned.jobs) if not service_reserved(job, REGISTRY.reserved.services)] == []


def test_the_labels_that_prometheus_adds_are_reserved(planned: Planned) -> None:
    promoted = {attribute.id for attribute in REGISTRY.types.values() if attribute.label}
    scope = {f"otel_scope_{part}" for part in ("name", "version", "schema_url")}
    assert planned.labels | promoted | scope | {"job", "instance", PLATFORM} <= set(REGISTRY.reserved.labels)


def test_every_series_that_a_rule_or_dashboard_reads_is_reserved_or_a_clients(planned: Planned) -> None:
    series = {name for expression in planned.expressions for name in series_in(expression)}
    series |= {name for names in BY_PART.values() for name in names}
    assert sorted(name for name in series - sendable() - NOT_SERIES if not reserved_series(name)) == []


def deceivable(expressions: Iterable[str]) -> list[str]:
    """Series that a client of any layer may send, and that an expression reads without saying whose it means."""
    shared = sendable() - {series for metric in METRICS for series in metric.series}
    return [
        f"{name}{selector} in {expression}"
        for expression in expressions
        for name in sorted(series_in(expression) & shared)
        for selector in re.findall(rf"\b{name}\b(\{{[^}}]*\}})?", expression)
        if not re.search(r"\b(job|layer)=", selector)
    ]


def test_a_rule_that_reads_a_name_of_clients_and_of_the_platform_says_whose_it_means(planned: Planned) -> None:
    """A client cannot take the job of a part of the platform; so a rule that names the job cannot be deceived."""
    assert deceivable(planned.expressions) == []


def test_a_rule_that_does_not_say_whose_it_means_is_found() -> None:
    names = ("jvm_memory_used_bytes", "rpc_server_call_duration_seconds_count")
    assert deceivable(f'sum({name}{{job="kafka"}}) > 1' for name in names) == []
    assert deceivable(f'sum({name}{{pod="kafka"}}) > 1' for name in names) == [
        f'{name}{{pod="kafka"}} in sum({name}{{pod="kafka"}}) > 1' for name in names
    ]
