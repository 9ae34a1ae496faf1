"""Partitions as the one who moves them sees them, asked with kafka-python, and moved by a plan: throttled, followed to
the end, and left clean whoever began it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from components.naming import size_text
from ops.core.errors import OpsError, one_line
from ops.core.kafka import KafkaAdmin
from ops.core.terminal import clock, say
from ops.kafka.plan import Layout, Move, Partition, Replicas, plan
from services.runtime.kafka import Admin

RATES: Final = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
"""Bytes a second, of a broker."""
LEADERS: Final = "leader.replication.throttled.replicas"
FOLLOWERS: Final = "follower.replication.throttled.replicas"
_PREFERRED: Final = 0
_TRIES: Final = 5
_PAUSE_S: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Ongoing:
    """A partition that is being moved."""

    replicas: Replicas
    adding: Replicas
    removing: Replicas


@dataclass(frozen=True, kw_only=True)
class State:
    """Layout and health at one moment.

    Attributes:
        layout: Where everything is.
        in_sync: Partition -> brokers whose copy is whole.
    """

    layout: Layout
    in_sync: Mapping[Partition, Replicas]

    def behind(self, without: Iterable[int] = ()) -> list[Partition]:
        """Partitions with a copy that is not whole, on any broker but some."""
        ignored = set(without)
        return sorted(
            partition
            for partition, replicas in self.layout.replicas.items()
            if set(replicas) - ignored - set(self.in_sync[partition])
        )


class Cluster:
    """Reads and changes where partitions are; a broker that is asked while it restarts is asked again."""

    def __init__(self, kafka: KafkaAdmin) -> None:
        self._kafka, self._connections = kafka, ExitStack()
        self._client: Admin | None = None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; the next question makes new ones."""
        self._client = None
        self._connections.close()

    def _ask(self, question: Callable[[Admin], Any]) -> Any:
        """Put a question; after an error with a new client, which knows the brokers of now.

        Raises:
            OpsError: Kafka does not answer, or refuses.
        """
        for left in reversed(range(_TRIES)):
            try:
                if self._client is None:
                    self._client = self._connections.enter_context(self._kafka.second_client())
                return question(self._client)
            except (KafkaError, OpsError) as error:
                self.close()
                if not left:
                    raise OpsError(f"Kafka: {one_line(error)}") from None
                time.sleep(_PAUSE_S)
        raise AssertionError("unreachable: the last try returns or raises")

    def _brokers(self) -> dict[int, str]:
        """Live brokers and their racks."""
        racks: dict[int, str] = self._ask(_live)
        return racks

    def _topics(self) -> list[Any]:
        topics: list[Any] = self._ask(lambda client: client.describe_topics())
        return topics

    def state(self) -> State:
        """Layout and health."""
        racks = self._brokers()
        replicas: dict[Partition, Replicas] = {}
        in_sync: dict[Partition, Replicas] = {}
        for topic in self._topics():
            for one in topic["partitions"]:
                partition = (str(topic["name"]), int(one["partition_index"]))
                replicas[partition] = tuple(one["replica_nodes"])
                in_sync[partition] = tuple(one["isr_nodes"])
        copies = self.copies()
        sizes: dict[Partition, int] = defaultdict(int)
        for (partition, _), size in copies.items():
            sizes[partition] = max(sizes[partition], size)
        return State(layout=Layout(racks=racks, replicas=replicas, sizes=dict(sizes)), in_sync=in_sync)

    def copies(self) -> dict[tuple[Partition, int], int]:
        """Partition and live broker -> bytes of the copy there, also of one that is not whole yet."""

        def question(client: Admin) -> Any:
            # Asked anew at each try: a broker that has gone meanwhile answers nobody.
            return client.describe_log_dirs(brokers=list(_live(client)))

        return {
            ((topic["name"], one["partition_index"]), answer["broker"]): one["partition_size"]
            for answer in self._ask(question)
            for folder in answer["log_dirs"]
            for topic in folder["topics"]
            for one in topic["partitions"]
        }

    def ongoing(self) -> dict[Partition, Ongoing]:
        """Partitions that are being moved, by whomever."""
        return {
            (partition.topic, partition.partition): Ongoing(
                replicas=tuple(state["replicas"]),
                adding=tuple(state["adding_replicas"]),
                removing=tuple(state["removing_replicas"]),
            )
            for partition, state in self._ask(lambda client: client.list_partition_reassignments()).items()
        }

    def move(self, moves: Iterable[Move]) -> None:
        """Begin moves.

        Raises:
            OpsError: Kafka refuses one of them.
        """
        wanted = {TopicPartition(*move.partition): list(move.after) for move in moves}
        for partition, error in self._ask(lambda client: client.alter_partition_reassignments(wanted)).items():
            if error is not None:
                raise OpsError(f"Kafka does not move {partition.topic}/{partition.partition}: {error.__name__}")

    def lead(self, partitions: Iterable[Partition]) -> None:
        """Let the first copy of each partition lead it.

        Raises:
            OpsError: Kafka cannot.
        """
        by_topic: dict[str, list[int]] = defaultdict(list)
        for topic, number in partitions:
            by_topic[topic].append(number)
        if by_topic:
            self._ask(lambda client: client.elect_leaders(_PREFERRED, by_topic))

    def rate(self, bytes_per_s: int) -> None:
        """What moves may take of each broker; it concerns the copies that `throttle` names."""
        rates = dict.fromkeys(RATES, str(bytes_per_s))
        self._set(ConfigResourceType.BROKER, lambda client: {str(broker): rates for broker in _live(client)})

    def throttle(self, moves: Sequence[Move], bytes_per_s: int) -> None:
        """Bound what moves take of each broker; copies that are in sync are never held up."""
        leaders: dict[str, list[str]] = defaultdict(list)
        followers: dict[str, list[str]] = defaultdict(list)
        for move in moves:
            topic, number = move.partition
            leaders[topic] += [f"{number}:{broker}" for broker in move.before]
            followers[topic] += [f"{number}:{broker}" for broker in move.adding]
        self.rate(bytes_per_s)
        changes = {
            topic: {LEADERS: ",".join(leaders[topic]), FOLLOWERS: ",".join(followers[topic])} for topic in leaders
        }
        self._set(ConfigResourceType.TOPIC, lambda _: changes)

    def throttled(self) -> dict[str, list[str]]:
        """Live brokers and topics that have a throttle: ``broker 1`` or ``topic x`` -> its settings."""
        topics = [topic["name"] for topic in self._topics()]
        by_kind = {
            "broker": self._settings(ConfigResourceType.BROKER, lambda client: map(str, _live(client)), RATES),
            "topic": self._settings(ConfigResourceType.TOPIC, lambda _: topics, (LEADERS, FOLLOWERS)),
        }
        return {
            f"{kind} {name}": settings
            for kind, by_name in by_kind.items()
            for name, settings in by_name.items()
            if settings
        }

    def release(self) -> None:
        """Take every throttle of moves away."""
        for which, settings in self.throttled().items():
            kind, _, name = which.partition(" ")
            changes = {name: dict.fromkeys(settings, (AlterConfigOp.DELETE, None))}
            self._set(ConfigResourceType[kind.upper()], partial(_same, changes))

    def _settings(
        self, kind: Any, names: Callable[[Admin], Iterable[str]], keys: Sequence[str]
    ) -> dict[str, list[str]]:
        def question(client: Admin) -> Any:
            resources = [ConfigResource(kind, name) for name in names(client)]
            return client.describe_configs(resources) if resources else {}

        return {
            name: [key for key in keys if key in settings]
            for by_name in self._ask(question).values()
            for name, settings in by_name.items()
        }

    def _set(self, kind: Any, changes: Callable[[Admin], Mapping[str, Mapping[str, Any]]]) -> None:
        """Change settings; which ones is asked anew at each try, since brokers come and go."""

        def question(client: Admin) -> Any:
            resources = [ConfigResource(kind, name, dict(settings)) for name, settings in changes(client).items()]
            # Kafka tells of these settings only where they are set, so that the client does not know them.
            return client.alter_configs(resources, raise_on_unknown=False) if resources else {}

        for answers in self._ask(question).values():
            for name, answer in answers.items():
                if answer != "OK":
                    raise OpsError(f"Kafka does not take the throttle of {name}: {answer}")


def _same(changes: Mapping[str, Mapping[str, Any]], _: Admin) -> Mapping[str, Mapping[str, Any]]:
    return changes


def _live(client: Admin) -> dict[int, str]:
    """Brokers that serve, and their racks; Kafka also tells of those that have gone, fenced."""
    brokers = client.describe_cluster()["brokers"]
    return {int(one["broker_id"]): one["rack"] or "" for one in brokers if not one.get("is_fenced")}


AT_ONCE: Final = 20
"""Partitions on their way at a time: what an interrupted command leaves, and what disks hold twice."""
_EVERY_S: Final = 2.0
_TOLD_EVERY_S: Final = 15.0
_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted.

    Attributes:
        drain: Brokers that must have nothing in the end.
        bytes_per_s: What moves may take of each broker.
        limit_s: Until the command gives up following.
        at_once: Partitions on their way at a time.
    """

    drain: tuple[int, ...] = ()
    bytes_per_s: int
    limit_s: float
    at_once: int = AT_ONCE


def look(cluster: Cluster, drain: Iterable[int] = ()) -> tuple[Layout, tuple[Move, ...]]:
    """Where everything is, and what moves.

    Raises:
        OpsError: A copy is missing that the moves would not bring back, or too few brokers would be left.
    """
    leaving = tuple(drain)
    state = cluster.state()
    known = set(state.layout.racks) | {broker for replicas in state.layout.replicas.values() for broker in replicas}
    if unknown := sorted(set(leaving) - known):
        raise OpsError(f"there is no broker {unknown[0]}: allowed are {', '.join(map(str, sorted(known)))}")
    if behind := state.behind(leaving):
        raise OpsError(
            f"{len(behind)} partitions have copies that are not in sync, {_named(behind)} among them: moving waits "
            "until they are (a broker that is lost for good: drain it)"
        )
    return state.layout, plan(state.layout, leaving)


def rebalance(cluster: Cluster, wish: Wish) -> tuple[Move, ...]:
    """Move until the plan is empty, then take throttles away and check. Safe to repeat, also while it runs.

    Returns:
        What was moved by this call.

    Raises:
        OpsError: Moves are refused, do not come to an end in time, or the end is not as planned.
    """
    deadline = time.monotonic() + wish.limit_s
    if ongoing := cluster.ongoing():
        say(f"{len(ongoing)} partitions are being moved already: following them")
        cluster.rate(wish.bytes_per_s)
        follow(cluster, deadline)
    if cluster.throttled():
        cluster.release()
    _, moves = look(cluster, wish.drain)
    if moves:
        copied = [move for move in moves if move.adding]
        try:
            if copied:
                cluster.throttle(copied, wish.bytes_per_s)
            for start in range(0, len(moves), wish.at_once):
                batch = moves[start : start + wish.at_once]
                say(f"partitions {start + 1} to {start + len(batch)} of {len(moves)}")
                cluster.move(batch)
                follow(cluster, deadline, batch)
        finally:
            if not cluster.ongoing():
                cluster.release()
        cluster.lead(move.partition for move in moves)
    verify(cluster, moves, wish.drain)
    return moves


def follow(cluster: Cluster, deadline: float, moves: Sequence[Move] = ()) -> None:
    """Wait until nothing is being moved, and tell how far it is.

    Args:
        cluster: Kafka.
        deadline: On the monotonic clock.
        moves: What is on its way, where it is known; their sizes tell how much is left.

    Raises:
        OpsError: It takes longer; moves go on, a further call follows them.
    """
    sizes = {move.partition: move.size for move in moves}
    began = last = time.monotonic()
    first: int | None = None
    while ongoing := cluster.ongoing():
        now = time.monotonic()
        if now >= deadline:
            raise OpsError(
                f"{len(ongoing)} partitions are still being moved, {_named(ongoing)} among them; they go on: repeat "
                "the command, which follows them and takes the throttle away (they do not get nearer: a larger "
                "--throttle)"
            )
        if first is None or now - last >= _TOLD_EVERY_S:
            last = now
            left = _left(cluster, ongoing, sizes)
            first = left if first is None else max(first, left)
            say(_progress(len(ongoing), left, first - left, now - began))
        time.sleep(_EVERY_S)


def verify(cluster: Cluster, moves: Sequence[Move], drain: Iterable[int] = ()) -> None:
    """Everything is where it was planned to be, whole, and unthrottled.

    Raises:
        OpsError: It is not; one line says what.
    """
    deadline = time.monotonic() + 60.0
    while True:
        state = cluster.state()
        elsewhere = [move.partition for move in moves if state.layout.replicas.get(move.partition) != move.after]
        full = [broker for broker in drain if state.layout.on(broker)]
        checks: tuple[tuple[Sequence[object], str], ...] = (
            (elsewhere, "partitions are not where they were planned to be"),
            (full, "of the brokers to drain have partitions: were topics or partitions added meanwhile? repeat"),
            (state.behind(), "partitions have copies that are not in sync"),
            (list(cluster.throttled()), "brokers and topics have throttles"),
        )
        wrong = [f"{len(items)} {problem}: {_named(items)}" for items, problem in checks if items]
        if not wrong:
            return
        if time.monotonic() >= deadline:
            raise OpsError("; ".join(wrong))
        time.sleep(_EVERY_S)


def _left(cluster: Cluster, ongoing: dict[Partition, Ongoing], sizes: dict[Partition, int]) -> int:
    """Bytes that are still to be copied, of partitions on their way."""
    copies = cluster.copies()
    left = 0
    for partition, state in ongoing.items():
        have = {broker: copies.get((partition, broker), 0) for broker in state.replicas}
        whole = max([sizes.get(partition, 0), *have.values()])
        left += sum(max(0, whole - have[broker]) for broker in state.adding)
    return left


def _progress(partitions: int, left: int, copied: int, seconds: float) -> str:
    text = f"{clock(seconds)}: {partitions} partitions on their way, {size_text(left)} to copy"
    return f"{text}, about {clock(left * seconds / copied)} left" if copied > 0 else text


def _named(items: Iterable[object]) -> str:
    """The first few, as people name them."""
    names = [f"{item[0]}/{item[1]}" if isinstance(item, tuple) else str(item) for item in items]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
