"""Panels and rules ask for jobs that there are: those that Prometheus scrapes, and services that send metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any

import pytest
import yaml

from components.dashboards.registry import DASHBOARDS
from components.telemetry.catalogue import SERVICES
from tests.support import engine
from tests.support.engine import Recording

_JOB = re.compile(r'\bjob(=~?)"([^"]*)"')


@pytest.fixture(params=engine.STACKS)
def recording(request: pytest.FixtureRequest) -> Recording:
    return engine.recorded(request.param)


def _file(recording: Recording, name: str) -> dict[str, Any]:
    contents = (manifest.get("data", {}) for manifest in recording.kinds("ConfigMap"))
    text = next(content[name] for content in contents if name in content)
    parsed: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return parsed


def _without_a_job(expressions: Iterator[tuple[str, str]], jobs: Set[str]) -> list[str]:
    return [
        f"{where}: job{sign}{wanted}"
        for where, expression in expressions
        for sign, wanted in _JOB.findall(expression)
        if not any(re.fullmatch(wanted, job) if sign == "=~" else wanted == job for job in jobs)
    ]


def _jobs(recording: Recording) -> set[str]:
    return {*SERVICES, *(job["job_name"] for job in _file(recording, "prometheus.yml")["scrape_configs"])}


def test_a_rule_asks_for_jobs_that_there_are(recording: Recording) -> None:
    rules = [rule for group in _file(recording, "rules.yml")["groups"] for rule in group["rules"]]
    asked_for = ((rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules)
    assert _without_a_job(asked_for, _jobs(recording)) == []


def test_a_panel_asks_for_jobs_that_there_are(recording: Recording) -> None:
    asked_for = (
        (f"{dashboard.title}, {panel.title}", query.expr)
        for dashboard in DASHBOARDS
        for panel in dashboard.panels
        for query in panel.queries
    )
    assert _without_a_job(asked_for, _jobs(recording)) == []


def test_a_job_that_is_not_there_is_found() -> None:
    assert _without_a_job(iter([("a panel", 'up{job="gateway"} or up{job=~"old-.+"}')]), {"gateway"}) == [
        "a panel: job=~old-.+"
    ]
