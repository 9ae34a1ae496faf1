"""PostgreSQL on the recording engine."""

from __future__ import annotations

from typing import Any

from components.k8s import DeploymentContext, Resources
from components.postgres.component import EXPORTER_PORT, Postgres, PostgresArgs
from components.postgres.config import PostgresDatabase
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.k8s.namespaces import in_namespace
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
    return in_namespace(lambda lab: Postgres("postgres", arguments(lab, **changed)))
