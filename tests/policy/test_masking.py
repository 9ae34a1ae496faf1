"""The gate stays in every pipeline from clients to Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.policy.fixtures_dataplane import config_map, said

RULE = "collector-masks-before-kafka"
NETWORK = {"protocols": {"grpc": {"endpoint": "0.0.0.0:4317"}}}


def _collector(processors: Sequence[str], receiver: str = "otlp", exporter: str = "kafkabuckets/metrics") -> Any:
    entry = {"receivers": [receiver], "processors": list(processors), "exporters": ["routing/metrics"]}
    return {
        "receivers": {"otlp": NETWORK, "kafkarecords/metrics": {"brokers": ["kafka:9093"]}},
        "processors": {name: {} for name in processors},
        "connectors": {"routing/metrics": {}},
        "exporters": {exporter: {}},
        "service": {
            "pipelines": {
                "metrics/in": entry,
                "metrics/out": {"receivers": ["routing/metrics"], "exporters": [exporter]},
            }
        },
    }


@pytest.mark.parametrize("processors", [(), ("memory_limiter",), ("attribution", "gateway"), ("filter/gate",)])
def test_a_pipeline_to_kafka_without_the_gate_is_reported(processors: Sequence[str]) -> None:
    assert said(RULE, config_map({"config.yaml": _collector(processors)})) == [
        'ConfigMap ns/files, config.yaml: service.pipelines."metrics/in".processors: pipeline metrics/in takes '
        "telemetry to Kafka unmasked: no processor is the gate | put gate among its processors"
    ]


@pytest.mark.parametrize(
    "collector",
    [
        _collector(("memory_limiter", "gate")),
        _collector(("gate/second",)),
        _collector((), receiver="kafkarecords/metrics"),
        _collector(("attribution",), exporter="otlp"),
    ],
)
def test_the_gate_and_what_does_not_come_from_clients_or_go_to_kafka_pass(collector: Any) -> None:
    assert said(RULE, config_map({"config.yaml": collector})) == []
