"""Which copies of partitions move, so that each partition is in as many racks as it can be, and brokers carry alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ops.core.errors import OpsError

Partition = tuple[str, int]
"""Topic and number."""
Replicas = tuple[int, ...]
"""Brokers with a copy; the first one leads when all are well."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where everything is.

    Attributes:
        racks: Every live broker -> its rack, or nothing.
        replicas: Partition -> its brokers.
        sizes: Partition -> bytes of one copy.
    """

    racks: Mapping[int, str]
    replicas: Mapping[Partition, Replicas]
    sizes: Mapping[Partition, int]

    def on(self, broker: int) -> list[Partition]:
        """Partitions with a copy on a broker."""
        return [partition for partition, replicas in self.replicas.items() if broker in replicas]


@dataclass(frozen=True, kw_only=True)
class Move:
    """What becomes of one partition."""

    partition: Partition
    before: Replicas
    after: Replicas
    size: int

    @property
    def adding(self) -> Replicas:
        """Brokers that get a copy."""
        return tuple(broker for broker in self.after if broker not in self.before)

    @property
    def bytes(self) -> int:
        """Bytes that are copied."""
        return self.size * len(self.adding)


def plan(layout: Layout, drain: Iterable[int] = ()) -> tuple[Move, ...]:
    """Moves that empty some brokers, use all racks, and let brokers carry alike, topic by topic and in all.

    Args:
        layout: Where everything is.
        drain: Brokers that must have nothing in the end; they need not be alive.

    Raises:
        OpsError: Fewer brokers would be left than a partition has copies.
    """
    leaving = frozenset(drain)
    planner = _Planner(layout, sorted(set(layout.racks) - leaving))
    planner.place_elsewhere()
    planner.widen()
    planner.even_topics()
    planner.even_all()
    planner.even_leaders()
    return tuple(
        Move(partition=partition, before=before, after=after, size=layout.sizes.get(partition, 0))
        for partition, before in sorted(layout.replicas.items())
        if (after := planner.replicas[partition]) != before
    )


class _Planner:
    """The layout as it will be."""

    def __init__(self, layout: Layout, brokers: Sequence[int]) -> None:
        most = max(map(len, layout.replicas.values()), default=0)
        if len(brokers) < most:
            raise OpsError(
                f"{len(brokers)} brokers would be left, and a partition has {most} copies: add a broker first"
            )
        self.replicas = dict(layout.replicas)
        self._racks, self._brokers = layout.racks, brokers
        self._by_topic: dict[str, list[Partition]] = defaultdict(list)
        for partition in sorted(layout.replicas):
            self._by_topic[partition[0]].append(partition)

    def place_elsewhere(self) -> None:
        """Give every copy on a broker that goes, or is gone, to the one that has least."""
        for topic, partitions in self._by_topic.items():
            for partition in partitions:
                for position, broker in enumerate(self.replicas[partition]):
                    if broker not in self._brokers:
                        self._put(partition, position, self._best(topic, partition, position))

    def widen(self) -> None:
        """Let the copies of each partition be in as many racks as there are, or as there are copies."""
        there = self._spread(tuple(self._brokers))
        for topic, partitions in self._by_topic.items():
            for partition in partitions:
                copies = len(self.replicas[partition])
                for position in range(copies):
                    if copies == len(self._brokers) or self._spread(self.replicas[partition]) == min(there, copies):
                        break
                    wider = _with(self.replicas[partition], position, self._best(topic, partition, position))
                    if self._spread(wider) > self._spread(self.replicas[partition]):
                        self.replicas[partition] = wider

    def even_topics(self) -> None:
        """Let the copies of each topic differ by one at most."""
        for partitions in self._by_topic.values():
            while self._one_move(partitions, self._copies(partitions), by=2):
                pass

    def even_all(self) -> None:
        """Let all copies differ by one at most, where that keeps topics even."""
        while self._one_move(sorted(self.replicas), self._copies(self.replicas), by=2, keep_topics=True):
            pass

    def even_leaders(self) -> None:
        """Let each topic's leaders differ by one at most: the order of copies changes, nothing is copied."""
        for partitions in self._by_topic.values():
            while self._one_leader(partitions):
                pass

    def _copies(self, partitions: Iterable[Partition]) -> Counter[int]:
        counts = Counter(dict.fromkeys(self._brokers, 0))
        counts.update(broker for partition in partitions for broker in self.replicas[partition])
        return counts

    def _leaders(self, partitions: Iterable[Partition]) -> Counter[int]:
        counts = Counter(dict.fromkeys(self._brokers, 0))
        counts.update(self.replicas[partition][0] for partition in partitions)
        return counts

    def _best(self, topic: str, partition: Partition, position: int) -> int:
        """Where a copy is best put: most racks, then where the topic has least copies, then where all have."""
        of_topic, of_all = self._copies(self._by_topic[topic]), self._copies(self.replicas)
        free = [broker for broker in self._brokers if broker not in self.replicas[partition]]
        return min(
            free,
            key=lambda broker: (
                -self._spread(_with(self.replicas[partition], position, broker)),
                of_topic[broker],
                of_all[broker],
                broker,
            ),
        )

    def _one_move(
        self, partitions: Sequence[Partition], counts: Counter[int], *, by: int, keep_topics: bool = False
    ) -> bool:
        """Move one copy from a fuller broker to an emptier one; whether there was one to move."""
        pairs = sorted(
            ((full, empty) for full in self._brokers for empty in self._brokers if counts[full] - counts[empty] >= by),
            key=lambda pair: (counts[pair[1]] - counts[pair[0]], pair),
        )
        for full, empty in pairs:
            for partition in partitions:
                replicas = self.replicas[partition]
                if full not in replicas or empty in replicas:
                    continue
                if keep_topics:
                    of_topic = self._copies(self._by_topic[partition[0]])
                    if of_topic[full] <= of_topic[empty]:
                        continue
                position = replicas.index(full)
                if self._spread(_with(replicas, position, empty)) >= self._spread(replicas):
                    self._put(partition, position, empty)
                    return True
        return False

    def _one_leader(self, partitions: Sequence[Partition]) -> bool:
        counts = self._leaders(partitions)
        for partition in sorted(partitions, key=lambda one: -counts[self.replicas[one][0]]):
            replicas = self.replicas[partition]
            least = min(replicas, key=lambda broker: (counts[broker], broker))
            if counts[replicas[0]] - counts[least] > 1:
                self.replicas[partition] = (least, *(broker for broker in replicas if broker != least))
                return True
        return False

    def _put(self, partition: Partition, position: int, broker: int) -> None:
        self.replicas[partition] = _with(self.replicas[partition], position, broker)

    def _spread(self, replicas: Replicas) -> int:
        """Racks of the copies; a broker without a rack counts as one of its own."""
        return len({self._racks.get(broker) or f"broker {broker}" for broker in replicas})


def _with(replicas: Replicas, position: int, broker: int) -> Replicas:
    return (*replicas[:position], broker, *replicas[position + 1 :])
