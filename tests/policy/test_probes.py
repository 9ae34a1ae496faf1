"""The prober and what Prometheus has it look at."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_servers import GONE, Data, broken, config_map, rule, rules_of, said, workload

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
PROBER = "ConfigMap mon/prober, config.yml:.modules"
JOB = "ConfigMap mon/prometheus, prometheus.yml:.scrape_configs[0]"
BROKEN: list[tuple[str, str, Any, str]] = [
    (
        "prober-serves-tls",
        "args/web.config.file",
        GONE,
        "Deployment mon/prober, spec.template.spec.containers[0].args: --web.config.file is not given: anybody may let "
        "the prober connect to anything. Fix: add --web.config.file.",
    ),
    (
        "prober-serves-tls",
        "args/web.config.file",
        "",
        "Deployment mon/prober, spec.template.spec.containers[0].args: --web.config.file is empty: anybody may let the "
        "prober connect to anything. Fix: add --web.config.file.",
    ),
    (
        "prober-modules-tls",
        "config/modules/page/http/fail_if_not_ssl",
        GONE,
        f"{PROBER}.page.http.fail_if_not_ssl: the module page is content with clear text: fail_if_not_ssl is not set. "
        "Fix: set fail_if_not_ssl to true.",
    ),
    (
        "prober-modules-tls",
        "config/modules/shake/tcp/tls",
        False,
        f"{PROBER}.shake.tcp.tls: the module shake is content with clear text: tls is false. Fix: set tls to true.",
    ),
    (
        "prober-modules-tls",
        "config/modules/call/grpc/tls",
        GONE,
        f"{PROBER}.call.grpc.tls: the module call is content with clear text: tls is not set. Fix: set tls to true.",
    ),
    (
        "prober-modules-tls",
        "config/modules/page/http/tls_config/insecure_skip_verify",
        True,
        f"{PROBER}.page.http.tls_config.insecure_skip_verify: what the module page asks is not verified: "
        "insecure_skip_verify is true. Fix: remove insecure_skip_verify.",
    ),
    (
        "prober-modules-tls",
        "config/modules/shake/tcp/tls_config/ca_file",
        GONE,
        f"{PROBER}.shake.tcp.tls_config.ca_file: no authority is named that what the module shake asks is verified by. "
        "Fix: set ca_file to the platform's CA.",
    ),
    (
        "prober-modules-tls",
        "config/modules/shake/tcp/tls_config/min_version",
        "TLS10",
        f"{PROBER}.shake.tcp.tls_config.min_version: min_version is TLS10, which allows broken versions of TLS. "
        "Fix: remove min_version.",
    ),
    (
        "prober-modules-known",
        "config/modules/shake",
        GONE,
        f"{JOB}.static_configs[1].labels.__param_module: job doors asks for shake, which no prober of the stack knows. "
        "Fix: name one of the prober's modules, or add it there.",
    ),
    (
        "prober-modules-known",
        "config/modules/call",
        GONE,
        f"{JOB}.relabel_configs[1].replacement: job doors asks for call, which no prober of the stack knows. "
        "Fix: name one of the prober's modules, or add it there.",
    ),
    (
        "prober-modules-known",
        "prometheus/scrape_configs/0/params",
        {"module": ["sniff"]},
        f"{JOB}.params.module[0]: job doors asks for sniff, which no prober of the stack knows. "
        "Fix: name one of the prober's modules, or add it there.",
    ),
    (
        "prober-targets-tls",
        "prometheus/scrape_configs/0/static_configs/0/targets/0",
        "http://door.example/",
        f"{JOB}.static_configs[0].targets[0]: job doors has http://door.example/ probed in clear text. "
        "Fix: give it an https address.",
    ),
    (
        "prober-targets-tls",
        "prometheus/scrape_configs/0/static_configs/0/targets/0",
        "door.example",
        f"{JOB}.static_configs[0].targets[0]: job doors has door.example probed in clear text: page asks by HTTP. "
        "Fix: write https:// before it.",
    ),
    (
        "prober-targets-tls",
        "prometheus/scrape_configs/0/static_configs/1",
        {"targets": ["http://one.example", "https://two.example"]},
        f"{JOB}.static_configs[1].targets[0]: job doors has http://one.example probed in clear text. "
        "Fix: give it an https address.",
    ),
]


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
