"""A bucket with backups in it, and the file by which `ops backup` reaches it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from ops.backups.pulumi_state import SECRET
from ops.core.access import BackupAccess
from services.backup import signature
from services.backup.manifest import Manifest, RunSummary, RunWriter, manifest_key
from services.backup.store import Store
from services.kafka_archive.segments import Record, Segment
from tests.unit.services.backup.harness import BUCKET, IDENTITY, KEYS, PREFIX, RECIPIENT, REGION, Harness

TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
STATE: Mapping[str, Any] = {
    "version": 3,
    "deployment": {
        "manifest": {"version": "v3.259.0"},
        "resources": [
            {"urn": "urn:pulumi:local::obs::a", "outputs": {"password": {SECRET: "1b47", "ciphertext": "v1:abc"}}},
            {"urn": "urn:pulumi:local::obs::b"},
        ],
    },
}
METRICS = "metrics/"
SIGNING_KEY = signature.private_key("0123456789abcdefghijklmnopqrstuv")


def access(place: Harness, **changed: Any) -> dict[str, Any]:
    """The stack output ``backups``."""
    return {
        "endpoint": place.url,
        "region": REGION,
        "bucket": BUCKET,
        "prefix": PREFIX,
        "metrics_prefix": METRICS,
        "access_key_id": KEYS[0],
        "secret_access_key": KEYS[1],
        "authority": (place.folder / "ca.crt").read_text(),
        "recipients": [RECIPIENT],
        "signing_keys": [signature.public_key(SIGNING_KEY)],
        "state_seal_key": "key-of-the-operators",
        "time_zone": "Asia/Tokyo",
        "schedules": {
            "database": "5 * * * *",
            "grafana": "20 3 * * *",
            "kafka_metadata": "25 3 * * *",
            "search": "30 3 * * *",
        },
        "search": "export",
        **changed,
    }


def reached(place: Harness, **changed: Any) -> BackupAccess:
    """The same, as it is read."""
    return BackupAccess.model_validate(access(place, **changed))


def access_file(place: Harness, **changed: Any) -> Path:
    """The same in a file."""
    file = place.folder / "access.json"
    file.write_text(json.dumps(access(place, **changed)))
    return file


def identity_file(place: Harness) -> Path:
    """A file with the identity that opens everything."""
    file = place.folder / "identity.txt"
    file.write_text(f"# made for a test\n{IDENTITY}\n")
    return file


def signed(store: Store, manifest: Manifest) -> Manifest:
    """Sign a run, as the backup exporter does."""
    content = store.get(manifest_key(manifest.kind, manifest.run), 2**20)
    store.put(signature.object_key(manifest.kind, manifest.run), signature.sign(SIGNING_KEY, content))
    return manifest


def state_run(store: Store, started: datetime, content: Mapping[str, Any] = STATE, **counts: int) -> Manifest:
    """A signed run of the kind ``pulumi-state``."""
    target = RunWriter(store, "pulumi-state", [RECIPIENT], started)
    target.add("state.json", BytesIO(json.dumps(content).encode()))
    run = RunSummary(program="pulumi v3.259.0", counts=counts or {"resources": 2, "secrets": 1})
    return signed(store, target.finish(run, platform="obs", region="here"))


def run(store: Store, kind: str, started: datetime, content: bytes = b"something", **counts: int) -> Manifest:
    """A signed run of one object."""
    target = RunWriter(store, kind, [RECIPIENT], started)
    target.add("object.bin", BytesIO(content))
    summary = RunSummary(program="test 1", counts=counts or {"things": 1})
    return signed(store, target.finish(summary, platform="obs", region="here"))


def segment(store: Store, topic: str, partition: int, first: int, last: int, topic_id: str = TOPIC_ID) -> str:
    """A segment of the archive; its key."""
    archive_segment = Segment(topic, partition)
    for offset in range(first, last + 1):
        archive_segment.add(Record(offset, 1_700_000_000_000 + offset, 1, b"key", b"value", ()))
    encrypted = archive_segment.encrypt(topic_id, [RECIPIENT])
    store.put(encrypted.name.key, encrypted.content, metadata=encrypted.metadata)
    return encrypted.name.key


def ago(**length: float) -> datetime:
    """A moment, to the second as runs are named."""
    return (datetime.now(UTC) - timedelta(**length)).replace(microsecond=0)
