"""Kafka grows by the stack's settings, under load: partitions (K6), a broker with its part of them, and back (K1, ADR
53), volumes with the pods running on (S1).
"""

from __future__ import annotations

import ipaddress
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from components.naming import size_of
from components.telemetry.topics import METRICS_TOPIC, TRACES_TOPIC
from ops.core import pulumi
from ops.core.context import Context
from ops.core.kube import Kube, wait_until
from ops.core.terminal import say, uninterrupted
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import OtlpLoad, numbers_of
from ops.kafka.plan import Move
from ops.kafka.rebalance import Cluster, Wish, rebalance
from ops.storage.claims import Volumes, of_part
from ops.storage.command import follow, grow, look, wanted_by

TOPICS: Final = (METRICS_TOPIC.name, TRACES_TOPIC.name)
GROWTH: Final = 1.5
"""12 partitions become 18, 8 become 12."""
TAKEN_S: Final = 120.0
"""Until each group has read from each new partition."""
AFTER_S: Final = 30.0

Places = Mapping[int, tuple[tuple[int, int], ...]]
"""Worker -> (partition, sequence number) of each of its points, in the order of each partition's offsets."""


def add_partitions(context: Context, figures: dict[str, Any]) -> list[str]:
    """Write more partitions into the stack's file, bring the stack up while points are sent, count what is missing.

    Partitions cannot be taken away again: the platform keeps them.
    """
    metrics = METRICS_TOPIC.name
    before = _counts(context)
    after = {name: int(count * GROWTH) for name, count in before.items()}
    readers = _readers(context)
    start = context.kafka.end_offsets(metrics)
    began = time.time()
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        for name, count in after.items():
            pulumi.set_partitions(name, count)
        say("pulumi up")
        changed = time.time()
        pulumi.up()
        figures["pulumi up s"] = round(time.time() - changed, 1)
        grown = _counts(context)
        figures["partitions"] = {name: f"{before[name]} to {grown[name]}" for name in TOPICS}
        taken = wait_until(
            lambda: _taken(context, readers, before),
            TAKEN_S,
            "every group to have read from every new partition with records",
        )
        figures["new partitions read after s"] = round(taken, 1)
        load.run_for(AFTER_S)
    figures["new partitions with records"] = {
        name: len(partitions) for name, partitions in _new(context, before).items()
    }
    figures["longest pause of a client s"] = load.longest_pause(changed)
    missing = load.missing(context, start, began)
    figures["acknowledged"] = len(load.ledger.acknowledged)
    figures["retries"] = load.ledger.retries
    figures["missing"] = {place: len(numbers) for place, numbers in missing.items()}
    places = places_of(context.kafka.read(metrics, start, durations.ARRIVAL), load.run_id)
    figures["keys"] = len(places)
    figures["keys that moved"] = sum(len({partition for partition, _ in place}) > 1 for place in places.values())
    figures["points out of order within a partition"] = out_of_order(places)
    late = figures["points out of order within a partition"]
    return unmet(
        *((grown[name] == after[name], f"{name} has {grown[name]} partitions, not {after[name]}") for name in TOPICS),
        *all_arrived(load, missing),
        (not late, f"{late} points of a key are out of order within a partition"),
    )


def _counts(context: Context) -> dict[str, int]:
    """Topic -> its partitions."""
    return {name: state.partitions for name, state in context.kafka.topics().items() if name in TOPICS}


def _readers(context: Context) -> dict[str, tuple[str, ...]]:
    """Topic -> groups that read it."""
    read = {group: {topic for topic, _ in context.kafka.committed(group)} for group in context.platform.consumer_groups}
    return {name: tuple(group for group, topics in read.items() if name in topics) for name in TOPICS}


def _new(context: Context, before: Mapping[str, int]) -> dict[str, list[int]]:
    """Topic -> its new partitions that have records."""
    return {
        name: [number for number, end in context.kafka.end_offsets(name).items() if number >= count and end]
        for name, count in before.items()
    }


def _taken(context: Context, readers: Mapping[str, Iterable[str]], before: Mapping[str, int]) -> bool:
    """Whether each topic has records in a new partition, and each of its groups has read from all such partitions."""
    new = _new(context, before)
    committed = {group: context.kafka.committed(group) for groups in readers.values() for group in groups}
    return all(new.values()) and all(
        committed[group].get((name, partition), 0) > 0
        for name, groups in readers.items()
        for group in groups
        for partition in new[name]
    )


def places_of(records: Iterable[Any], run_id: str) -> Places:
    """Where the points of a load are.

    Args:
        records: Of the topic of metrics; those of a partition in the order of their offsets.
        run_id: Of the load.
    """
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for record in records:
        for worker, number in sorted(numbers_of(record.value(), run_id)):
            places[worker].append((int(record.partition()), number))
    return {worker: tuple(place) for worker, place in places.items()}


def out_of_order(places: Places) -> int:
    """Points that come for the first time after a later one of the same worker in the same partition.

    A request that a client sent again may stand twice; that is no disorder.
    """
    late = 0
    for place in places.values():
        newest: dict[int, int] = {}
        numbers: set[int] = set()
        for partition, number in place:
            if number not in numbers and number < newest.get(partition, -1):
                late += 1
            numbers.add(number)
            newest[partition] = max(number, newest.get(partition, -1))
    return late


BYTES_PER_S: Final = 8 * 2**20
"""Small, so that moves are throttled on one machine, too."""
MOVED_S: Final = 900.0
"""Until the partitions of a small cluster are where they should be."""
JOINED_S: Final = 300.0


def add_and_drain_broker(context: Context, figures: dict[str, Any]) -> list[str]:
    """Add a broker, move partitions to it, move them away again, remove it; count what is missing."""
    topic = METRICS_TOPIC.name
    before = context.kafka.brokers()
    number, address = len(before), next_address(context.platform.kafka_bootstrap)
    if before != tuple(range(number)):
        raise CannotRunError(f"brokers {before} are there: all of them have to be, and none is to be added meanwhile")
    start = context.kafka.end_offsets(topic)
    began = time.time()
    with OtlpLoad(context) as load, Cluster(context.kafka) as cluster:
        load.run_for(durations.WARM_UP)
        try:
            pulumi.set_broker(number, address)
            figures["grown in s"] = _updated(context, number + 1)
            onto, figures["moved in s"] = _moved(cluster)
            figures["copies moved to it"] = sum(number in move.adding for move in onto)
            figures["copies of it"] = context.kafka.copies()[number]
            load.run_for(AFTER_S)
        finally:
            with uninterrupted():
                _removed(context, cluster, number, figures)
        load.run_for(AFTER_S)
        figures["throttles left"] = len(cluster.throttled())
    missing = load.missing(context, start, began)
    figures["brokers"] = f"{number} to {number + 1} to {len(context.kafka.brokers())}"
    figures["acknowledged"] = len(load.ledger.acknowledged)
    figures["retries"] = load.ledger.retries
    figures["longest pause of a client s"] = load.longest_pause(began)
    figures["missing"] = sum(map(len, missing.values()))
    return unmet(
        (bool(figures["copies of it"]), f"broker {number} got no copies"),
        (not figures["throttles left"], f"{figures['throttles left']} throttles are left"),
        (context.kafka.brokers() == before, f"brokers {context.kafka.brokers()} are there, not {before}"),
        *all_arrived(load, missing),
    )


def _removed(context: Context, cluster: Cluster, number: int, figures: dict[str, Any]) -> None:
    """Take the copies away from a broker and the broker out of the stack; also one that never came."""
    wait_until(lambda: bool(context.kafka.brokers()), JOINED_S, "Kafka, to empty the broker that was added")
    if context.kafka.copies()[number]:
        off, figures["drained in s"] = _moved(cluster, number)
        figures["copies moved away"] = sum(number in move.before for move in off)
    figures["copies left on it"] = context.kafka.copies()[number]
    pulumi.unset_broker(number)
    figures["shrunk in s"] = _updated(context, number)


def next_address(bootstrap: str) -> str:
    """The address after that of the last broker.

    Raises:
        CannotRunError: Brokers have names, for which an address cannot be made up.
    """
    last = bootstrap.split(",")[-1].rpartition(":")[0]
    try:
        return str(ipaddress.ip_address(last) + 1)
    except ValueError:
        raise CannotRunError(f"{last} is a name: a broker is added in the stack file, with a name in DNS") from None


def _updated(context: Context, brokers: int) -> float:
    """Bring the stack up, and wait until so many brokers are there."""
    say("pulumi up")
    began = time.monotonic()
    pulumi.up()
    wait_until(lambda: len(context.kafka.brokers()) == brokers, JOINED_S, f"{brokers} brokers")
    return round(time.monotonic() - began, 1)


def _moved(cluster: Cluster, *drain: int) -> tuple[tuple[Move, ...], float]:
    began = time.monotonic()
    moves = rebalance(cluster, Wish(drain=drain, bytes_per_s=BYTES_PER_S, limit_s=MOVED_S))
    return moves, round(time.monotonic() - began, 1)


PART: Final = "kafka"
"""Key of the settings, and name of the StatefulSet."""
MORE: Final = 2**30
"""Bytes that each broker's volume gets."""


def grow_brokers(context: Context, figures: dict[str, Any]) -> list[str]:
    """Raise the size in the stack's file, grow, bring the stack up, all while points are sent; count what is missing.

    Volumes never shrink: the platform keeps what they got.
    """
    topic, volumes = METRICS_TOPIC.name, Volumes(context.kube)
    had = max(line.claim.requested for line in look(volumes, of_part(wanted_by(), PART)).lines)
    size = larger(had)
    start = context.kafka.end_offsets(topic)
    began = time.time()
    before = lives(context.kube)
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        pulumi.set_storage(PART, size)
        wanted = of_part(wanted_by(), PART)
        say(f"growing the brokers' volumes from {had} to {size}")
        changed = time.monotonic()
        grow(context.kube, wanted, follow)
        figures["grown after s"] = round(time.monotonic() - changed, 1)
        say("pulumi up")
        changed = time.monotonic()
        pulumi.up()
        figures["pulumi up s"] = round(time.monotonic() - changed, 1)
        after = lives(context.kube)
        load.run_for(AFTER_S)
    plan = look(volumes, wanted)
    small = [line.claim.name for line in plan.lines if size_of(line.claim.capacity) < size_of(size)]
    figures["size"] = f"{had} to {size}"
    figures["volumes"] = len(plan.lines)
    figures["volumes that have it"] = len(plan.lines) - len(small)
    figures["pods"] = len(before)
    figures["pods restarted"] = sum(after.get(pod) != life for pod, life in before.items())
    missing = load.missing(context, start, began)
    figures["acknowledged"] = len(load.ledger.acknowledged)
    figures["longest pause of a client s"] = load.longest_pause(began)
    figures["missing"] = sum(map(len, missing.values()))
    return unmet(
        (bool(plan.lines), "the brokers have no volumes"),
        (not small, f"{', '.join(small)} did not get {size}"),
        (not plan.to_do, "after it there is still something to grow"),
        (not figures["pods restarted"], f"{figures['pods restarted']} brokers restarted"),
        *all_arrived(load, missing),
    )


def larger(size: str) -> str:
    """The next size, in whole Gi."""
    return f"{-(-(size_of(size) + MORE) // 2**30)}Gi"


def lives(kube: Kube) -> dict[str, tuple[str, int]]:
    """Broker -> its identity and how often its containers were started again."""
    return {pod.name: (pod.uid, pod.restarts) for pod in kube.pods(PART)}
