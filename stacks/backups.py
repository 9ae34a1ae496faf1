"""What brings data back: backups of what is stored, and the archive of every topic."""

from __future__ import annotations

from typing import Final

from components.backups.component import ARCHIVE_WORKLOAD, EXPORTER_WORKLOAD, BackupsArgs
from components.backups.config import ROLES, Archiving, BackupTarget, Blocks, Kind, SearchSource
from components.contracts import DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint, SearchEndpoint
from components.grafana.process import WORKLOAD as GRAFANA
from components.search.access import members
from components.search.indices import LOGS, TRACE_KINDS, trace_family
from components.shards import external_labels
from components.storage_roles import BACKUP_PREFIX, METRICS_PREFIX
from components.telemetry.attributes import CLASSES
from stacks.endpoints import PlatformInputs
from stacks.metrics import block_s
from stacks.secrets import backup_recipients, object_storage

EXPORTED: Final = (LOGS, *(trace_family(name, kind) for name in CLASSES for kind in TRACE_KINDS))
"""Families of indices that a job exports where the settings say so."""


def backups_args(
    inputs: PlatformInputs,
    *,
    kafka: KafkaEndpoint,
    database: DatabaseEndpoint,
    grafana: GrafanaEndpoint,
    search: SearchEndpoint,
) -> BackupsArgs:
    """Where backups go, when they are made, and how long they are kept.

    Args:
        inputs: What every part is built from.
        kafka: What is archived.
        database: Grafana's database.
        grafana: Whose definitions are backed up.
        search: What is exported, where the settings say so.
    """
    context, settings, sizing = inputs.context, inputs.settings.backups, inputs.sizing.backups
    keep = settings.keep_days
    return BackupsArgs(
        context=context,
        archive_scrape=inputs.endpoints.scrapes[ARCHIVE_WORKLOAD],
        exporter_scrape=inputs.endpoints.scrapes[EXPORTER_WORKLOAD],
        target=BackupTarget(
            platform=context.platform,
            region=context.region,
            storages={role: object_storage(inputs.settings, BACKUP_PREFIX, role) for role in ROLES},
            recipients=backup_recipients(),
        ),
        time_zone=settings.time_zone,
        schedules={kind: getattr(settings.schedules, kind.value.replace("-", "_")) for kind in Kind},
        keep_days={kind: getattr(keep, kind.value.replace("-", "_")) for kind in Kind},
        databases=[database],
        grafana=grafana,
        grafana_workload=GRAFANA,
        kafka=kafka,
        search=SearchSource(
            endpoint=search, engine=inputs.settings.search.engine, indices=tuple(map(members, EXPORTED))
        )
        if settings.search
        else None,
        archiving=Archiving(
            keep_days=keep.archive,
            flush_s=sizing.flush_s,
            segment_bytes=sizing.segment_bytes,
            memory_bytes=sizing.memory_bytes,
        ),
        blocks=Blocks(
            prefix=METRICS_PREFIX,
            range_s=block_s(inputs.settings),
            servers={
                endpoint.server: external_labels(context.platform, context.region, endpoint.replica, endpoint.shard)
                for endpoint in inputs.endpoints.prometheus
            },
        ),
        job=sizing.job,
        archive=sizing.archive,
        exporter=sizing.exporter,
    )
