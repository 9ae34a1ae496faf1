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
    cases,
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


JAEGERS = cases("tracing")


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
