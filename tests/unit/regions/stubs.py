"""The failover agent alone on the recording engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from components.contracts import AlertmanagerEndpoint, ObjectStorage
from components.k8s import DeploymentContext, Resources
from components.regions import PORT, FailoverAgent, FailoverAgentArgs
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, record, user

AUTHORITY = "-----BEGIN CERTIFICATE-----\nwitness\n-----END CERTIFICATE-----\n"
FINGERPRINTS = {"rules": 64 * "a", "dashboards": 64 * "b"}


def secret(value: str) -> pulumi.Output[str]:
    """A secret."""
    return pulumi.Output.secret(value)


def witness(authority: str = AUTHORITY, endpoint: str | None = "https://witness.example.com:8444") -> ObjectStorage:
    """The bucket in neither region."""
    return ObjectStorage(
        endpoint=endpoint,
        region="ap-northeast-1",
        bucket="witness",
        prefix="regions/",
        networks=("203.0.113.9/32",),
        port=8444,
        access_key_id=secret("key-id-of-witness"),
        secret_access_key=secret("secret-key-of-witness"),
        authority=secret(authority),
    )


def alertmanager(members: int = 2) -> AlertmanagerEndpoint:
    """The cluster that follows the lease."""
    return AlertmanagerEndpoint(
        url="https://198.18.0.26:9093",
        internal_url="https://alertmanager.obs.svc.cluster.local:9093",
        members=tuple(f"alertmanager-{number}" for number in range(members)),
        port=9093,
        server_name="alertmanager.obs.svc.cluster.local",
        access_label="obs.access/alertmanager",
        operator=user("operator"),
    )


def arguments(where: DeploymentContext, **changes: Any) -> FailoverAgentArgs:
    """What the component is given."""
    values: dict[str, Any] = {
        "context": where,
        "scrape": metrics(where, "failover-agent", PORT),
        "leads": True,
        "peer": "two",
        "witness": witness(),
        "alertmanager": alertmanager(),
        "egress_targets": ("203.0.113.7:8443", "203.0.113.8:8587"),
        "networks": ("203.0.113.7/32", "203.0.113.8/32"),
        "ports": (8443, 8587),
        "fingerprints": FINGERPRINTS,
        "resources": Resources(cpu="10m", memory="64Mi", memory_limit="128Mi"),
    }
    return FailoverAgentArgs(**{**values, **changes})


def recorded(changes: Callable[[], dict[str, Any]] = dict) -> tuple[Recording, FailoverAgent]:
    """Outputs are made inside of the program: they belong to its event loop."""
    kept: list[FailoverAgent] = []
    recording = record(
        lambda: kept.append(FailoverAgent("failover-agent", arguments(deployment_context(), **changes())))
    )
    return recording, kept[0]
