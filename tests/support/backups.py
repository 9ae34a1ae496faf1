"""Backups on the live platform: commands as an operator gives them, the archive beside the live topic, an outage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.backups.config import ARCHIVE_USER
from lab import storage
from lab.paths import LabPaths
from ops.backups.options import IDENTITY
from ops.core.context import Context
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS
from ops.core.kube import wait_until
from ops.core.platform import PROJECT
from services.backup.encryption import Identity
from services.backup.store import Store
from services.kafka_archive.catalogue import ReadStats, catalogue, records
from services.kafka_archive.segments import Record, record

COMMAND_S = 600


def identity_file() -> Path:
    """The operator's identity; the lab names it."""
    named = os.environ.get(IDENTITY)
    assert named, f"{IDENTITY} names no file: run the tests through `python -m lab exec --`"
    return Path(named)


def ops(*words: str, good: Sequence[int] = (0,)) -> str:
    """Give a command as an operator does; what it prints to standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode in good, f"ops {' '.join(words)}: {done.returncode}: {(done.stdout + done.stderr)[-1500:]}"
    assert "AGE-SECRET-KEY" not in done.stdout + done.stderr
    return done.stdout


def ops_json(*words: str, good: Sequence[int] = (0,)) -> dict[str, Any]:
    """The same for a command that prints JSON."""
    document: dict[str, Any] = json.loads(ops(*words, "--json", good=good))
    return document


def new_topic(context: Context, name: str) -> None:
    """A topic of three partitions with settings of its own."""
    config = {"min.insync.replicas": "2", "retention.ms": "3600000"}
    topic = ADMIN.NewTopic(name, num_partitions=3, replication_factor=3, config=config)
    context.kafka.client.create_topics([topic])[name].result(timeout=TIMEOUT_SECONDS)
    wait_until(lambda: name in context.kafka.topics(), 30, f"topic {name}")


def archived_up_to(context: Context, topic: str) -> dict[int, int]:
    """Partition -> offset before which every record is stored: what the archive's group has committed."""
    committed = context.kafka.committed(ARCHIVE_USER)
    return {partition: offset for (name, partition), offset in committed.items() if name == topic}


def archived(
    store: Store, identities: Sequence[Identity], topic: str, start: Mapping[int, int]
) -> tuple[dict[int, list[Record]], ReadStats]:
    """Records of the archive from some offsets on, by partition, and what was noticed."""
    stats, kept_records = ReadStats(), {}
    for partition, segments in catalogue(store, topic).segments.items():
        first = start.get(partition, 0)
        late_segments = [(name, written) for name, written in segments if name.last >= first]
        held = records(store, identities, late_segments, stats)
        kept_records[partition] = [archive_record for archive_record in held if archive_record.offset >= first]
    return kept_records, stats


def live(context: Context, topic: str, start: Mapping[int, int], seconds: float = 20.0) -> dict[int, list[Record]]:
    """Records of a topic from some offsets on, by partition."""
    records_by_partition: dict[int, list[Record]] = {}
    for message in context.kafka.read(topic, start, seconds):
        records_by_partition.setdefault(int(message.partition() or 0), []).append(record(message))
    return records_by_partition


def without_offsets(archive_records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """Records as a restore keeps them: timestamp, key, value, headers."""
    return [
        (archive_record.timestamp_ms, archive_record.key, archive_record.value, archive_record.headers)
        for archive_record in archive_records
    ]


@contextmanager
def storage_away(seconds: float) -> Iterator[dict[str, float]]:
    """Stop the lab's object storage, let the block run, start it again after ``seconds`` at the earliest."""
    paths, figures = LabPaths.of_checkout(), dict[str, float]()
    process, began = storage.daemon(paths), time.monotonic()
    assert process.pid() is not None, "the object storage does not run"
    process.stop()
    try:
        yield figures
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        process.start()
        storage.wait_ready(paths)
        figures["storage away s"] = round(time.monotonic() - began, 1)
