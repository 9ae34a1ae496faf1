"""Backups in an object storage (moto behind verified TLS), and a backup exporter that polls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.shards import external_labels
from services.backup import signature
from services.backup.manifest import Manifest, StoredObject, manifest_key, object_key, run_name
from services.backup_exporter import KINDS
from services.backup_exporter import BackupExporterSettings as Settings
from services.backup_exporter.poller import first_ulid
from services.kafka_archive.segments import Name
from tests.unit.reports.report_server_fakes import BUCKET, SCRAPER, Storage

PREFIX, BLOCKS = "backups/", "metrics/"
TOPIC_ID, OTHER_ID = "aaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbb"
START = datetime(2026, 11, 25, 15, 5, tzinfo=UTC)
SIGNING_KEY = "0123456789abcdefghijklmnopqrstuv"
AGES = {"database": 7200, "grafana": 115_200}
SERVERS = {
    "primary": external_labels("obs", "one", "primary"),
    "secondary": external_labels("obs", "one", "secondary"),
}


def content(folder: Path, endpoint: str | None = "https://localhost:1", **changes: Any) -> dict[str, Any]:
    """A settings file's content."""
    storage = {
        "endpoint": endpoint,
        "region": "ap-northeast-1",
        "bucket": BUCKET,
        "prefix": PREFIX,
        "access_key_id_file": str(folder / "key-id"),
        "secret_access_key_file": str(folder / "secret-key"),
        "ca_file": str(folder / "ca.crt"),
    }
    return {
        "listen": "127.0.0.1:0",
        "tls": {"cert_file": str(folder / "tls.crt"), "key_file": str(folder / "tls.key")},
        "storage": storage,
        "most_age_s": dict(AGES),
        "keep_days": {"runs": dict.fromkeys(KINDS, 30), "archive": 30},
        "state_most_age_s": 700_000,
        "blocks": {"prefix": BLOCKS, "most_age_s": 4800, "servers": SERVERS},
        "signing": {
            "key_file": str(folder / "signing-key"),
            "seal_key_files": {kind: str(folder / f"seal-{kind}") for kind in KINDS},
            "platform": "obs",
            "region": "one",
        },
        "metrics": {"user": SCRAPER[0], "password_file": str(folder / "scraper")},
        **changes,
    }


def write_keys(folder: Path) -> None:
    """The key that signs, and those that seal."""
    (folder / "signing-key").write_text(SIGNING_KEY)
    for kind in KINDS:
        (folder / f"seal-{kind}").write_text(seal_key(kind))


def seal_key(kind: str) -> str:
    """The key of a kind."""
    return f"seal-key-of-{kind}"


def settings(fake_storage: Storage, **changes: Any) -> Settings:
    """Settings of a backup exporter that reads it."""
    write_keys(fake_storage.folder)
    return Settings.parse(content(fake_storage.folder, fake_storage.endpoint, **changes))


def put_run(
    fake_storage: Storage,
    kind: str,
    started: datetime,
    sizes: dict[str, int],
    *,
    whole: bool = True,
    sealed: bool = False,
) -> str:
    """Store a run; without its manifest when it is not ``whole``. Returns its name."""
    run = run_name(started)
    for name, size in sizes.items():
        fake_storage.put(object_key(kind, run, name), bytes(size), PREFIX)
    if whole:
        content = manifest(kind, started, sizes).content()
        fake_storage.client.put_object(
            Bucket=BUCKET,
            Key=PREFIX + manifest_key(kind, run),
            Body=content,
            Metadata={signature.SEAL: signature.seal(seal_key(kind), content)} if sealed else {},
        )
    return run


def manifest(kind: str, started: datetime, sizes: dict[str, int]) -> Manifest:
    """The manifest of a run that took 90 seconds."""
    digest = "0" * 64
    return Manifest(
        kind=kind,
        run=run_name(started),
        platform="obs",
        region="one",
        started=started,
        finished=started + timedelta(seconds=90),
        program="pg_dump 15.18",
        recipients=("age1" + 58 * "q",),
        objects=tuple(
            StoredObject(name=name, bytes=size, sha256=digest, plain_bytes=size, plain_sha256=digest)
            for name, size in sizes.items()
        ),
        counts={},
    )


def put_segment(
    fake_storage: Storage,
    first: int,
    last: int,
    *,
    topic: str = "telemetry-logs",
    partition: int = 0,
    topic_id: str = TOPIC_ID,
) -> str:
    """Store a segment of ten bytes. Returns its key below the prefix."""
    key = Name(topic=topic, partition=partition, first=first, last=last, topic_id=topic_id).key
    fake_storage.put(key, bytes(10), PREFIX)
    return key


def put_block(
    fake_storage: Storage,
    made_at: datetime,
    end: datetime | None,
    number: int = 0,
    labels: Mapping[str, str] = SERVERS["primary"],
) -> str:
    """Store a block of a server; without its description when it has no end. Returns its name."""
    ulid = f"{first_ulid(int(made_at.timestamp() * 1000))}{number:016d}"
    fake_storage.put(f"{ulid}/index", "x", BLOCKS)
    if end:
        meta: dict[str, Any] = {"ulid": ulid, "minTime": 0, "maxTime": int(end.timestamp() * 1000), "version": 1}
        meta |= {"thanos": {"labels": dict(labels)}}
        fake_storage.put(f"{ulid}/meta.json", json.dumps(meta), BLOCKS)
    return ulid


def remove(fake_storage: Storage, key: str, prefix: str = PREFIX) -> None:
    """Remove an object."""
    fake_storage.client.delete_object(Bucket=BUCKET, Key=prefix + key)
