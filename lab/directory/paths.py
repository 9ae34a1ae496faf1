"""Where the directory is in the lab: its address, its names and its files."""

from __future__ import annotations

from pathlib import Path

from lab.cluster.addresses import DIRECTORY_PORT, RECEIVERS
from lab.paths import LabPaths

URL = f"ldaps://{RECEIVERS}:{DIRECTORY_PORT}"
BASE = "dc=example,dc=com"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
SERVICES = f"ou=services,{BASE}"
SERVICE = f"cn=grafana,{SERVICES}"
"""The account that may search people and groups, and nothing else."""
CERTIFICATES, SECRETS, CONFIG, DATA, MADE_FROM = "pki", "secrets.json", "config.d", "data", "made-from"
CREDENTIALS = "test-accounts.json"
"""Names below `folder`."""


def folder(paths: LabPaths) -> Path:
    """Folder of the directory in a lab's state."""
    return paths.state / "directory"


def credentials(paths: LabPaths) -> Path:
    """File with one person of each role, and their passwords, for checks."""
    return folder(paths) / CREDENTIALS


def name_of(person: str) -> str:
    """Distinguished name of a person."""
    return f"uid={person},{PEOPLE}"
