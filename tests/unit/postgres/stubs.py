"""PostgreSQL on the recording engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pulumi_kubernetes as k8s

from components.k8s import DeploymentContext, Resources, default_deny
from components.postgres.component import Postgres, PostgresArgs
from components.postgres.config import PostgresDatabase
from components.postgres.process import EXPORTER_PORT
from components.tls.component import Authority
from components.versions import ImageCatalogue
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, record


def arguments(where: DeploymentContext | None = None, **changed: Any) -> PostgresArgs:
    """Arguments of a small set."""
    words: dict[str, Any] = {
        "context": where or deployment_context(),
        "scrape": metrics(where or deployment_context(), "postgres", EXPORTER_PORT),
        "databases": [PostgresDatabase(name="grafana", owner="grafana")],
        "standbys": 1,
        "resources": Resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
        "exporter_resources": Resources(cpu="20m", memory="32Mi", memory_limit="64Mi"),
        "storage": "2Gi",
        "shared_buffers": "64MB",
        "max_connections": 60,
    }
    return PostgresArgs(**(words | changed))


def default_build(**changed: Any) -> tuple[Recording, Postgres]:
    """What a set registers, and the set."""
    kept: list[Postgres] = []
    recording = record(lambda: kept.append(Postgres("postgres", arguments(**changed))))
    return recording, kept[0]


def in_its_namespace(**changed: Any) -> Recording:
    """What a set registers in a namespace like the platform's."""

    def program() -> None:
        lab = replace(deployment_context(), images=ImageCatalogue(registry="registry.lab.internal"))
        levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
        parent = k8s.core.v1.Namespace("obs", metadata=k8s.meta.v1.ObjectMetaArgs(name="obs", labels=levels))
        default_deny(parent, lab)
        Authority("authority", lab, duration="43800h", renew_before="8760h")
        Postgres("postgres", arguments(lab, **changed))

    return record(program)
