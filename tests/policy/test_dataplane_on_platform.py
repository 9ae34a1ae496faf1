"""The rendered platform keeps every promise about Kafka, collectors and Prometheus, with nothing left unknown."""

from __future__ import annotations

import pytest

from policy.model import Resource, Rule
from policy.rules import (
    authentication,
    authentication_access,
    authentication_collector,
    authentication_web,
    delivery,
    delivery_quotas,
    delivery_sizing,
    replication,
    replication_metrics,
    retention,
    tls,
    tls_collector,
    tls_processes,
    tls_prometheus,
)
from policy.runner import Runner
from tests.support.engine import STACKS, recorded

RULES: tuple[Rule, ...] = tuple(
    rule
    for module in (
        authentication,
        authentication_access,
        authentication_collector,
        authentication_web,
        delivery,
        delivery_quotas,
        delivery_sizing,
        replication,
        replication_metrics,
        retention,
        tls,
        tls_collector,
        tls_processes,
        tls_prometheus,
    )
    for rule in module.RULES
)


@pytest.mark.parametrize("stack", STACKS)
def test_the_platform_passes_every_rule_of_its_data_plane(stack: str) -> None:
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recorded(stack).resources]
    verdicts = Runner(rules=RULES, agreed=[]).all(resources)
    assert [verdict.message for verdict in verdicts] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_promise_and_reason_are_sentences(rule: Rule) -> None:
    for sentence in (rule.promise, rule.why):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
    assert rule.sources
