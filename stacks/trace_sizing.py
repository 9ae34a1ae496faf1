"""Sizing of what keeps traces and logs, per profile, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from components.k8s import Autoscale, Resources
from components.sampler.config import SamplingPolicy
from components.search.nodes import NodeSize


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


SMALL = TraceSizing(
    search=NodeSize(
        resources=Resources(cpu="55m", memory="768Mi", memory_limit="1Gi"),
        heap="384m",
        jvm_flags=("-XX:+UseParallelGC", "-XX:TieredStopAtLevel=1", "-XX:-AlwaysPreTouch"),
        storage="",
        grace_s=30,
        allow_mmap=False,
        # One machine's disk is also that of the toolchain and of every other program.
        disk_watermarks=("97%", "98%", "99%"),
    ),
    span_shards=2,
    log_shards=2,
    index_manager=Resources(cpu="10m", memory="64Mi", memory_limit="192Mi"),
    index_manager_interval_s=10,
    collector=Resources(cpu="30m", memory="96Mi", memory_limit="512Mi"),
    collector_autoscale=None,
    query=Resources(cpu="10m", memory="48Mi", memory_limit="256Mi"),
    query_autoscale=None,
    proxy=Resources(cpu="10m", memory="32Mi", memory_limit="96Mi"),
    sampler=Resources(cpu="40m", memory="128Mi", memory_limit="768Mi"),
    sampling=SamplingPolicy(decision_wait_s=5, base_spans_per_s=60),
    graph=Resources(cpu="30m", memory="96Mi", memory_limit="384Mi"),
    indexer=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    agent=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
)
"""One machine of two cores."""

PRODUCTION = TraceSizing(
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
