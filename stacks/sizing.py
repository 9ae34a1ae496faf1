"""Sizing per profile, as data. A stack file picks one by name; components get the numbers and never the name.

A region has one profile in both roles: a failover must not resize, and so restart, the only region left
(docs/adr/0041).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from components.k8s import Autoscale, Resources
from stacks import alert_sizing, backup_sizing, region_sizing, trace_sizing, visualization_sizing
from stacks.alert_sizing import AlertSizing
from stacks.backup_sizing import BackupSizing
from stacks.region_sizing import RegionSizing
from stacks.trace_sizing import TraceSizing
from stacks.visualization_sizing import VisualizationSizing

_MIB = 1024 * 1024
_SERIAL = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_G1 = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")


@dataclass(frozen=True, kw_only=True)
class Java:
    """A Java process: container, heap, flags, and seconds it may take to stop."""

    resources: Resources
    heap: str
    flags: tuple[str, ...]
    grace_s: int


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """All sizes of a platform.

    Attributes:
        broker: A Kafka broker.
        controller: A dedicated Kafka controller.
        controllers: Number of dedicated controllers; 0: the brokers vote.
        replication_factor: Copies of every record.
        min_insync_replicas: Copies that must have a record before it counts as written.
        max_message_bytes: Largest record batch.
        internal_partitions: Partitions of each of Kafka's internal topics.
        network_threads: Threads per Kafka listener.
        io_threads: Threads that do Kafka's requests.
        lag: The lag exporter.
        lag_interval_s: Seconds between its looks.
        gateway: A gateway.
        gateway_replicas: Gateways (at creation, where they are scaled).
        gateway_autoscale: Bounds of the gateways' autoscaler.
        gateway_fsync: Whether a gateway forces to disk what it acknowledges while Kafka is away.
        consumer: A metrics consumer.
        prometheus: A Prometheus.
        sidecar: Its Thanos sidecar.
        out_of_order_window: Longest outage of a Prometheus after which Kafka still fills its gap.
        scrape_interval: How often metrics are scraped and rules evaluated.
        query: A Thanos Query.
        query_replicas: Thanos Queries.
        traces: What keeps traces and logs.
        alerting: What raises and delivers alerts.
        visualization: Dashboards and reports.
        backups: What is kept for the day on which something is lost.
        regions: What joins two regions.
    """

    broker: Java
    controller: Java
    controllers: int
    replication_factor: int = 3
    min_insync_replicas: int = 2
    max_message_bytes: int = 8 * _MIB
    internal_partitions: int
    network_threads: int
    io_threads: int
    lag: Resources
    lag_interval_s: int
    gateway: Resources
    gateway_replicas: int = 2
    gateway_autoscale: Autoscale | None
    gateway_fsync: bool
    consumer: Resources
    prometheus: Resources
    sidecar: Resources
    out_of_order_window: str
    scrape_interval: str
    query: Resources
    query_replicas: int = 2
    traces: TraceSizing
    alerting: AlertSizing
    visualization: VisualizationSizing
    backups: BackupSizing
    regions: RegionSizing


SMALL = Sizing(
    broker=Java(
        resources=Resources(cpu="100m", memory="512Mi", memory_limit="768Mi"),
        heap="320m",
        flags=_SERIAL,
        grace_s=45,
    ),
    controller=Java(
        resources=Resources(cpu="50m", memory="256Mi", memory_limit="512Mi"), heap="192m", flags=_SERIAL, grace_s=30
    ),
    controllers=0,
    internal_partitions=9,
    network_threads=2,
    io_threads=4,
    lag=Resources(cpu="20m", memory="64Mi", memory_limit="192Mi"),
    lag_interval_s=5,
    gateway=Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
    gateway_autoscale=None,
    gateway_fsync=True,
    consumer=Resources(cpu="40m", memory="96Mi", memory_limit="384Mi"),
    prometheus=Resources(cpu="100m", memory="256Mi", memory_limit="1536Mi"),
    sidecar=Resources(cpu="20m", memory="48Mi", memory_limit="256Mi"),
    out_of_order_window="6h",
    scrape_interval="10s",
    query=Resources(cpu="30m", memory="64Mi", memory_limit="384Mi"),
    traces=trace_sizing.SMALL,
    alerting=alert_sizing.SMALL,
    visualization=visualization_sizing.SMALL,
    backups=backup_sizing.SMALL,
    regions=region_sizing.SMALL,
)
"""One machine of two cores."""

_T = TypeVar("_T")


def _shared(value: _T, part: float) -> _T:
    """The same sizes with a part of the request of CPU for every container, in whole thousandths of a core."""
    if isinstance(value, Resources):
        return replace(value, cpu=f"{max(1, round(int(value.cpu.removesuffix('m')) * part))}m")
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return replace(value, **{field.name: _shared(getattr(value, field.name), part) for field in fields(value)})


SMALL_SHARED = _shared(SMALL, 0.5)
"""A second region on the same machine: the scheduler adds up requests, and the first region asks for half of it."""

PRODUCTION = Sizing(
    broker=Java(resources=Resources(cpu="2", memory="16Gi", memory_limit="16Gi"), heap="6g", flags=_G1, grace_s=300),
    controller=Java(
        resources=Resources(cpu="500m", memory="2Gi", memory_limit="2Gi"), heap="1g", flags=_G1, grace_s=60
    ),
    controllers=3,
    internal_partitions=50,
    network_threads=6,
    io_threads=12,
    lag=Resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
    lag_interval_s=10,
    gateway=Resources(cpu="1", memory="2Gi", memory_limit="4Gi"),
    gateway_autoscale=Autoscale(minimum=2, maximum=12, cpu_percent=65),
    gateway_fsync=True,
    consumer=Resources(cpu="1", memory="1Gi", memory_limit="3Gi"),
    prometheus=Resources(cpu="2", memory="8Gi", memory_limit="24Gi"),
    sidecar=Resources(cpu="100m", memory="256Mi", memory_limit="1Gi"),
    out_of_order_window="48h",
    scrape_interval="10s",
    query=Resources(cpu="500m", memory="1Gi", memory_limit="4Gi"),
    traces=trace_sizing.PRODUCTION,
    alerting=alert_sizing.PRODUCTION,
    visualization=visualization_sizing.PRODUCTION,
    backups=backup_sizing.PRODUCTION,
    regions=region_sizing.PRODUCTION,
)
"""A region of its own."""

PROFILES: Mapping[str, Sizing] = MappingProxyType(
    {"small": SMALL, "small-shared": SMALL_SHARED, "production": PRODUCTION}
)
"""Name in a stack file -> sizing."""
