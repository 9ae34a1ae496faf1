"""Jaeger, the login proxy before it, and the search cluster behind it."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from policy.runner import check
from tests.policy.fixtures_servers import (
    GONE,
    Data,
    all_said,
    broken,
    config_map,
    rule,
    rules_of,
    said,
    workload,
)

TLS: Data = {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key", "client_ca_file": "/tls/ca.crt"}
STORE: Data = {
    "server_urls": ["https://search-0:9200", "https://search-1:9200"],
    "tls": {"ca_file": "/tls/ca.crt"},
    "auth": {"basic": {"username": "jaeger", "password_file": "/etc/secrets/search"}},
    "indices": {"spans": {"shards": 3, "replicas": 1}},
}
JAEGER: Data = {
    "args": ["--config=/etc/jaeger/jaeger.yaml"],
    "config": {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "remote_sampling"],
            "pipelines": {"traces": {"receivers": ["otlp", "kafka"], "exporters": ["jaeger_storage_exporter"]}},
        },
        "extensions": {
            "jaeger_storage": {
                "backends": {"main": {"opensearch": STORE}, "rates": {"memory": {"max_traces": 10}}},
                "metric_backends": {
                    "metrics": {
                        "prometheus": {
                            "endpoint": "https://query:9090",
                            "tls": {"ca_file": "/tls/ca.crt"},
                            "auth": {"basic": {"username": "jaeger", "password_file": "/etc/secrets/query"}},
                        }
                    }
                },
            },
            "jaeger_query": {
                "storage": {"traces": "main", "metrics": "metrics"},
                "http": {"endpoint": "0.0.0.0:16686", "tls": TLS},
                "grpc": {"endpoint": "127.0.0.1:16685"},
            },
            "remote_sampling": {
                "adaptive": {"sampling_store": "rates"},
                "http": {"endpoint": "0.0.0.0:5778", "tls": TLS},
                "grpc": {"endpoint": "0.0.0.0:5779", "tls": TLS},
            },
        },
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": "0.0.0.0:4317", "tls": TLS},
                    "http": {"endpoint": "localhost:4318"},
                }
            },
            "kafka": {
                "brokers": ["kafka-0:9093"],
                "tls": {"ca_file": "/tls/ca.crt"},
                "auth": {
                    "sasl": {
                        "mechanism": "SCRAM-SHA-512",
                        "username": "jaeger",
                        "password": "${file:/etc/secrets/kafka}",
                    }
                },
            },
        },
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "main"}},
    },
}


def jaeger(data: Data) -> list[Resource]:
    """Jaeger with its file."""
    files = config_map("spans", **{"jaeger.yaml": data["config"]})
    return [
        files,
        workload("Deployment", "spans", "jaegertracing/jaeger:2.13.0", args=data["args"], files={"/etc/jaeger": files}),
    ]


FILE = "ConfigMap mon/spans, jaeger.yaml:"
BACKEND = f"{FILE}.extensions.jaeger_storage.backends.main.opensearch"
QUERY = f"{FILE}.extensions.jaeger_query"
AT = "config/extensions/jaeger_storage/backends/main/opensearch"
POD = "Deployment mon/spans, spec.template.spec.containers[0]"

JAEGERS: list[tuple[str, str, Any, list[str]]] = [
    (
        "jaeger-configured",
        "args",
        [],
        [
            f"{POD}: Jaeger starts without --config, as an all-in-one that keeps traces in memory and asks nobody "
            "for a "
            "login. Fix: mount a Jaeger configuration and name it with --config."
        ],
    ),
    (
        "jaeger-configured",
        "args/0",
        "--config=/etc/other.yaml",
        [
            f"{POD}.args[0]: Jaeger's configuration /etc/other.yaml is in no ConfigMap or Secret that is mounted "
            "there. "
            "Fix: mount a Jaeger configuration and name it with --config."
        ],
    ),
    (
        "jaeger-store-tls",
        f"{AT}/server_urls/1",
        "http://search-1:9200",
        [
            f"{BACKEND}.server_urls[1]: spans travel in clear text: the address of the store main is "
            "http://search-1:9200. Fix: give it an https address."
        ],
    ),
    (
        "jaeger-store-tls",
        f"{AT}/server_urls",
        GONE,
        [f"{BACKEND}.server_urls: the store main has no address. Fix: list the nodes with https."],
    ),
    (
        "jaeger-store-tls",
        f"{AT}/tls",
        GONE,
        [f"{BACKEND}.tls: the store main is reached without TLS settings. Fix: set ca_file to the platform's CA."],
    ),
    (
        "jaeger-store-tls",
        f"{AT}/tls/ca_file",
        GONE,
        [
            f"{BACKEND}.tls.ca_file: no authority is named that the store main is verified by. "
            "Fix: set ca_file to the platform's CA."
        ],
    ),
    (
        "jaeger-store-tls",
        f"{AT}/tls/insecure_skip_verify",
        True,
        [
            f"{BACKEND}.tls.insecure_skip_verify: the store main is not verified: insecure_skip_verify is true. "
            "Fix: remove insecure_skip_verify."
        ],
    ),
    (
        "jaeger-store-tls",
        "config/extensions/jaeger_storage/metric_backends/metrics/prometheus/endpoint",
        "http://query:9090",
        [
            f"{FILE}.extensions.jaeger_storage.metric_backends.metrics.prometheus.endpoint: spans travel in clear "
            "text: "
            "the address of the store metrics is http://query:9090. Fix: give it an https address."
        ],
    ),
    (
        "jaeger-store-login",
        f"{AT}/auth",
        GONE,
        [f"{BACKEND}.auth: Jaeger shows the store main no login. Fix: set auth.basic with username and password_file."],
    ),
    (
        "jaeger-store-login",
        f"{AT}/auth/basic/username",
        GONE,
        [f"{BACKEND}.auth: Jaeger shows the store main no login. Fix: set auth.basic with username and password_file."],
    ),
    (
        "jaeger-store-login",
        f"{AT}/auth/basic/password",
        "word",
        [
            f"{BACKEND}.auth.basic.password: the password of the store main is written into a ConfigMap. "
            "Fix: name its file with password_file."
        ],
    ),
    (
        "jaeger-store-durable",
        "config/extensions/jaeger_query/storage/traces",
        "rates",
        [
            f"{QUERY}.storage.traces: traces are kept in rates, which is of kind memory. Fix: keep them in the "
            "search cluster."
        ],
    ),
    (
        "jaeger-store-durable",
        "config/exporters/jaeger_storage_exporter/trace_storage",
        "rates",
        [
            f"{FILE}.exporters.jaeger_storage_exporter.trace_storage: traces are kept in rates, which is of kind "
            "memory. "
            "Fix: keep them in the search cluster."
        ],
    ),
    (
        "jaeger-store-copies",
        f"{AT}/indices/spans/replicas",
        0,
        [
            f"{BACKEND}.indices.spans.replicas: spans have 0 copies beside the first one, less than 1. "
            "Fix: set replicas to 1 or remove the line."
        ],
    ),
    (
        "jaeger-query",
        "config/extensions/jaeger_query/http/tls/client_ca_file",
        GONE,
        [
            f"{QUERY}.http.tls.client_ca_file: jaeger_query (http) takes everybody: it demands neither a certificate "
            "nor "
            "a login. Fix: set tls.client_ca_file to the platform's CA."
        ],
    ),
    (
        "jaeger-query",
        "config/extensions/jaeger_query/http/tls/key_file",
        GONE,
        [
            f"{QUERY}.http.tls.key_file: jaeger_query (http) has no key_file, so no TLS. "
            "Fix: set key_file to the workload's certificate."
        ],
    ),
    (
        "jaeger-query",
        "config/extensions/jaeger_query/grpc",
        GONE,
        [
            f"{QUERY}.grpc.tls: jaeger_query (grpc) speaks clear text. "
            "Fix: set cert_file and key_file to the workload's certificate.",
            f"{QUERY}.grpc.tls.client_ca_file: jaeger_query (grpc) takes everybody: it demands neither a certificate "
            "nor "
            "a login. Fix: set tls.client_ca_file to the platform's CA.",
        ],
    ),
    (
        "jaeger-query",
        "config/extensions/remote_sampling/http/tls/cert_file",
        GONE,
        [
            f"{FILE}.extensions.remote_sampling.http.tls.cert_file: remote_sampling (http) has no cert_file, so no "
            "TLS. "
            "Fix: set cert_file to the workload's certificate."
        ],
    ),
]


def test_the_good_jaeger_passes_every_rule() -> None:
    assert all_said(jaeger(JAEGER)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "messages"), JAEGERS)
def test_a_broken_jaeger_is_noticed(rule_id: str, path: str, value: Any, messages: list[str]) -> None:
    assert said(rule(rule_id), jaeger(broken(JAEGER, path, value))) == messages


@pytest.mark.parametrize(
    "path",
    ["otlp/protocols/grpc/tls", "otlp/protocols/grpc/tls/client_ca_file", "kafka/tls", "kafka/auth/sasl/mechanism"],
)
def test_rules_for_collectors_guard_the_receivers_too(path: str) -> None:
    data = broken(JAEGER, f"config/receivers/{path}", GONE)
    before, after = (
        {verdict.message for verdict in check(jaeger(settings)) if verdict.stops} for settings in (JAEGER, data)
    )
    assert after - before


def test_a_volatile_store_can_be_agreed_on() -> None:
    data = broken(JAEGER, "config/extensions/jaeger_query/storage/traces", "rates")
    assert said(rule("jaeger-store-durable"), jaeger(data), allowed=["rates"]) == []


def test_every_rule_about_jaeger_is_broken_here() -> None:
    assert {case[0] for case in JAEGERS} == {known_rule.id for known_rule in rules_of("tracing")}
