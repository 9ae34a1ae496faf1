"""Polls the brokers for offsets, groups and replicas; what is known of them is plain data."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import GroupIdNotFoundError, KafkaError

from services.kafka_lag.settings import KafkaLagSettings, Selection
from services.runtime import kafka

REQUEST_S = 10.0
"""Limit of one request to the brokers."""
POLL_S = 5 * REQUEST_S
"""A poll is several requests one after the other; after so long it begins none."""
Failed = Callable[[str, str], None]
"""Told stage and reason of a part that could not be had."""


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


class Brokers:
    """Polls with one client, made when it is needed; not for several threads."""

    def __init__(self, settings: KafkaLagSettings, connect: Callable[..., Any] = kafka.admin) -> None:
        """Ask the brokers of ``settings``; ``connect`` makes the client."""
        self._settings = settings
        self._connect = connect
        self._client: Any = None
        self._authority = self._password = ""

    def poll(self) -> PollResult:
        """Poll once; failures are told, not raised. After one, the next poll has a new client."""
        failures: list[tuple[str, str]] = []
        settings = self._settings
        try:
            snapshot = poll(
                self._admin(), settings.groups, settings.topics, lambda stage, reason: failures.append((stage, reason))
            )
        except (KafkaError, OSError) as error:
            failures.append(("brokers", str(error)))
            snapshot = None
        except Exception as error:  # Whatever the client does not understand is one failed poll, not the last one.
            failures.append(("brokers", f"{type(error).__name__}: {error}"))
            snapshot = None
        if failures:
            self.close()
        return PollResult(snapshot=snapshot, failures=tuple(failures))

    def close(self) -> None:
        """End the client and its connections."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError, OSError, RuntimeError):
                client.close()

    def _admin(self) -> Any:
        """Return the client; a new one whenever the CA was renewed.

        The password stays that of the start. A later one may be of another user, whom only a new process is told.
        """
        settings = self._settings
        authority = settings.ca_file.read_text()
        self._password = self._password or settings.password_file.read_text().strip()
        if self._client is None or authority != self._authority:
            self.close()
            self._client = self._connect(
                bootstrap=settings.bootstrap,
                ca=authority,
                username=settings.username,
                password=self._password,
                client_id="kafka-lag",
                request_s=REQUEST_S,
            )
            self._authority = authority
        return self._client


def poll(admin: Any, groups: Selection, topics: Selection, failed: Failed) -> Snapshot:
    """Ask the brokers once.

    Args:
        admin: A client of `services.runtime.kafka.admin`.
        groups: The consumer groups to report.
        topics: The topics to report.
        failed: Told of each part that could not be had; the others are still reported.

    Raises:
        KafkaError: Not even the list of topics could be had.
    """
    parts = _Parts(failed)
    described = {topic["name"]: topic["partitions"] for topic in admin.describe_topics() if topic["name"] in topics}
    ends = _end_offsets(admin, described, parts)
    names = sorted(groups.names) if groups.names is not None else _matching(admin, groups, parts)
    members: dict[str, int] = {}
    committed: dict[tuple[str, str, int], int] = {}
    for name in names:
        count = parts.ask("group_members", name, _members, admin, name)
        if count is not None:
            members[name] = count
        offsets = parts.ask("group_offsets", name, kafka.committed, admin, name)
        for (topic, partition), offset in (offsets or {}).items():
            if topic in topics:
                committed[name, topic, partition] = offset
    return Snapshot(
        topics={name: _state(partitions) for name, partitions in described.items()},
        end_offsets=ends,
        committed=committed,
        members=members,
    )


class _Parts:
    """Parts of one poll, which together may take `POLL_S`."""

    def __init__(self, failed: Failed) -> None:
        self.failed = failed
        self._deadline = time.monotonic() + POLL_S

    def ask(self, stage: str, what: str, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer; None if there is none, which is told."""
        if time.monotonic() > self._deadline:
            self.failed(stage, f"{what}: not asked, since the poll took longer than {POLL_S:g} s")
            return None
        try:
            return question(*arguments)
        except (KafkaError, OSError) as error:
            self.failed(stage, f"{what}: {error}")
            return None


def _state(partitions: Iterable[Mapping[str, Any]]) -> TopicState:
    replicas = [(len(partition["replica_nodes"]), len(partition["isr_nodes"])) for partition in partitions]
    return TopicState(
        partitions=len(replicas),
        under_replicated=sum(in_sync < copies for copies, in_sync in replicas),
        leaderless=sum(partition["leader_id"] < 0 for partition in partitions),
        replicas=min((copies for copies, _ in replicas), default=0),
        in_sync_min=min((in_sync for _, in_sync in replicas), default=0),
    )


def _end_offsets(admin: Any, topics: Mapping[str, Iterable[Mapping[str, Any]]], parts: _Parts) -> dict[Any, int]:
    """The ends of the logs by (topic, partition), asked topic by topic and leader by leader."""
    led: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for name, partitions in topics.items():
        for partition in partitions:
            led[name, partition["leader_id"]].append(partition["partition_index"])
    ends: dict[tuple[str, int], int] = {}
    for (name, leader), numbers in sorted(led.items()):
        what = f"{name} {','.join(map(str, sorted(numbers)))}"
        if leader < 0:
            parts.failed("log_end_offsets", f"{what}: no leader")
            continue
        wanted = {TopicPartition(name, number): OffsetSpec.LATEST for number in numbers}
        answer = parts.ask("log_end_offsets", what, admin.list_partition_offsets, wanted)
        ends |= {(key.topic, key.partition): end.offset for key, end in (answer or {}).items()}
    return ends


def _matching(admin: Any, wanted: Selection, parts: _Parts) -> list[str]:
    listed = parts.ask("group_list", "all groups", kafka.consumer_groups, admin) or []
    return [name for name in listed if name in wanted]


def _members(admin: Any, name: str) -> int:
    """Members of a group; a group that does not exist has none.

    Raises:
        KafkaError: The coordinator does not say.
    """
    group = admin.describe_groups([name])[name]
    error = group["error"]
    if error and GroupIdNotFoundError.__name__ not in error:
        raise KafkaError(error)
    return 0 if error else len(group["members"])
