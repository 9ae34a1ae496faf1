"""A component in a namespace like the platform's, and what the whole policy pack says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pulumi_kubernetes as k8s

from components.k8s import DeploymentContext, default_deny
from components.tls import Authority
from components.versions import ImageCatalogue
from policy.model import Resource
from policy.rules import RULES
from policy.runner import Runner
from tests.support.deployment_context import OF_WHOLE_STACKS
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, record


def in_namespace(build: Callable[[DeploymentContext], object]) -> Recording:
    """What a component registers in a restricted namespace with an authority and a default of no traffic."""

    def program() -> None:
        lab = replace(deployment_context(), images=ImageCatalogue(registry="registry.lab.internal"))
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        parent = k8s.core.v1.Namespace("obs", metadata=k8s.meta.v1.ObjectMetaArgs(name="obs", labels=levels))
        default_deny(parent, lab)
        Authority("authority", lab, duration="43800h", renew_before="8760h")
        build(lab)

    return record(program)


def violations(recording: Recording, *left_out: str) -> list[str]:
    """What the policies say, but for the rules that are left out and those of whole stacks."""
    resources = [Resource(resource.token, resource.name, resource.inputs) for resource in recording.resources]
    verdicts = Runner(rules=[rule for rule in RULES if rule.id not in {*left_out, *OF_WHOLE_STACKS}], agreed=[]).all(
        resources
    )
    return [verdict.message for verdict in verdicts]
