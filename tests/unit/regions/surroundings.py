"""The region guard alone on the recording engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from components.contracts import AlertmanagerEndpoint, ObjectStorage
from components.k8s import Resources, Site
from components.regions.component import RegionGuard, RegionGuardArgs
from tests.support.engine import Recording
from tests.unit.sampler.surroundings import record, site, user

AUTHORITY = "-----BEGIN CERTIFICATE-----\nwitness\n-----END CERTIFICATE-----\n"
DEFINITIONS = {"rules": 64 * "a", "dashboards": 64 * "b"}


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


def arguments(where: Site, **changes: Any) -> RegionGuardArgs:
    """What the component is given."""
    values: dict[str, Any] = {
        "site": where,
        "leads": True,
        "peer": "two",
        "witness": witness(),
        "alertmanager": alertmanager(),
        "outside": ("203.0.113.7:8443", "203.0.113.8:8587"),
        "networks": ("203.0.113.7/32", "203.0.113.8/32"),
        "ports": (8443, 8587),
        "definitions": DEFINITIONS,
        "resources": Resources(cpu="10m", memory="64Mi", memory_limit="128Mi"),
    }
    return RegionGuardArgs(**{**values, **changes})


def recorded(changes: Callable[[], dict[str, Any]] = dict) -> tuple[Recording, RegionGuard]:
    """Outputs are made inside of the program: they belong to its event loop."""
    kept: list[RegionGuard] = []
    recording = record(lambda: kept.append(RegionGuard("region-guard", arguments(site(), **changes()))))
    return recording, kept[0]
