"""Sizing of what joins two regions, per profile, as data."""

from __future__ import annotations

from dataclasses import dataclass

from components.k8s import Resources


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


SMALL = RegionSizing(
    failover_agent=Resources(cpu="5m", memory="64Mi", memory_limit="192Mi"),
    mirror=Resources(cpu="40m", memory="320Mi", memory_limit="512Mi"),
    mirror_heap="256m",
    mirror_flags=("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    mirror_tasks=2,
)
"""One machine of two cores."""

PRODUCTION = RegionSizing(
    failover_agent=Resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
    mirror=Resources(cpu="2", memory="4Gi", memory_limit="4Gi"),
    mirror_heap="2500m",
    mirror_flags=("-XX:+UseG1GC",),
    mirror_tasks=8,
)
"""A region of its own."""
