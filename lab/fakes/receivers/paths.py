"""Where the fakes are in the lab: their address and their files."""

from __future__ import annotations

from pathlib import Path

from lab.cluster.addresses import RECEIVERS, RECEIVERS_HTTPS_PORT, RECEIVERS_SMTP_PORT
from lab.paths import CHECKOUT, LabPaths

URL = f"https://{RECEIVERS}:{RECEIVERS_HTTPS_PORT}"
MAIL_SERVER = f"{RECEIVERS}:{RECEIVERS_SMTP_PORT}"
STACK_FILE = CHECKOUT / "Pulumi.local.yaml"
DNS_ZONE, DNS_TTL_S = "obs.example.com", 5
"""The zone that both regions' names stand in, and how long others may keep an answer, seconds."""
DNS_SECRETS, DNS_RECORDS = "dns-secrets.json", "dns-records.json"
CERTIFICATES, SECRETS, CONFIG, RECORD, CODE = "pki", "secrets.json", "config.json", "notifications.jsonl", "code"
"""Names below `folder`."""


def folder(paths: LabPaths) -> Path:
    """Folder of the fakes in a lab's state."""
    return paths.state / "receivers"
