"""Every protective setting of the mirror, removed or weakened one at a time, is noticed by the policy pack."""

from __future__ import annotations

from policy.model import Level, Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support.mutations import mutations
from tests.unit.mirror.stubs import recorded

LEAST = 60
IN_A_PLATFORM = ("NetworkPolicy", "Certificate", "PodDisruptionBudget")
"""Kinds that rules look at together with the rest of the platform; the run over whole stacks has them."""


def test_every_weaker_mirror_is_noticed() -> None:
    resources = [
        Resource(resource.token, resource.name, resource.inputs)
        for resource in recorded().resources
        if not resource.read
    ]
    runner = Runner(agreed=[])
    at_resource = [rule for rule in RULES if rule.level is Level.MANDATORY and rule.resource is not None]
    before = {verdict.message for verdict in runner.all(resources) if verdict.stops}
    survivors: list[str] = []
    seen = 0
    for mutation in mutations(resources):
        if resources[mutation.index].kind in IN_A_PLATFORM or mutation.changed is None:
            continue
        seen += 1
        messages = {
            verdict.message
            for rule in at_resource
            for verdict in runner.at_resource(rule, mutation.changed)
            if verdict.stops
        }
        if messages <= before:
            messages = {verdict.message for verdict in runner.all(mutation.applied(resources)) if verdict.stops}
        if messages <= before:
            survivors.append(mutation.name)
    assert survivors == []
    assert seen >= LEAST
