"""Prometheus and Thanos in the recorded local stack."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.signin import LOGINS
from tests.support import engine

REPLICAS = ("primary", "secondary")


def stateful_set(replica: str) -> dict[str, Any]:
    spec: dict[str, Any] = engine.recorded("local").one("StatefulSet", f"prometheus-{replica}")["spec"]
    return spec


@pytest.mark.parametrize("replica", REPLICAS)
def test_each_replica_is_one_pod_with_a_sidecar_and_a_volume(replica: str) -> None:
    spec = stateful_set(replica)
    assert spec["replicas"] == 1
    assert [container["name"] for container in spec["template"]["spec"]["containers"]] == [
        "prometheus",
        "thanos-sidecar",
    ]
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["data"]


@pytest.mark.parametrize("replica", REPLICAS)
def test_every_replica_scrapes_every_workload(replica: str) -> None:
    recording = engine.recorded("local")
    config = yaml.safe_load(recording.one("ConfigMap", f"prometheus-{replica}")["data"]["prometheus.yml"])
    jobs = {scrape["job_name"]: scrape for scrape in config["scrape_configs"]}
    workloads = {manifest["metadata"]["name"] for manifest in recording.kinds("StatefulSet", "Deployment", "DaemonSet")}
    workloads -= {"search"}  # the index manager measures it
    workloads -= set(LOGINS)  # they serve no metrics: the prober looks at them
    probes = {"probe-pods", "probe-services"}
    sidecars = {"incident-closer", *(f"thanos-sidecar-{name}" for name in REPLICAS)}
    assert workloads | probes | sidecars <= jobs.keys()
    probed = {name for discovery in jobs["probe-pods"]["dns_sd_configs"] for name in discovery["names"]}
    for login in LOGINS:
        assert any(name.startswith(f"_https._tcp.{login}-headless.") for name in probed), login


def test_the_scrape_secret_has_one_password_per_job_and_workload() -> None:
    files = engine.recorded("local").one("Secret", "prometheus-scrape")["stringData"]
    own = {job: password for job, password in files.items() if not job.startswith("thanos-sidecar-")}
    assert len(set(own.values())) == len(own)


@pytest.mark.parametrize("replica", REPLICAS)
def test_users_of_one_replica_are_unknown_to_the_other(replica: str) -> None:
    passwords = engine.recorded("local").passwords
    assert passwords["prometheus-primary-reader"] != passwords["prometheus-secondary-reader"]
    web = yaml.safe_load(engine.recorded("local").one("Secret", f"prometheus-{replica}-web")["stringData"]["web.yml"])
    assert sorted(web["basic_auth_users"]) == ["reader", f"scrape-prometheus-{replica}", "sidecar", "writer"]


@pytest.mark.parametrize("replica", REPLICAS)
def test_helpers_in_the_pod_read_their_password_from_a_file(replica: str) -> None:
    client = yaml.safe_load(
        engine.recorded("local").one("Secret", f"prometheus-{replica}-web")["stringData"]["client.yml"]
    )
    assert client["basic_auth"] == {"username": "sidecar", "password_file": "/etc/prometheus-web/client-password"}


@pytest.mark.parametrize("replica", REPLICAS)
def test_no_config_map_holds_a_password_or_its_hash(replica: str) -> None:
    recording = engine.recorded("local")
    text = "".join(recording.one("ConfigMap", f"prometheus-{replica}")["data"].values())
    assert not [name for name, value in recording.passwords.items() if value in text]
    assert "$2b$" not in text


def test_the_rules_of_all_components_are_loaded() -> None:
    text = engine.recorded("local").one("ConfigMap", "prometheus-rules")["data"]["rules.yml"]
    names = {group["name"] for group in yaml.safe_load(text)["groups"]}
    assert {"kafka", "gateway", "consumers", "prometheus", "freshness"} <= names


def test_two_query_pods_ask_both_replicas_and_the_store_gateway() -> None:
    recording = engine.recorded("local")
    assert recording.one("Deployment", "thanos-query")["spec"]["replicas"] == 2
    endpoints = yaml.safe_load(recording.one("ConfigMap", "thanos-query")["data"]["endpoints.yml"])["endpoints"]
    there = {manifest["metadata"]["name"] for manifest in recording.kinds("StatefulSet")}
    stores = [*(f"prometheus-{name}" for name in REPLICAS), *sorted(there & {"thanos-store"})]
    assert [endpoint["address"].split("-headless")[0] for endpoint in endpoints] == [f"dns+{name}" for name in stores]


def test_the_query_layer_lets_in_its_reader_and_its_scraper() -> None:
    web = yaml.safe_load(engine.recorded("local").one("Secret", "thanos-query-web")["stringData"]["web.yml"])
    assert sorted(web["basic_auth_users"]) == ["people", "reader", "scrape-thanos-query"]
