"""Sizing of backups, per profile, as data."""

from __future__ import annotations

from dataclasses import dataclass

from components.k8s import Resources

_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class BackupSizing:
    """Sizing of backups and of what reads old metrics.

    Attributes:
        job: A job that makes a backup.
        archive: A pod of the archive of Kafka.
        exporter: What watches the backups.
        flush_s: Age in seconds at which a segment of the archive is stored: as much is lost with the region, at most.
        segment_bytes: Size at which it is stored.
        memory_bytes: Size of all segments that wait in a pod.
        store: The store gateway of old metrics.
        stores: How many of them.
        store_volume: Its volume.
        index_cache: Its memory for parts of indices.
        chunk_pool: Its memory for samples.
        serves_after: Age from which it answers.
        compactor: The compactor of blocks.
        compactor_volume: Its volume.
    """

    job: Resources
    archive: Resources
    exporter: Resources
    flush_s: int
    segment_bytes: int
    memory_bytes: int
    store: Resources
    stores: int
    store_volume: str
    index_cache: str
    chunk_pool: str
    serves_after: str
    compactor: Resources
    compactor_volume: str


SMALL = BackupSizing(
    job=Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
    archive=Resources(cpu="20m", memory="128Mi", memory_limit="384Mi"),
    exporter=Resources(cpu="10m", memory="64Mi", memory_limit="256Mi"),
    flush_s=15,
    segment_bytes=2 * _MIB,
    memory_bytes=32 * _MIB,
    store=Resources(cpu="10m", memory="64Mi", memory_limit="384Mi"),
    stores=2,
    store_volume="1Gi",
    index_cache="32MB",
    chunk_pool="64MB",
    serves_after="2d",
    compactor=Resources(cpu="10m", memory="64Mi", memory_limit="512Mi"),
    compactor_volume="1Gi",
)
"""One machine of two cores."""

PRODUCTION = BackupSizing(
    job=Resources(cpu="500m", memory="512Mi", memory_limit="4Gi"),
    archive=Resources(cpu="1", memory="1Gi", memory_limit="2Gi"),
    exporter=Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
    flush_s=60,
    segment_bytes=32 * _MIB,
    memory_bytes=512 * _MIB,
    store=Resources(cpu="500m", memory="2Gi", memory_limit="6Gi"),
    stores=2,
    store_volume="50Gi",
    index_cache="1GB",
    chunk_pool="2GB",
    serves_after="3d",
    compactor=Resources(cpu="500m", memory="2Gi", memory_limit="8Gi"),
    compactor_volume="300Gi",
)
"""A region of its own."""
