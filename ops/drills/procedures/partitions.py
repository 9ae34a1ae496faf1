"""Adds partitions to the topics of metrics and traces by the stack's settings, under load (requirement K6)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from components.telemetry.topics import METRICS_TOPIC, TRACES_TOPIC
from ops.core import pulumi
from ops.core.context import Context
from ops.core.kube import wait_until
from ops.core.terminal import say
from ops.drills.tools import durations
from ops.drills.tools.accounts import all_arrived, unmet
from ops.drills.tools.load import OtlpLoad, numbers_of

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
