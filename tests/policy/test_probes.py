"""The prober and what Prometheus has it look at."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_servers import Data, broken, cases, config_map, rule, rules_of, said, workload

TLS: Data = {"ca_file": "/tls/ca.crt", "min_version": "TLS12"}
GOOD: Data = {
    "args": {"config.file": "/etc/p/config.yml", "web.config.file": "/etc/p/web.yml"},
    "config": {
        "modules": {
            "shake": {"prober": "tcp", "tcp": {"tls": True, "tls_config": TLS}},
            "page": {"prober": "http", "http": {"fail_if_not_ssl": True, "tls_config": TLS}},
            "call": {"prober": "grpc", "grpc": {"tls": True, "tls_config": TLS}},
            "ping": {"prober": "icmp"},
        }
    },
    "web": {
        "tls_server_config": {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key"},
        "basic_auth_users": {"reader": "$2y$10$x"},
    },
    "prometheus": {
        "scrape_configs": [
            {
                "job_name": "doors",
                "static_configs": [
                    {"targets": ["https://door.example/"], "labels": {"__param_module": "page"}},
                    {"targets": ["store.example:9092"], "labels": {"__param_module": "shake"}},
                ],
                "relabel_configs": [
                    {"source_labels": ["__address__"], "target_label": "__param_target"},
                    {"source_labels": ["x"], "regex": ".+", "replacement": "call", "target_label": "__param_module"},
                    {"source_labels": ["y"], "replacement": "$1", "target_label": "__param_module"},
                    {"target_label": "__address__", "replacement": "prober:9115"},
                ],
            },
            {"job_name": "itself", "static_configs": [{"targets": ["localhost:9090"]}]},
        ]
    },
}
BROKEN = cases("probes")


def build(data: Data) -> list[Resource]:
    """A prober, and the Prometheus that asks it."""
    files = config_map("prober", **{"config.yml": data["config"], "web.yml": data["web"]})
    args = [f"--{key}={value}" for key, value in data["args"].items()]
    image = "prom/blackbox-exporter:v0.28.0"
    return [
        files,
        workload("Deployment", "prober", image, args=args, files={"/etc/p": files}),
        config_map("prometheus", **{"prometheus.yml": data["prometheus"]}),
    ]


@pytest.mark.parametrize("rule_id", sorted({case[0] for case in BROKEN}))
def test_a_good_prober_passes(rule_id: str) -> None:
    assert said(rule(rule_id), build(GOOD)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), BROKEN)
def test_a_broken_prober_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(GOOD, path, value))) == [message]


def test_a_prober_for_its_own_pod_may_serve_in_clear_text() -> None:
    local = {"web.listen-address": "127.0.0.1:9115"}
    assert said(rule("prober-serves-tls"), build(broken(GOOD, "args", local))) == []


def test_jobs_that_ask_no_prober_are_not_looked_at() -> None:
    plain = broken(GOOD, "prometheus/scrape_configs/0/relabel_configs", [])
    data = broken(plain, "prometheus/scrape_configs/0/static_configs/0/targets/0", "http://door.example/")
    assert said(rule("prober-targets-tls"), build(data)) == []


@pytest.mark.parametrize("flag", ["config.file", "web.config.file"])
def test_the_prober_runs_the_files_that_were_looked_at(flag: str) -> None:
    findings = said(rule("servers-run-checked-files"), build(broken(GOOD, f"args/{flag}", "/etc/p/other.yml")))
    assert len(findings) == 1
    assert f"--{flag} names /etc/p/other.yml, which is in no ConfigMap or Secret" in findings[0]
    assert said(rule("servers-run-checked-files"), build(GOOD)) == []


def test_modules_that_are_not_known_yet_are_not_called_missing() -> None:
    [_, prober, prometheus] = build(GOOD)
    unknown = Resource("kubernetes:core/v1:ConfigMap", "prober", {"data": UNKNOWN})
    with pytest.raises(UnknownValueError):
        said(rule("prober-modules-known"), [unknown, prober, prometheus])


def test_every_rule_about_probing_is_broken_here() -> None:
    assert {case[0] for case in BROKEN} == {known_rule.id for known_rule in rules_of("probes")}
