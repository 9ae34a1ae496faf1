"""The gate stays in every pipeline from clients to Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from policy.rules._agreed import agreed_rights
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


def _catalogue(**changed: Any) -> dict[str, Any]:
    agreed = agreed_rights()["catalogue"]
    attributes = {name: {"type": kind} for name, kind in agreed["masked"].items()}
    return {"attributes": attributes, "clients": {}, "layers": {}, "reserved": agreed["reserved"]} | changed


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (yaml.safe_dump(_catalogue()), ""),
        (f"{yaml.safe_dump(_catalogue())}---\nmore: 1\n", ""),
        (yaml.safe_dump(_catalogue(reserved=None)), "clients may send labels of the platform's own"),
        (yaml.safe_dump({"attributes": {}, "layers": {}}), "clients may send labels of the platform's own"),
        (
            f"{yaml.safe_dump(_catalogue(attributes={'customer.id': {'type': 'code'}}))}---\nmore: 1\n",
            "values of customer.id are taken as code, and were agreed on as id: unmasked",
        ),
    ],
)
def test_a_catalogue_is_known_as_the_gate_reads_it(text: str, problem: str) -> None:
    told = said("catalogue-agreed", config_map({"catalogue.yaml": text}))
    assert bool(told) == bool(problem)
    assert not problem or problem in told[0]
