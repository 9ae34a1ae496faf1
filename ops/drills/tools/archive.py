"""The archive of Kafka's records beside the topics themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.backups.config import ARCHIVE_USER
from ops.core.context import Context
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.catalogue import ReadStats, catalogue, records
from services.kafka_archive.segments import Record, record

Records = dict[int, list[Record]]
"""Partition -> its records, by offset."""


def archived_up_to(context: Context, topic: str) -> dict[int, int]:
    """Partition -> offset before which every record is stored: what the archive's group has committed."""
    committed = context.kafka.committed(ARCHIVE_USER)
    return {partition: offset for (name, partition), offset in committed.items() if name == topic}


def archived(
    store: Store, identities: Sequence[Identity], topic: str, start: Mapping[int, int]
) -> tuple[Records, ReadStats]:
    """Records of the archive from some offsets on, and what was noticed."""
    stats, kept_records = ReadStats(), {}
    for partition, segments in catalogue(store, topic).segments.items():
        first = start.get(partition, 0)
        late_segments = [(name, written) for name, written in segments if name.last >= first]
        held = records(store, identities, late_segments, stats)
        kept_records[partition] = [archive_record for archive_record in held if archive_record.offset >= first]
    return kept_records, stats


def live(context: Context, topic: str, start: Mapping[int, int], seconds: float = 20.0) -> Records:
    """Records of a topic from some offsets on."""
    records_by_partition: Records = {}
    for message in context.kafka.read(topic, start, seconds):
        records_by_partition.setdefault(int(message.partition() or 0), []).append(record(message))
    return records_by_partition


def differing(
    running: Mapping[int, Sequence[Record]], held: Mapping[int, Sequence[Record]], ends: Mapping[int, int]
) -> tuple[int, int, int]:
    """Records that a topic has before some offsets, and how many of them the archive lacks or has otherwise."""
    compared = missing = different = 0
    for partition, end in ends.items():
        there = {archive_record.offset: archive_record for archive_record in held.get(partition, ())}
        for wanted in running.get(partition, ()):
            if wanted.offset < end:
                compared += 1
                missing += wanted.offset not in there
                different += there.get(wanted.offset, wanted) != wanted
    return compared, missing, different


def without_offsets(archive_records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """Records as a restore keeps them: timestamp, key, value, headers."""
    return [
        (archive_record.timestamp_ms, archive_record.key, archive_record.value, archive_record.headers)
        for archive_record in archive_records
    ]
