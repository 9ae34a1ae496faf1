"""Sizing per profile, as data. A stack file picks one by name; components get the numbers and never the name.

A region has one profile in both roles: a failover must not resize, and so restart, the only region left
(docs/adr/0041).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from components.k8s import Autoscale, Resources
from components.sampler import SamplingPolicy
from components.search.nodes import NodeSize


@dataclass(frozen=True, kw_only=True)
class AlertSizing:
    """Sizing of alerting.

    Attributes:
        alertmanager: An Alertmanager.
        alertmanagers: Alertmanagers in the cluster.
        closer: What closes the pager's incidents of muted alerts, beside each Alertmanager.
        events: The service that writes alert events to Kafka.
        probes: The prober of certificates and endpoints.
    """

    alertmanager: Resources
    alertmanagers: int = 2
    closer: Resources
    events: Resources
    probes: Resources


_SMALL_ALERTING = AlertSizing(
    alertmanager=Resources(cpu="10m", memory="64Mi", memory_limit="256Mi"),
    closer=Resources(cpu="4m", memory="48Mi", memory_limit="128Mi"),
    events=Resources(cpu="14m", memory="64Mi", memory_limit="256Mi"),
    probes=Resources(cpu="14m", memory="32Mi", memory_limit="128Mi"),
)
"""One machine of two cores."""

_PRODUCTION_ALERTING = AlertSizing(
    alertmanager=Resources(cpu="200m", memory="512Mi", memory_limit="1Gi"),
    closer=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    events=Resources(cpu="100m", memory="128Mi", memory_limit="512Mi"),
    probes=Resources(cpu="50m", memory="64Mi", memory_limit="256Mi"),
)
"""A region of its own, also while it stands by: alerts take no less when it takes over."""


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


_SMALL_BACKUPS = BackupSizing(
    job=Resources(cpu="35m", memory="128Mi", memory_limit="512Mi"),
    archive=Resources(cpu="14m", memory="128Mi", memory_limit="384Mi"),
    exporter=Resources(cpu="7m", memory="64Mi", memory_limit="256Mi"),
    flush_s=15,
    segment_bytes=2 * _MIB,
    memory_bytes=32 * _MIB,
    store=Resources(cpu="7m", memory="64Mi", memory_limit="384Mi"),
    stores=2,
    store_volume="1Gi",
    index_cache="32MB",
    chunk_pool="64MB",
    serves_after="2d",
    compactor=Resources(cpu="7m", memory="64Mi", memory_limit="512Mi"),
    compactor_volume="1Gi",
)
"""One machine of two cores."""

_PRODUCTION_BACKUPS = BackupSizing(
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


@dataclass(frozen=True, kw_only=True)
class RegionSizing:
    """Sizing of what joins two regions.

    Attributes:
        failover_agent: What decides whether this region is active.
        mirror: What copies the other region's Kafka.
        mirror_heap: Its Java heap.
        mirror_flags: Its garbage collector and compiler flags.
        mirror_tasks: Tasks that share the partitions.
    """

    failover_agent: Resources
    mirror: Resources
    mirror_heap: str
    mirror_flags: tuple[str, ...]
    mirror_tasks: int


_CHACHA20 = (
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
_QUICK_COMPILER = ("-XX:TieredStopAtLevel=1", f"-Djdk.tls.server.cipherSuites={','.join(_CHACHA20)}")
"""Java's quick compiler alone: two cores have no time for the other one. It knows no instruction of the processor for
AES, so that AES-GCM costs four times as much as ChaCha20 (docs/adr/0043)."""
_SERIAL = ("-XX:+UseSerialGC", *_QUICK_COMPILER)

_SMALL_REGIONS = RegionSizing(
    failover_agent=Resources(cpu="4m", memory="64Mi", memory_limit="192Mi"),
    mirror=Resources(cpu="28m", memory="320Mi", memory_limit="512Mi"),
    mirror_heap="256m",
    mirror_flags=_SERIAL,
    mirror_tasks=2,
)
"""One machine of two cores."""

_PRODUCTION_REGIONS = RegionSizing(
    failover_agent=Resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
    mirror=Resources(cpu="2", memory="4Gi", memory_limit="4Gi"),
    mirror_heap="2500m",
    mirror_flags=("-XX:+UseG1GC",),
    mirror_tasks=8,
)
"""A region of its own."""


@dataclass(frozen=True, kw_only=True)
class TraceSizing:
    """Sizing of the search cluster, Jaeger, the samplers, the dependency map and the logs.

    Attributes:
        search: A search node, but for its volume, whose size the stack file says.
        search_nodes: Search nodes.
        span_shards: Primary shards of an index of spans.
        log_shards: The same for logs.
        index_replicas: Further copies of every shard.
        index_manager: The index manager of indices.
        index_manager_interval_s: Seconds between its rounds.
        collector: A Jaeger collector.
        collectors: Jaeger collectors (at creation, where they are scaled).
        collector_autoscale: Bounds of their autoscaler.
        query: A Jaeger query.
        queries: Jaeger queries of each clearance (at creation, where they are scaled).
        query_autoscale: Bounds of their autoscaler.
        proxy: The login proxy beside each.
        sampler: A sampler.
        samplers: Samplers.
        sampling: What they keep.
        graph: The dependency map.
        indexer: A log indexer.
        indexers: Log indexers.
        agent: A node agent.
    """

    search: NodeSize
    search_nodes: int = 3
    span_shards: int
    log_shards: int
    index_replicas: int = 1
    index_manager: Resources
    index_manager_interval_s: int
    collector: Resources
    collectors: int = 2
    collector_autoscale: Autoscale | None
    query: Resources
    queries: int = 2
    query_autoscale: Autoscale | None
    proxy: Resources
    sampler: Resources
    samplers: int = 2
    sampling: SamplingPolicy = field(default_factory=SamplingPolicy)
    graph: Resources
    indexer: Resources
    indexers: int = 2
    agent: Resources

    def search_node(self, storage: str) -> NodeSize:
        """A search node with a volume of that size."""
        return replace(self.search, storage=storage)


_SMALL_TRACES = TraceSizing(
    search=NodeSize(
        resources=Resources(cpu="38m", memory="768Mi", memory_limit="1Gi"),
        heap="384m",
        jvm_flags=("-XX:+UseParallelGC", *_QUICK_COMPILER, "-XX:-AlwaysPreTouch"),
        storage="",
        grace_s=30,
        allow_mmap=False,
        # One machine's disk is also that of the toolchain and of every other program.
        disk_watermarks=("97%", "98%", "99%"),
        ciphers=_CHACHA20,
    ),
    span_shards=2,
    # Each shard more is a part more of every bulk request, and a segment more every few seconds.
    log_shards=1,
    index_manager=Resources(cpu="7m", memory="64Mi", memory_limit="192Mi"),
    index_manager_interval_s=10,
    collector=Resources(cpu="21m", memory="96Mi", memory_limit="512Mi"),
    collector_autoscale=None,
    query=Resources(cpu="7m", memory="48Mi", memory_limit="256Mi"),
    query_autoscale=None,
    proxy=Resources(cpu="7m", memory="32Mi", memory_limit="96Mi"),
    sampler=Resources(cpu="28m", memory="128Mi", memory_limit="768Mi"),
    sampling=SamplingPolicy(decision_wait_s=5, base_spans_per_s=60),
    graph=Resources(cpu="21m", memory="96Mi", memory_limit="384Mi"),
    indexer=Resources(cpu="14m", memory="64Mi", memory_limit="256Mi"),
    agent=Resources(cpu="14m", memory="64Mi", memory_limit="256Mi"),
)
"""One machine of two cores."""

_PRODUCTION_TRACES = TraceSizing(
    search=NodeSize(
        resources=Resources(cpu="2", memory="32Gi", memory_limit="32Gi"),
        heap="16g",
        jvm_flags=("-XX:+UseG1GC",),
        storage="",
        grace_s=120,
        allow_mmap=True,
    ),
    span_shards=6,
    log_shards=6,
    index_manager=Resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
    index_manager_interval_s=30,
    collector=Resources(cpu="1", memory="1Gi", memory_limit="2Gi"),
    collector_autoscale=Autoscale(minimum=2, maximum=10, cpu_percent=65),
    query=Resources(cpu="250m", memory="512Mi", memory_limit="2Gi"),
    query_autoscale=Autoscale(minimum=2, maximum=6, cpu_percent=65),
    proxy=Resources(cpu="50m", memory="64Mi", memory_limit="128Mi"),
    sampler=Resources(cpu="1", memory="2Gi", memory_limit="6Gi"),
    samplers=4,
    sampling=SamplingPolicy(base_spans_per_s=2_500, max_traces=200_000),
    graph=Resources(cpu="1", memory="512Mi", memory_limit="1Gi"),
    indexer=Resources(cpu="500m", memory="256Mi", memory_limit="1Gi"),
    indexers=3,
    agent=Resources(cpu="100m", memory="128Mi", memory_limit="512Mi"),
)
"""A region of its own."""


@dataclass(frozen=True, kw_only=True)
class VisualizationSizing:
    """Sizing of dashboards and reports.

    Attributes:
        database: A PostgreSQL server.
        exporter: Its exporter.
        shared_buffers: Its memory for pages.
        connections: Connections that it takes.
        grafana: A Grafana.
        grafanas: Grafanas (at creation, where they are scaled).
        grafana_connections: Connections of one of them to the database, at most.
        grafana_autoscale: Bounds of their autoscaler.
        trace_reader: A Jaeger query that Grafana asks.
        trace_readers: How many of them.
        report: A job that makes a report.
        report_server: What shows the stored reports.
        sign_in: A login in front of metrics or alerts.
        sign_ins: How many of each.
    """

    database: Resources
    exporter: Resources
    shared_buffers: str
    connections: int
    grafana: Resources
    grafanas: int = 2
    grafana_connections: int
    grafana_autoscale: Autoscale | None
    trace_reader: Resources
    trace_readers: int = 2
    report: Resources
    report_server: Resources
    sign_in: Resources
    sign_ins: int = 2


_SMALL_VISUALIZATION = VisualizationSizing(
    database=Resources(cpu="21m", memory="96Mi", memory_limit="384Mi"),
    exporter=Resources(cpu="7m", memory="24Mi", memory_limit="96Mi"),
    shared_buffers="48MB",
    connections=60,
    grafana=Resources(cpu="28m", memory="96Mi", memory_limit="384Mi"),
    grafana_connections=15,
    grafana_autoscale=None,
    trace_reader=Resources(cpu="14m", memory="64Mi", memory_limit="256Mi"),
    report=Resources(cpu="35m", memory="256Mi", memory_limit="1Gi"),
    report_server=Resources(cpu="7m", memory="64Mi", memory_limit="256Mi"),
    sign_in=Resources(cpu="7m", memory="32Mi", memory_limit="96Mi"),
)
"""One machine of two cores."""

_PRODUCTION_VISUALIZATION = VisualizationSizing(
    database=Resources(cpu="500m", memory="2Gi", memory_limit="4Gi"),
    exporter=Resources(cpu="20m", memory="64Mi", memory_limit="128Mi"),
    shared_buffers="512MB",
    connections=200,
    grafana=Resources(cpu="500m", memory="512Mi", memory_limit="2Gi"),
    grafana_connections=20,
    grafana_autoscale=Autoscale(minimum=2, maximum=6, cpu_percent=70),
    trace_reader=Resources(cpu="200m", memory="256Mi", memory_limit="1Gi"),
    report=Resources(cpu="200m", memory="512Mi", memory_limit="2Gi"),
    report_server=Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
    sign_in=Resources(cpu="50m", memory="64Mi", memory_limit="128Mi"),
)
"""A region of its own; the one that stands by needs no less once it takes over, and people look at it before."""


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
        audit: The audit log.
        cluster_state: What tells the state of pods and nodes.
        volumes: What tells how full volumes are.
        lag_interval_s: Seconds between its looks.
        gateway: A gateway.
        gateway_replicas: Gateways (at creation, where they are scaled).
        gateway_autoscale: Bounds of the gateways' autoscaler.
        gateway_fsync: Whether a gateway forces to disk what it acknowledges while Kafka is away.
        consumer: A metrics consumer.
        prometheus: A Prometheus.
        sidecar: Its Thanos sidecar.
        ruler: What evaluates rules over all shards, where there are several.
        ruler_volume: Its volume.
        out_of_order_window: How old a point may be when a Prometheus gets it: its age at the gateway, and the longest
            outage of the Prometheus after which Kafka still fills its gap.
        oldest_point: How old it may be at the gateway.
        prometheus_gogc: Growth of its heap, in percent, after which it is collected; more costs memory, less time.
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
    audit: Resources
    cluster_state: Resources
    volumes: Resources
    lag_interval_s: int
    gateway: Resources
    gateway_replicas: int = 2
    gateway_autoscale: Autoscale | None
    gateway_fsync: bool
    consumer: Resources
    prometheus: Resources
    sidecar: Resources
    ruler: Resources
    ruler_volume: str
    out_of_order_window: str
    oldest_point: str
    prometheus_gogc: int
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
        resources=Resources(cpu="70m", memory="512Mi", memory_limit="768Mi"),
        heap="320m",
        flags=_SERIAL,
        grace_s=45,
    ),
    controller=Java(
        resources=Resources(cpu="35m", memory="256Mi", memory_limit="512Mi"), heap="192m", flags=_SERIAL, grace_s=30
    ),
    controllers=0,
    internal_partitions=9,
    network_threads=2,
    io_threads=4,
    lag=Resources(cpu="14m", memory="64Mi", memory_limit="192Mi"),
    audit=Resources(cpu="4m", memory="64Mi", memory_limit="192Mi"),
    cluster_state=Resources(cpu="1m", memory="32Mi", memory_limit="128Mi"),
    volumes=Resources(cpu="2m", memory="48Mi", memory_limit="128Mi"),
    lag_interval_s=5,
    gateway=Resources(cpu="35m", memory="128Mi", memory_limit="512Mi"),
    gateway_autoscale=None,
    gateway_fsync=True,
    consumer=Resources(cpu="28m", memory="96Mi", memory_limit="384Mi"),
    prometheus=Resources(cpu="70m", memory="256Mi", memory_limit="1536Mi"),
    sidecar=Resources(cpu="14m", memory="48Mi", memory_limit="256Mi"),
    ruler=Resources(cpu="21m", memory="96Mi", memory_limit="512Mi"),
    ruler_volume="1Gi",
    out_of_order_window="6h",
    oldest_point="3h",
    prometheus_gogc=200,
    scrape_interval="10s",
    query=Resources(cpu="21m", memory="64Mi", memory_limit="384Mi"),
    traces=_SMALL_TRACES,
    alerting=_SMALL_ALERTING,
    visualization=_SMALL_VISUALIZATION,
    backups=_SMALL_BACKUPS,
    regions=_SMALL_REGIONS,
)
"""One machine of two cores. Requests of CPU leave a third of it free: shards, a broker and a gateway more have room."""

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
    audit=Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
    cluster_state=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    volumes=Resources(cpu="20m", memory="64Mi", memory_limit="192Mi"),
    lag_interval_s=10,
    gateway=Resources(cpu="1", memory="2Gi", memory_limit="4Gi"),
    gateway_autoscale=Autoscale(minimum=2, maximum=12, cpu_percent=65),
    gateway_fsync=True,
    consumer=Resources(cpu="1", memory="1Gi", memory_limit="3Gi"),
    prometheus=Resources(cpu="2", memory="8Gi", memory_limit="24Gi"),
    sidecar=Resources(cpu="100m", memory="256Mi", memory_limit="1Gi"),
    ruler=Resources(cpu="1", memory="2Gi", memory_limit="8Gi"),
    ruler_volume="20Gi",
    out_of_order_window="48h",
    oldest_point="24h",
    prometheus_gogc=75,
    scrape_interval="10s",
    query=Resources(cpu="500m", memory="1Gi", memory_limit="4Gi"),
    traces=_PRODUCTION_TRACES,
    alerting=_PRODUCTION_ALERTING,
    visualization=_PRODUCTION_VISUALIZATION,
    backups=_PRODUCTION_BACKUPS,
    regions=_PRODUCTION_REGIONS,
)
"""A region of its own."""

PROFILES: Mapping[str, Sizing] = MappingProxyType(
    {"small": SMALL, "small-shared": SMALL_SHARED, "production": PRODUCTION}
)
"""Name in a stack file -> sizing."""
