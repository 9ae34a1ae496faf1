"""The prober's objects in the cluster, what it may reach, and what Prometheus asks it for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from components.contracts import ProbeJob
from components.k8s import Resources
from components.probes import (
    PORT,
    Endpoint,
    Listener,
    Module,
    Probes,
    ProbesArgs,
    metrics_listener,
    pod_listener,
)
from components.versions import IMAGES
from policy.model import Resource
from policy.runner import Runner
from tests.support.deployment_context import metrics
from tests.support.engine import PASSWORD, Recorded, Recording, password_of
from tests.unit.sampler.stubs import deployment_context, record

DOOR = Endpoint(
    name="gateway-http",
    url="https://gateway.obs.svc.cluster.local:4318/v1/metrics",
    module=Module.CLOSED,
    workload="gateway",
    port=4318,
    access_label="obs.access/gateway",
    host="otlp.example.com",
)
STORE = pod_listener(deployment_context(), "prometheus-primary", "grpc", 10901)


def args() -> ProbesArgs:
    return ProbesArgs(
        context=deployment_context(),
        scrape=metrics(deployment_context(), "probes", PORT),
        listeners=[
            metrics_listener(metrics(deployment_context(), "gateway", 8888)),
            pod_listener(deployment_context(), "kafka", "client", 9092),
            STORE,
        ],
        endpoints=[DOOR],
        resources=Resources(cpu="20m", memory="32Mi", memory_limit="128Mi"),
    )


@pytest.fixture(scope="module")
def component() -> tuple[Recording, Probes]:
    kept: list[Probes] = []
    recording = record(lambda: kept.append(Probes("probes", args())))
    return recording, kept[0]


@pytest.fixture(scope="module")
def recording(component: tuple[Recording, Probes]) -> Recording:
    return component[0]


@pytest.fixture(scope="module")
def jobs(component: tuple[Recording, Probes]) -> dict[str, ProbeJob]:
    return {job.job: job for job in component[1].jobs}


def test_it_runs_the_program_with_tls_and_users(recording: Recording) -> None:
    spec = recording.one("Deployment", "probes")["spec"]
    [container] = spec["template"]["spec"]["containers"]
    assert spec["replicas"] == 2
    assert container["command"][0] == "/bin/blackbox_exporter"
    assert "--web.config.file=/etc/blackbox-web/web.yml" in container["command"]
    assert container["image"] == f"registry.example/{IMAGES['blackbox-exporter']}"
    web = yaml.safe_load(recording.one("Secret", "probes-web")["stringData"]["web.yml"])
    assert sorted(web["basic_auth_users"]) == ["scrape-probe-pods", "scrape-probe-services", "scrape-probes"]
    assert web["tls_server_config"]["min_version"] == "TLS12"


def test_every_module_verifies_and_shows_its_own_certificate(recording: Recording) -> None:
    modules = yaml.safe_load(recording.one("ConfigMap", "probes")["data"]["config.yml"])["modules"]
    assert sorted(modules) == sorted(Module)
    for module in modules.values():
        tls = module[module["prober"]]["tls_config"]
        assert tls == {
            "ca_file": "/etc/tls/ca.crt",
            "cert_file": "/etc/tls/tls.crt",
            "key_file": "/etc/tls/tls.key",
            "min_version": "TLS12",
        }


def test_it_holds_no_password_of_others(recording: Recording) -> None:
    assert [manifest["metadata"]["name"] for manifest in recording.kinds("Secret")] == ["probes-web"]


def test_it_reaches_what_it_looks_at_and_nothing_else(recording: Recording) -> None:
    policy = recording.one("NetworkPolicy", "probes")["spec"]
    reached = {
        rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]: [port["port"] for port in rule["ports"]]
        for rule in policy["egress"]
        if "app.kubernetes.io/name" in rule["to"][0].get("podSelector", {}).get("matchLabels", {})
    }
    assert reached == {"gateway": [4318, 8888], "kafka": [9092], "prometheus-primary": [10901]}
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 4318, 8888, 9092, 10901}
    labels = recording.one("Deployment", "probes")["spec"]["template"]["metadata"]["labels"]
    assert {name for name in labels if name.startswith("obs.access/")} == {
        "obs.access/gateway",
        "obs.access/kafka",
        "obs.access/metrics",
        "obs.access/prometheus-primary",
    }


def test_only_scrapers_reach_it(recording: Recording) -> None:
    [rule] = recording.one("NetworkPolicy", "probes")["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"obs.access/metrics": "true"}}}]
    assert [port["port"] for port in rule["ports"]] == [9115]


def test_pods_are_found_by_name_and_looked_at_once_a_minute(jobs: dict[str, ProbeJob]) -> None:
    job = jobs["probe-pods"]
    assert job.srvs == (
        "_metrics._tcp.gateway-headless.obs.svc.cluster.local",
        "_client._tcp.kafka-headless.obs.svc.cluster.local",
        "_grpc._tcp.prometheus-primary-headless.obs.svc.cluster.local",
    )
    assert (job.module, job.interval, job.targets) == ("tls", "1m", ())


def test_endpoints_are_looked_at_by_the_name_that_people_use(jobs: dict[str, ProbeJob]) -> None:
    job = jobs["probe-services"]
    [target] = job.targets
    assert (target.name, target.address, target.module, target.host) == (
        "gateway-http",
        "https://gateway.obs.svc.cluster.local:4318/v1/metrics",
        "closed",
        "otlp.example.com",
    )
    assert (job.interval, job.srvs) == ("15s", ())


def test_every_job_asks_the_prober_with_a_user_of_its_own(jobs: dict[str, ProbeJob]) -> None:
    for job in jobs.values():
        assert (job.address, job.server_name) == (
            "probes.obs.svc.cluster.local:9115",
            "probes.obs.svc.cluster.local",
        )
        assert (job.workload, job.port) == ("probes", 9115)
    assert {job.credential.username for job in jobs.values()} == {"scrape-probe-pods", "scrape-probe-services"}


@pytest.mark.parametrize(
    ("listeners", "endpoints", "problem"),
    [
        ([], [DOOR], "there is no listener"),
        ([STORE], [], "there is no endpoint"),
        ([STORE, STORE], [DOOR], "listener _grpc._tcp.prometheus-primary-headless.obs.svc.cluster.local occurs twice"),
        ([STORE], [DOOR, replace(DOOR, url="https://other")], "endpoint gateway-http occurs twice"),
    ],
)
def test_what_cannot_work_is_refused(listeners: list[Listener], endpoints: list[Endpoint], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(args(), listeners=listeners, endpoints=endpoints)


def test_the_policies_find_nothing_but_what_a_part_of_a_platform_lacks(recording: Recording) -> None:
    resources = [Resource(resource.token, resource.name, _known(resource)) for resource in recording.resources]
    rule_ids = {verdict.rule.id for verdict in Runner(agreed=[]).all(resources)}
    assert rule_ids <= {"certificate-authority", "image-registry", "namespace-made", "network-default-deny"}


def test_the_policies_notice_a_prober_that_anybody_may_use(recording: Recording) -> None:
    open_to_all = {"web.yml": yaml.safe_dump({"tls_server_config": {"cert_file": "a", "key_file": "b"}})}
    resources = [
        Resource(
            resource.token,
            resource.name,
            {**_known(resource), **({"stringData": open_to_all} if resource.name == "probes-web" else {})},
        )
        for resource in recording.resources
    ]
    assert "web-users" in {verdict.rule.id for verdict in Runner(agreed=[]).all(resources)}


def _known(resource: Recorded) -> dict[str, Any]:
    """What the engine knows after an update: passwords too."""
    return {**resource.inputs, **({"result": password_of(resource.name)} if resource.token == PASSWORD else {})}
