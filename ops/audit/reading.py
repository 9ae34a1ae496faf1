"""Records of the audit log, read with the login of its readers, which may read nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from confluent_kafka import TopicPartition

from components.audit.component import READER
from components.telemetry.topics import AUDIT_TOPIC
from ops.core.errors import OpsError
from ops.core.kafka import TIMEOUT_SECONDS, client_settings, consumer, errors, watermarks
from ops.core.platform import Platform
from services.audit.journal import PARTITION
from services.audit.records import AuditRecord, BrokenLink, broken_links, parsed

TOPIC: Final = AUDIT_TOPIC.name
DAYS: Final = AUDIT_TOPIC.retention_days
"""How long records are kept."""
_AT_ONCE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class AuditLog:
    """What was read.

    Attributes:
        records: With whether the hash is that of the content; in the order of the topic.
        unreadable: Records that are none of a version that this program knows.
        complete: Whether all that was there came in time.
    """

    records: tuple[tuple[AuditRecord, bool], ...]
    unreadable: int = 0
    complete: bool = True

    @property
    def broken(self) -> list[BrokenLink]:
        """Places where a chain does not hold."""
        return list(broken_links(self.records))

    @property
    def accesses(self) -> list[AuditRecord]:
        """Records, each once, by their time."""
        once = {(record.region, record.day, record.sequence, record.hash): record for record, _ in self.records}
        return sorted(once.values(), key=lambda record: record.time)


def read(platform: Platform, start: datetime) -> AuditLog:
    """Records that were written since a moment, up to now.

    Args:
        platform: Outputs of the stack.
        start: The moment.

    Raises:
        OpsError: Kafka does not answer, or the stack has no audit log.
    """
    if READER not in platform.kafka_users:
        raise OpsError(f"the stack has no Kafka user `{READER}`: bring up a version of the platform with an audit log")
    settings = client_settings(platform, platform.kafka_users[READER])
    records: list[tuple[AuditRecord, bool]] = []
    unreadable = 0
    with consumer(settings, READER) as reader, errors(f"cannot read {TOPIC}"):
        _, high = watermarks(reader, TOPIC, PARTITION)
        wanted = [TopicPartition(TOPIC, PARTITION, int(start.timestamp() * 1000))]
        [first] = reader.offsets_for_times(wanted, timeout=TIMEOUT_SECONDS)
        at = first.offset if first.offset >= 0 else high
        reader.assign([TopicPartition(TOPIC, PARTITION, at)])
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while at < high and time.monotonic() < deadline:
            for message in reader.consume(_AT_ONCE, timeout=1.0):
                if message.error():
                    continue
                deadline, at = time.monotonic() + TIMEOUT_SECONDS, int(message.offset() or 0) + 1
                known = parsed(message.value() or b"")
                if known is None:
                    unreadable += 1
                else:
                    records.append(known)
    return AuditLog(records=tuple(records), unreadable=unreadable, complete=at >= high)
