"""Shards: Prometheus servers that divide the layers' series among them (requirement P4, docs/adr/0065).

Each replica has one server per shard. Shard 0 has the replica's name and scrapes the platform itself; the others hold
series of the layers alone. Which shard a series belongs to follows from its partition in Kafka, and so from the key of
its sender: ``partition modulo shards``, the same in every replica. So each shard keeps its pair.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

REPLICA_LABEL: Final = "prometheus_replica"
"""External label of every replica, by which Thanos takes duplicates away."""
SHARD_LABEL: Final = "prometheus_shard"
"""External label of every shard but the first, and of the rulers: Thanos tells their blocks apart by it, and takes it
away from answers as it does with the replica's."""
RULER_SHARD: Final = "rules"
"""Value of the label for what a ruler records."""
_SUFFIX: Final = "-shard-"
SERVER_PATTERN: Final = f"(.+?)(?:{_SUFFIX}[0-9]+)?"
"""Regular expression of a server's name; the first group is its replica."""
_SERVER: Final = re.compile(rf"(.+?)(?:{_SUFFIX}(\d+))?")


def server_name(replica: str, shard: int = 0) -> str:
    """Name of a server: that of its replica, with the shard unless it is the first."""
    return f"{replica}{_SUFFIX}{shard}" if shard else replica


def server_names(replicas: Sequence[str], shards: int) -> tuple[str, ...]:
    """Names of all servers, those of a shard together, the first shard first."""
    return tuple(server_name(replica, shard) for shard in range(shards) for replica in replicas)


def replica_and_shard(server: str) -> tuple[str, int]:
    """Replica and shard of a server."""
    match = _SERVER.fullmatch(server)
    if match is None:
        raise ValueError("a server has a name")
    return match[1], int(match[2] or 0)


def external_labels(platform: str, region: str, replica: str, shard: int | str = 0) -> dict[str, str]:
    """External labels of a server, or of a ruler: Thanos tells its blocks apart by them.

    Args:
        platform: Name of the platform.
        region: Its region.
        replica: Replica that it is part of.
        shard: Number of the shard, or ``RULER_SHARD``.
    """
    return {
        "platform": platform,
        "region": region,
        REPLICA_LABEL: replica,
        **({SHARD_LABEL: str(shard)} if shard else {}),
    }


def ruler_name(replica: str) -> str:
    """Workload of the ruler of a replica."""
    return f"thanos-rule-{replica}"


def largest_share(partitions: int, shards: int) -> float:
    """Part of the samples that the fullest shard has, where every partition has as many."""
    return math.ceil(partitions / shards) / partitions


def ambiguous(replica: str) -> bool:
    """Whether a replica could not have this name: a shard of another one would be called the same."""
    return replica_and_shard(replica) != (replica, 0)
