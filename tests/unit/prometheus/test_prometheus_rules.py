"""What rules about the metrics store take for granted about the platform, and whom its inhibitions keep quiet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from components.alertevents import PORT as ALERT_EVENTS_PORT
from components.alertmanager.config import WEB_PORT
from components.prometheus.rules import INHIBITIONS
from components.prometheus.thanos_rules import ALERTMANAGER_PORT
from tests.rules.scenarios_prometheus import SCENARIOS
from tests.support import engine


def test_alertmanagers_are_told_from_other_receivers_by_their_port() -> None:
    assert ALERTMANAGER_PORT == WEB_PORT != ALERT_EVENTS_PORT


def scrape(replica: str, job: str) -> dict[str, Any]:
    config = yaml.safe_load(
        engine.recorded("local").one("ConfigMap", f"prometheus-{replica}")["data"]["prometheus.yml"]
    )
    jobs: dict[str, dict[str, Any]] = {entry["job_name"]: entry for entry in config["scrape_configs"]}
    return jobs[job]


@pytest.mark.parametrize("replica", ["primary", "secondary"])
def test_a_sidecar_has_the_instance_of_its_prometheus(replica: str) -> None:
    hosts, relabelled = [], []
    for job in (f"prometheus-{replica}", f"thanos-sidecar-{replica}"):
        entry = scrape("primary", job)
        [lookup] = entry["dns_sd_configs"]
        [name] = lookup["names"]
        hosts.append(name.partition("._tcp.")[2])
        relabelled.append(entry["relabel_configs"])
    assert hosts[0] == hosts[1]
    assert relabelled[0] == relabelled[1]


def labels_of(alert: str) -> Iterator[Mapping[str, str]]:
    return (scenario.labels for scenario in SCENARIOS if scenario.alert == alert)


@pytest.mark.parametrize("target", ["ThanosSidecarCutOff", "PrometheusPairDisagrees"])
def test_a_replica_that_is_down_keeps_quiet_what_is_about_itself_only(target: str) -> None:
    [inhibition] = [
        inhibition
        for inhibition in INHIBITIONS
        if "PrometheusDown" in inhibition.source and target in inhibition.targets
    ]
    [label] = inhibition.equal
    [down] = labels_of("PrometheusDown")
    server = down[label]
    assert {server, server.replace("primary", "secondary")} >= {labels[label] for labels in labels_of(target)}


def test_a_replica_that_is_down_does_not_hide_how_many_are_read() -> None:
    quiet = {
        target for inhibition in INHIBITIONS if "PrometheusDown" in inhibition.source for target in inhibition.targets
    }
    assert "ThanosStoreMissing" not in quiet
