"""The one list of metrics endpoints against what the components serve."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components import naming
from tests.support import engine
from tests.support.engine import Recording


@pytest.fixture(params=engine.STACKS)
def recording(request: pytest.FixtureRequest) -> Recording:
    return engine.recorded(request.param)


def _jobs(recording: Recording) -> dict[str, dict[str, Any]]:
    """Jobs that scrape a workload, by name; those of the prober ask it about others."""
    config = yaml.safe_load(recording.one("ConfigMap", "prometheus-primary")["data"]["prometheus.yml"])
    return {job["job_name"]: job for job in config["scrape_configs"] if not job["job_name"].startswith("probe-")}


def _names(job: dict[str, Any]) -> list[str]:
    return [name for discovery in job["dns_sd_configs"] for name in discovery["names"]]


def _offered(recording: Recording) -> dict[str, tuple[str, int]]:
    """SRV name of every port of a headless Service -> its workload, and the port's number."""
    domain = engine.stack_settings("local")["cluster"]["domain"]
    return {
        f"_{port['name']}._tcp.{service['metadata']['name']}.{service['metadata']['namespace']}.svc.{domain}": (
            service["spec"]["selector"]["app.kubernetes.io/name"],
            int(port["port"]),
        )
        for service in recording.kinds("Service")
        if service["spec"].get("clusterIP") == "None"
        for port in service["spec"]["ports"]
    }


def test_every_endpoint_is_a_port_of_its_workload(recording: Recording) -> None:
    offered = _offered(recording)
    missing = [name for job in _jobs(recording).values() for name in _names(job) if name not in offered]
    assert not missing, f"stacks/scrapes.py has {', '.join(missing)}: add the port to that headless Service"


def test_every_metrics_port_is_scraped_once(recording: Recording) -> None:
    offered = {name for name in _offered(recording) if name.startswith(f"_{naming.METRICS_PORT}.")}
    scraped = [name for job in _jobs(recording).values() for name in _names(job)]
    assert len(scraped) == len(set(scraped))
    assert offered <= set(scraped)


def test_every_workload_lets_its_scraper_in_and_prometheus_out(recording: Recording) -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in recording.kinds("NetworkPolicy")}
    scraper = {"podSelector": {"matchLabels": {naming.METRICS_ACCESS: "true"}}}

    def ports(rules: list[dict[str, Any]], side: str, peer: dict[str, Any]) -> set[int]:
        return {int(port["port"]) for rule in rules if peer in rule[side] for port in rule["ports"]}

    offered = _offered(recording)
    for job in _jobs(recording).values():
        for name in offered.keys() & set(_names(job)):
            workload, port = offered[name]
            let_in = ports(policies[workload]["ingress"], "from", scraper)
            assert port in let_in, f"{name}: let {naming.METRICS_ACCESS} in at port {port} of {workload}"
            pods = {"podSelector": {"matchLabels": naming.selector(workload)}}
            assert port in ports(policies["prometheus-primary"]["egress"], "to", pods), name


def test_each_endpoint_has_a_password_of_its_own(recording: Recording) -> None:
    jobs = _jobs(recording)
    assert {job["basic_auth"]["username"] for job in jobs.values()} == {naming.scrape_user(name) for name in jobs}
    passwords = recording.one("Secret", "prometheus-scrape")["stringData"]
    assert len({passwords[name] for name in jobs}) == len(jobs)
