"""The object storage away under load: nothing is missing in the archive, beside the topics, afterwards (D1)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from components.backups.config import ARCHIVE_USER
from ops.backups.options import IDENTITY, identities, opened
from ops.core.access import backup_access
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kafka import client_settings
from ops.core.kube import wait_until
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import unmet
from ops.drills.tools.load import TOPIC, OtlpLoad
from ops.drills.tools.outside import storage_commands, taken_away, try_first
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.catalogue import ReadStats, catalogue, records
from services.kafka_archive.segments import Record, record
from services.kafka_archive.upload_pool import TopicIds

Records = dict[int, list[Record]]
"""Partition -> its records, by offset."""


def archived_up_to(context: Context, topic: str) -> dict[int, int]:
    """Partition -> offset before which every record is stored: what the archive's group has committed."""
    committed = context.kafka.committed(ARCHIVE_USER)
    return {partition: offset for (name, partition), offset in committed.items() if name == topic}


def running_id(context: Context, topic: str) -> str:
    """Kafka's id of a topic: the archive may have another of the same name, of before a platform was built anew.

    Raises:
        BackupError: The brokers do not tell.
    """
    return TopicIds(client_settings(context.platform, context.platform.kafka_admin)).of(topic)


def archived(
    store: Store, identities: Sequence[Identity], topic: str, start: Mapping[int, int], topic_id: str
) -> tuple[Records, ReadStats]:
    """Records of the archive from some offsets on, and what was noticed."""
    stats, kept_records = ReadStats(), {}
    for partition, segments in catalogue(store, topic, topic_id).segments.items():
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


WHAT: Final = "the object storage"
STORED_S: Final = 240.0
"""Until what was read during an outage is stored: the age at which a segment is closed, and a few tries."""


def stop_object_storage(context: Context, figures: dict[str, Any]) -> list[str]:
    """Stop the object storage under load, start it again, and compare the archive with Kafka record by record."""
    commands, keys = storage_commands(), operator_identities()
    try_first(WHAT, commands.start)
    if not answers(context):
        return [f"{WHAT} does not answer before the drill"]
    start = context.kafka.end_offsets(TOPIC)
    with OtlpLoad(context) as load:
        load.run_for(durations.WARM_UP)
        stopped = time.monotonic()
        with taken_away(WHAT, commands.stop, commands.start):
            answered = answers(context)
            load.run_for(max(0.0, durations.STORAGE_OUTAGE - (time.monotonic() - stopped)))
        figures["storage away s"] = round(time.monotonic() - stopped, 1)
        load.run_for(durations.WARM_UP)
    ends = context.kafka.end_offsets(TOPIC)

    def stored() -> bool:
        reached = archived_up_to(context, TOPIC)
        return all(reached.get(partition, 0) >= end for partition, end in ends.items())

    figures["stored again after s"] = round(wait_until(stored, STORED_S, "everything is archived", 2.0), 1)
    running = live(context, TOPIC, start)
    with opened(backup_access(context.platform)) as store:
        held, stats = archived(store, keys, TOPIC, start, running_id(context, TOPIC))
    compared, missing, different = differing(running, held, ends)
    records = sum(end - start.get(partition, 0) for partition, end in ends.items())
    figures["records"] = records
    figures["doubled"] = stats.doubled
    figures.update(missing=missing, different=different, acknowledged=len(load.ledger.acknowledged))
    return unmet(
        (not answered, f"{WHAT} still answered after `{commands.stop[0]}` had stopped it"),
        (bool(load.ledger.acknowledged), "nothing was acknowledged"),
        (compared == records, f"only {compared} of {records} records were read from Kafka, to compare them"),
        (stats.holes == [], f"the archive lacks offsets between others: {stats.holes[:3]}"),
    )


def operator_identities() -> list[Identity]:
    """What opens backups, from the file that the environment names.

    Raises:
        CannotRunError: It names none, or the file holds none.
    """
    named = os.environ.get(IDENTITY)
    if not named:
        raise CannotRunError(
            f"nothing opens the backups: {IDENTITY} must name the file with your age identity "
            "(in the lab: python -m lab exec --)"
        )
    try:
        return identities(Path(named))
    except OpsError as error:
        raise CannotRunError(f"{IDENTITY}: {error}") from None


def answers(context: Context) -> bool:
    """Whether the object storage lists the backups."""
    try:
        with opened(backup_access(context.platform)) as store:
            store.folders()
    except OpsError:
        return False
    return True
