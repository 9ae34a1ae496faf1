"""The continuous archive of Kafka: every record of its topics, encrypted, in the object storage; and the way back.

Runs as ``python3 -m services.kafka_archive --config FILE``; several of them share the partitions. A record is committed
after its segment is stored, so that a crash stores some records twice and loses none; `restore` drops the doubled ones.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from services.backup import Recipients
from services.runtime.settings import File, ServerSettings, SettingsModel, StorageSettings, Text, broken_rule, whole

MEBIBYTE = 2**20
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _topics(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(topic, str) for topic in value):
        raise broken_rule(f"kafka.topics is {value!r}; it must be a list of names of topics that is not empty")
    for topic in value:
        if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
            raise broken_rule(f"kafka.topics has {topic!r}; a topic's name has letters, digits and . _ - only")
        if list(value).count(topic) > 1:
            raise broken_rule(f"kafka.topics has {topic!r} twice; name it once")
    return value


class KafkaTopics(SettingsModel):
    """Where records come from."""

    bootstrap: Text
    topics: Annotated[tuple[str, ...], BeforeValidator(_topics)]
    ca_file: File
    username: Text
    group: Text
    password_file: File


class KafkaArchiveSettings(ServerSettings):
    """What is archived, where it goes, and who can open it.

    Attributes:
        kafka: Where records come from.
        storage: The bucket.
        recipients: Public keys of age; each of them can open the archive.
        flush_s: Age in seconds at which a segment is closed: so old may be what the storage does not have yet.
        segment_bytes: Size of a segment in memory, compressed, at which it is closed.
        segment_records: Number of records at which it is closed.
        memory_bytes: Size of everything that waits in memory; at that, no more is read.
    """

    kafka: KafkaTopics
    storage: StorageSettings
    recipients: Recipients
    flush_s: Annotated[int, whole(1, 3600)]
    segment_bytes: Annotated[int, whole(64 * 1024, 256 * MEBIBYTE)]
    segment_records: Annotated[int, whole(1, 10_000_000)]
    memory_bytes: Annotated[int, whole(8 * MEBIBYTE, 16 * 1024 * MEBIBYTE)]

    @model_validator(mode="after")
    def _two_segments(self) -> KafkaArchiveSettings:
        if self.memory_bytes < 2 * self.segment_bytes:
            raise broken_rule(
                f"memory_bytes is {self.memory_bytes}; it must hold two segments at least: "
                f"{2 * self.segment_bytes} or more, or a smaller segment_bytes"
            )
        return self
