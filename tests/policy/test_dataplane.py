"""Rules of Kafka, collectors and Prometheus: each setting broken once; the rendered platform passes them all."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import pytest

from policy.model import Resource, Rule
from policy.rules import (
    authentication,
    authentication_access,
    authentication_telemetry,
    delivery,
    delivery_sizing,
    prometheus,
    replication,
    tls,
    tls_processes,
)
from policy.runner import Runner
from tests.policy.fixtures_dataplane import Case, cases, said
from tests.support.engine import STACKS, recorded

MODULES: Mapping[str, tuple[ModuleType, ...]] = {
    "authentication": (authentication, authentication_access, authentication_telemetry),
    "delivery": (delivery, delivery_sizing),
    "replication": (replication, prometheus),
    "tls": (tls, tls_processes),
}
"""Concern, which has a file of cases -> its rules."""
RULES: tuple[Rule, ...] = tuple(rule for modules in MODULES.values() for module in modules for rule in module.RULES)
CASES = [case for concern in MODULES for case in cases(concern)]
WITHOUT_CASE = {
    *("collector-kept-traces", "jvm-metrics-closed", "metrics-interfaces-closed", "metrics-reads-bounded"),
    *("password-files-hashed", "prometheus-external-labels", "prometheus-retention", "prometheus-serves-tls"),
    *("ruler-alerts-tls", "ruler-alerts-told-once", "thanos-flags-given", "thanos-serves-tls"),
}
"""Rules of a single resource that tests of their own break."""


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_broken_is_reported_with_place_and_fix(case: Case) -> None:
    assert said(case.rule, case.subject) == case.lines


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_thing_unbroken_passes(case: Case) -> None:
    assert said(case.rule, case.twin) == []


def test_every_rule_of_a_single_resource_has_a_case() -> None:
    rules = {rule.id for modules in MODULES.values() for module in modules for rule in module.RULES if rule.resource}
    assert rules - {case.rule for case in CASES} == WITHOUT_CASE


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
