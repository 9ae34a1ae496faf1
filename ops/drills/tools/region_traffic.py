"""Numbered load that follows a DNS name from one region to the other, and what has arrived of it where."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import client_settings
from ops.core.platform import Platform
from ops.core.web import Web
from ops.drills.tools.load import LAYER, METRIC, NumberedLoad, Send, numbers_of, sequence_request
from ops.drills.tools.log_load import SENDER, SEQUENCE
from ops.drills.tools.regions import Gateway, Name
from ops.drills.tools.sequences import Number

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
