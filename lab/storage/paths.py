"""Where the object storage is in the lab: its address, its bucket and its files."""

from __future__ import annotations

from pathlib import Path

from lab.cluster.addresses import RECEIVERS, STORAGE_PORT
from lab.paths import LabPaths

URL = f"https://{RECEIVERS}:{STORAGE_PORT}"
REGION = "ap-northeast-1"
BUCKET, SECOND_BUCKET, WITNESS_BUCKET = "obs-local", "obs-local-dr", "obs-witness"
"""Of the first region, of the second, and of neither: there both see which region is active."""
CERTIFICATES, SECRETS, STARTED_AS = "pki", "secrets.json", "started-as.json"
REGION_SECRETS = "region-secrets.json"
OBJECTS, VERSIONS, ACCOUNTS, IDENTITY = "objects", "versions", "accounts", "backup-identity.txt"
"""Names below `folder`."""


def folder(paths: LabPaths) -> Path:
    """Folder of the object storage in a lab's state."""
    return paths.state / "storage"
