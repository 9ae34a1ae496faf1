"""Backups alone on the recording engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pulumi

from components.backups.component import (
    ARCHIVE_PORT,
    ARCHIVE_WORKLOAD,
    EXPORTER_PORT,
    EXPORTER_WORKLOAD,
    Backups,
    BackupsArgs,
)
from components.backups.config import ROLES, Archiving, BackupTarget, Blocks, Kind, SearchSource
from components.contracts import DatabaseEndpoint, GrafanaEndpoint, ObjectStorage
from components.k8s import DeploymentContext, Resources
from tests.support.deployment_context import metrics
from tests.support.engine import Recording
from tests.unit.sampler.stubs import deployment_context, kafka, record, search, user

AUTHORITY = "-----BEGIN CERTIFICATE-----\noutside\n-----END CERTIFICATE-----\n"
SIZE = Resources(cpu="50m", memory="128Mi", memory_limit="512Mi")
RECIPIENTS = (
    "age1kac2qerhwzzwqxzjdx4wj2w9ek3t8enm2d2qvnwhwkv6w565levq2gxfd7",
    "age1z6wp8xa3cpjc692nktwnnp8s5w84m0j4z70j74flsga0uyzk8skqpgtaj9",
)
CRONS = {
    Kind.DATABASE: "5 * * * *",
    Kind.GRAFANA: "20 3 * * *",
    Kind.KAFKA_METADATA: "25 3 * * *",
    Kind.SEARCH: "30 3 * * *",
}
DAYS = {Kind.DATABASE: 30, Kind.GRAFANA: 90, Kind.KAFKA_METADATA: 90, Kind.SEARCH: 14}


def secret(value: str) -> pulumi.Output[str]:
    """A secret."""
    return pulumi.Output.secret(value)


def storage(
    authority: str = AUTHORITY, endpoint: str | None = "https://storage.example.com:8444", role: str = "storage"
) -> ObjectStorage:
    """The bucket, with the key of a role."""
    return ObjectStorage(
        endpoint=endpoint,
        region="ap-northeast-1",
        bucket="monitoring",
        prefix="backups/",
        networks=("203.0.113.6/32",),
        port=8444,
        access_key_id=secret(f"key-id-of-{role}"),
        secret_access_key=secret(f"secret-key-of-{role}"),
        authority=secret(authority),
    )


def target(**changes: Any) -> BackupTarget:
    """Where backups go."""
    values: dict[str, Any] = {
        "platform": "obs",
        "region": "one",
        "storages": {role: storage(role=role) for role in ROLES},
        "recipients": RECIPIENTS,
    }
    return BackupTarget(**{**values, **changes})


def database(**changes: Any) -> DatabaseEndpoint:
    """Grafana's database on the platform's own PostgreSQL."""
    values: dict[str, Any] = {
        "host": "postgres.obs.svc.cluster.local",
        "port": 5432,
        "name": "grafana",
        "user": user("grafana"),
        "workload": "postgres",
        "access_label": "obs.access/postgres",
    }
    return DatabaseEndpoint(**{**values, **changes})


def arguments(where: DeploymentContext, **changes: Any) -> BackupsArgs:
    """What the component is given."""
    values: dict[str, Any] = {
        "context": where,
        "archive_scrape": metrics(where, ARCHIVE_WORKLOAD, ARCHIVE_PORT),
        "exporter_scrape": metrics(where, EXPORTER_WORKLOAD, EXPORTER_PORT),
        "target": target(),
        "time_zone": "Asia/Tokyo",
        "schedules": CRONS,
        "keep_days": DAYS,
        "databases": [database()],
        "grafana": GrafanaEndpoint(
            url="https://198.18.0.27:3000",
            internal_url="https://grafana.obs.svc.cluster.local:3000",
            port=3000,
            server_name="grafana.obs.svc.cluster.local",
            access_label="obs.access/grafana",
            administrator=user("platform-administrator"),
        ),
        "grafana_workload": "grafana",
        "kafka": replace(kafka("backup"), users={name: user(name) for name in ("backup", "archive")}),
        "search": SearchSource(endpoint=search("backup", "backup-search"), engine="opensearch", indices=["logs-0*"]),
        "archiving": Archiving(keep_days=30),
        "blocks": Blocks(prefix="metrics/", range_s=600, servers={"primary": {"prometheus_replica": "primary"}}),
        "job": SIZE,
        "archive": SIZE,
        "exporter": SIZE,
    }
    return BackupsArgs(**{**values, **changes})


def recorded(changes: Callable[[], dict[str, Any]] = dict) -> tuple[Recording, Backups]:
    """Outputs are made inside of the program: they belong to its event loop."""
    kept: list[Backups] = []
    recording = record(lambda: kept.append(Backups("backups", arguments(deployment_context(), **changes()))))
    return recording, kept[0]
