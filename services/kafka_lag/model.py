"""What is known of the brokers, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

REQUEST_S = 10.0
"""Limit of one request to the brokers."""
POLL_S = 5 * REQUEST_S
"""A poll is several requests one after the other; after so long it begins none."""


@dataclass(frozen=True)
class TopicState:
    """A topic's replicas: partitions, how many lack a replica or a leader, and the smallest in-sync set."""

    partitions: int
    under_replicated: int
    leaderless: int
    replicas: int
    in_sync_min: int


@dataclass(frozen=True)
class Snapshot:
    """What one poll found. Keys of offsets are (topic, partition); of commits (group, topic, partition)."""

    topics: Mapping[str, TopicState] = field(default_factory=dict)
    end_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    committed: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)

    def lags(self) -> dict[tuple[str, str, int], int]:
        """Return records not yet committed, by (group, topic, partition); where the log's end is unknown, nothing."""
        ends = self.end_offsets
        return {
            (group, topic, partition): max(0, ends[topic, partition] - offset)
            for (group, topic, partition), offset in self.committed.items()
            if (topic, partition) in ends
        }


@dataclass(frozen=True)
class PollResult:
    """What came of one poll: the snapshot, None if nobody answered, and (stage, reason) of each part that failed."""

    snapshot: Snapshot | None = None
    failures: tuple[tuple[str, str], ...] = ()
