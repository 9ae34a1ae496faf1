"""What clients send is masked before it is written to Kafka (O1, S2)."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Options, Resource, Rule
from policy.rules._collector import GATE, KAFKA, WRITERS, collectors
from policy.rules._values import finding


def _masked(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        if not any(component.type in WRITERS for component in collector.components("exporters")):
            continue
        for pipeline in collector.entries:
            receivers = [collector.component("receivers", name) for name in pipeline.node["receivers"].texts()]
            if all(receiver.type in KAFKA for receiver in receivers) or pipeline.has(GATE):
                continue
            problem = f"pipeline {pipeline.name} takes telemetry to Kafka unmasked: no processor is the gate"
            yield finding(resource, pipeline.node["processors"], problem, f"put {GATE} among its processors")


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-masks-before-kafka",
        promise="A collector that writes what clients send to Kafka has the gate in every pipeline that takes it.",
        why="Names, addresses and tokens of people would be in Kafka, every store and every backup, readable.",
        sources=("O1", "S2"),
        kinds=frozenset({"ConfigMap", "Secret"}),
        resource=_masked,
    ),
)
