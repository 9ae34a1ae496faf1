"""Numbered load that follows a DNS name from one region to the other, what has arrived of it where, and what a region
drill counts on both sides of the cut: points, a consumer group, notifications.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import client_settings
from ops.core.platform import Platform
from ops.core.terminal import say
from ops.core.web import Web
from ops.drills.tools import durations
from ops.drills.tools.accounts import Number, must
from ops.drills.tools.load import (
    LAYER,
    METRIC,
    SENDER,
    SEQUENCE,
    TOPIC,
    LogLoad,
    NumberedLoad,
    Send,
    numbers_of,
    sequence_request,
)
from ops.drills.tools.notifications import NotificationRecord, Raised
from ops.drills.tools.regions import Command, Gateway, Name, Side, mentions
from services.regions.witness import RegionError, Sighting, Witness

LOGS_TOPIC = "telemetry-logs"
NumbersOf = Callable[[bytes], set[Number]]
_IDLE_S = 10.0
_AGAIN_S = 0.5
"""The name may lead elsewhere at any moment, and how fast that is noticed is measured."""
_ASSIGNED_S, _ENDS_S = 60.0, 90.0


class MovingLoad(NumberedLoad):
    """Numbered points to where the name leads; who acknowledged each is noted."""

    given_up_at_stop = True

    def __init__(
        self,
        name: Name,
        platform: Platform,
        ca_file: str,
        *,
        workers: int,
        batch: int,
        pause: float,
        give_up_after: float,
    ) -> None:
        super().__init__(
            ca_file, workers=workers, batch=batch, pause=pause, give_up_after=give_up_after, longest_wait=_AGAIN_S
        )
        self._name, self._platform = name, platform
        self._takers: dict[Number, str] = {}

    def by(self, host: str) -> dict[Number, float]:
        """Number -> when it was acknowledged, of those that this host acknowledged."""
        known = dict(self._takers)
        return {number: at for number, at in dict(self.ledger.acknowledged).items() if known.get(number) == host}

    def first(self, host: str, since: float) -> float | None:
        """When a host acknowledged the first number since a moment."""
        return min((at for at in self.by(host).values() if at >= since), default=None)

    def _sending(self, web: Web, numbers: Sequence[Number]) -> Send:
        gateway, request = Gateway(self._name, self._platform, web), sequence_request(self.run_id, numbers)

        def send() -> tuple[int, int]:
            host = self._name.host()
            answer = gateway.at(host).metrics(request, LAYER)
            # Noted before anybody is told that the numbers are acknowledged.
            self._takers.update(dict.fromkeys(numbers, host))
            return answer

        return send


def numbers_in(context: Context, topic: str, start: Mapping[int, int], of: NumbersOf) -> set[Number]:
    """Numbers in a topic from ``start`` up to its ends of now."""
    numbers: set[Number] = set()
    for record in context.kafka.read(topic, start, _IDLE_S):
        numbers |= of(record.value() or b"")
    return numbers


def points_of(run_id: str) -> NumbersOf:
    """Numbers of a load of points in a record."""
    return lambda record: numbers_of(record, run_id)


def logs_of(service: str) -> NumbersOf:
    """Numbers of a load of log records in a record."""

    def of(record: bytes) -> set[Number]:
        if service.encode() not in record:
            return set()
        numbers: set[Number] = set()
        for resource in ExportLogsServiceRequest.FromString(record).resource_logs:
            names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            if names.get("service.name") != service:
                continue
            for scope in resource.scope_logs:
                for log_record in scope.log_records:
                    values = {one.key: one.value.int_value for one in log_record.attributes}
                    numbers.add((values[SENDER], values[SEQUENCE]))
        return numbers

    return of


def arrived(
    context: Context,
    topic: str,
    start: Mapping[int, int],
    of: NumbersOf,
    wanted: Callable[[], set[Number]],
    seconds: float,
) -> set[Number]:
    """The same, again until none of ``wanted`` is missing or the time is up; each look reads only what is new."""
    positions, arrived_numbers = dict(start), set[Number]()
    deadline = time.monotonic() + seconds
    while True:
        for record in context.kafka.read(topic, positions, _IDLE_S):
            positions[int(record.partition() or 0)] = int(record.offset() or 0) + 1
            arrived_numbers |= of(record.value() or b"")
        if wanted() <= arrived_numbers or time.monotonic() > deadline:
            return arrived_numbers
        time.sleep(2.0)


def readable(context: Context, run_id: str, since: float) -> bool:
    """Whether the read address has a point of a load that was sent since a moment."""
    samples = context.thanos.instant(f'max(timestamp({METRIC}{{run="{run_id}"}}))')
    return any(sample.value >= since for sample in samples)


class Group:
    """Reads a topic as a member of a group, commits while it reads, and notes which numbers it has had.

    Args:
        platform: Region whose Kafka is read.
        group: Name of the group.
        topic: Topic.
        of: Numbers of a record.
        beginning: Where a group begins that nobody knows: ``earliest`` or ``latest``.
    """

    def __init__(self, platform: Platform, group: str, topic: str, of: NumbersOf, beginning: str) -> None:
        self.had: set[Number] = set()
        self.doubled = 0
        self._of, self._topic = of, topic
        self._stopping, self._assigned = threading.Event(), threading.Event()
        self._newest = time.monotonic()
        self._settings = {
            **client_settings(platform, platform.kafka_admin),
            "socket.timeout.ms": 5000,
            "session.timeout.ms": 10_000,
            "group.id": group,
            "auto.offset.reset": beginning,
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 1000,
        }
        self._thread = threading.Thread(target=self._read, name=f"group {group}", daemon=True)

    def __enter__(self) -> Group:
        self._thread.start()
        if not self._assigned.wait(_ASSIGNED_S):
            raise OpsError(f"the group got no partitions of {self._topic} within {_ASSIGNED_S:.0f} s")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def halt(self) -> None:
        """Read nothing more from now on; its client may need a while to find out that nobody answers it."""
        self._stopping.set()

    def stop(self) -> None:
        """Read nothing more, and wait for its client's end."""
        self.halt()
        self._thread.join(_ENDS_S)

    def wait_for(self, wanted: set[Number], quiet_s: float, limit_s: float) -> None:
        """Until it has had all of these, and no number came for a while."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and not wanted <= self.had:
            time.sleep(0.5)
        while time.monotonic() < deadline and time.monotonic() - self._newest < quiet_s:
            time.sleep(0.5)

    def _begin(self, *_: object) -> None:
        self._newest = time.monotonic()
        self._assigned.set()

    def _read(self) -> None:
        reader = Consumer(self._settings)
        reader.subscribe([self._topic], on_assign=self._begin)
        try:
            while not self._stopping.is_set():
                for message in reader.consume(200, timeout=0.5):
                    if message.error() is None:
                        self._take(self._of(message.value() or b""))
        finally:
            reader.close()

    def _take(self, numbers: set[Number]) -> None:
        if numbers:
            self.doubled += len(numbers & self.had)
            self.had |= numbers
            self._newest = time.monotonic()


def committed(context: Context, group: str, topic: str) -> dict[int, int]:
    """Partition -> offset of a group, where it has one."""
    count = context.kafka.topics()[topic].partitions
    settings = {**client_settings(context.platform, context.platform.kafka_admin), "group.id": group}
    reader = Consumer(settings)
    try:
        positions = reader.committed([TopicPartition(topic, number) for number in range(count)], timeout=15)
    finally:
        reader.close()
    return {position.partition: position.offset for position in positions if position.offset >= 0}


GROUP = "failover-drill"
"""Named in `regions.groups` of both stack files, so that the mirror translates its offsets."""


@dataclass
class Clock:
    """Moments of the drill, and what the timeline shows of them: seconds since its begin."""

    began: float = field(default_factory=time.time)
    events: list[list[Any]] = field(default_factory=list)

    def note(self, lane: str, what: str, start: float, end: float | None = None) -> None:
        """Something at a moment, or that lasted."""
        say(what)
        first = round(start - self.began, 1)
        self.events.append([lane, what, first, first if end is None else round(end - self.began, 1)])


@dataclass
class Pair:
    """Both regions, and who looks at them."""

    a: Side
    b: Side
    name: Name
    record: NotificationRecord
    witness: Witness
    authorities: str
    folder: Path
    given: list[Command] = field(default_factory=list)

    def give(self, *words: str, **variables: str) -> Command:
        """Give a command in the second region's stack; it ends with the drill at the latest."""
        self.given.append(Command(self.b.stack, words, variables).start())
        return self.given[-1]

    def move(self, what: str, to: Side, **variables: str) -> Command:
        """Give the command of a failover or a failback."""
        return self.give(what, "--to", to.name, "--yes", "--json", "--folder", str(self.folder), **variables)

    def sighting(self, region: str) -> Sighting | None:
        """The last heartbeat and its age by the object storage's clock, or nothing where it cannot be read."""
        try:
            return self.witness.sighting(region)
        except RegionError:
            return None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What alerts were about, and when; moments in seconds since 1970.

    Attributes:
        before: Told by the first region before the cut.
        gap: Begun just before the cut, and after it.
        lost, cut_off: When the cut was begun, and when it was done.
        reconnected: When it was reconnected.
    """

    before: Raised
    gap: tuple[Raised, ...]
    lost: float
    cut_off: float
    reconnected: float


def lost_points(load: MovingLoad, pair: Pair, start: Mapping[int, int]) -> dict[str, Any]:
    """What the first region acknowledged and the second one does not have, and how far back that reaches."""
    of_a = load.by(pair.a.gateway)
    copied = numbers_in(pair.b.context, TOPIC, start, points_of(load.run_id))
    missing = set(of_a) - copied
    last = max(of_a.values())
    have = [at for number, at in of_a.items() if number in copied]
    must(bool(have), "nothing that the first region acknowledged is in the second one")
    return {
        "acknowledged in A": len(of_a),
        "missing in B": len(missing),
        "RPO s": round(uncopied_s(of_a, missing), 1),
        "newest copied point older than the last one s": round(last - max(have), 1),
    }


def uncopied_s(acknowledged: Mapping[Number, float], missing: Set[Number]) -> float:
    """Seconds before the last acknowledgement from which on something is missing; 0.0 where nothing is.

    They begin where all was still copied: with the acknowledgement before the first one that is missing.
    """
    if not missing:
        return 0.0
    first_missing = min(acknowledged[number] for number in missing)
    earlier = [at for at in acknowledged.values() if at < first_missing]
    return max(acknowledged.values()) - max(earlier, default=first_missing)


def group_goes_on(pair: Pair, had: set[Number], logs: LogLoad, start: Mapping[int, int]) -> dict[str, Any]:
    """The group's consumer begins in the second region: what it reads again, and what nobody has read."""
    of = logs_of(logs.service)
    there = numbers_in(pair.b.context, LOGS_TOPIC, start, of)
    offsets = committed(pair.b.context, GROUP, LOGS_TOPIC)
    with Group(pair.b.context.platform, GROUP, LOGS_TOPIC, of, "earliest") as group:
        group.wait_for(there - had, 12, 120)
    return {
        "group had read in A": len(had),
        "group partitions with a translated offset": len(offsets),
        "group read in B": len(group.had),
        "group read again": len(had & group.had),
        "group lost": len(there - had - group.had),
    }


def nobody_twice(pair: Pair, start: int, conditions: Conditions) -> dict[str, Any]:
    """First notifications about the drill's conditions since the cut, those that came late after it included."""
    before, gap = conditions.before, conditions.gap
    notifications = [
        notification for notification in pair.record.since(start) if notification.received_at >= conditions.cut_off
    ]
    told = [notification for notification in pair.record.since(start) if notification.received_at < conditions.cut_off]
    again = len(mentions(notifications, before))
    counts = [len(mentions(notifications, raised)) for raised in gap]
    return {
        "told by A before the cut": len(mentions(told, before)),
        "told again by B": again,
        "fired in the gap": len(gap),
        "told by B of the gap": sum(counts),
        "alerts raised": 1 + len(gap),
        "alerts lost": sum(count == 0 for count in counts),
        "double notices": again + sum(max(0, count - 1) for count in counts),
    }


def in_the_end(
    pair: Pair, load: MovingLoad, starts: Mapping[str, Mapping[int, int]], conditions: Conditions
) -> dict[str, Any]:
    """After the load has ended: the first region has everything that anybody acknowledged, but for what it kept."""
    reconnected = conditions.reconnected
    of_a, of_b = load.by(pair.a.gateway), load.by(pair.b.gateway)
    everything = set(of_a) | set(of_b)
    of = points_of(load.run_id)
    there = arrived(pair.a.context, TOPIC, starts[pair.a.name], of, lambda: everything, durations.ARRIVAL)
    since_then = {number for number, at in of_a.items() if at >= reconnected}
    other = arrived(pair.b.context, TOPIC, starts[pair.b.name], of, lambda: since_then, durations.ARRIVAL)
    kept = {number for number, at in of_a.items() if at < reconnected}
    return {
        "acknowledged in B": len(of_b),
        "missing of B's": len(set(of_b) - other),
        "failback lost": len(set(of_b) - there) + len(since_then - there),
        "acknowledged in A after the failback": len(since_then),
        "of them missing in B": len(since_then - other),
        "of A's before the cut missing in A": len(kept - there),
        "points given up": len(load.ledger.given_up),
        "repeated sends": load.ledger.retries,
        "seconds from cut to heal": round(reconnected - conditions.lost, 1),
    }
