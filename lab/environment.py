"""The environment in which product commands run against the embedded cluster."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import yaml

from lab.cluster import network
from lab.directory import places as directory
from lab.paths import CHECKOUT, LabPaths
from lab.storage import places as storage
from lab.toolchain import tools

STACK = "local"
ALERTING_SECRETS = "observability:alertingSecrets"
DIRECTORY_SECRETS = "observability:directorySecrets"
OBJECT_STORAGE_SECRETS = "observability:objectStorageSecrets"
BACKUP_RECIPIENTS = "observability:backupRecipients"
SECRETS = (ALERTING_SECRETS, DIRECTORY_SECRETS, OBJECT_STORAGE_SECRETS, BACKUP_RECIPIENTS)
"""Configuration keys of what the stack needs to reach what is outside the platform; their values are secrets."""


def variables(paths: LabPaths) -> dict[str, str]:
    """Variables for Pulumi, kubectl and ``ops``; the passphrase stays in a file that only root reads."""
    backend = paths.state / "backend"
    backend.mkdir(parents=True, exist_ok=True)
    passphrase = paths.state / "pki" / "passphrase"
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_urlsafe(32))
    programs = [
        paths.pulumi_home / "bin",
        tools.path("pulumi").parent,
        tools.path("kubectl").parent,
        Path(sys.executable).parent,
    ]
    return {
        **os.environ,
        "KUBECONFIG": str(paths.kubeconfig),
        "PATH": os.pathsep.join([*map(str, programs), os.environ.get("PATH", "/usr/bin:/bin")]),
        "PULUMI_HOME": str(paths.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_STACK": os.environ.get("PULUMI_STACK", STACK),
        "PULUMI_K8S_DELETE_UNREACHABLE": "false",
        "PULUMI_OPTION_CWD": str(project(paths)),
        "PYTHONPATH": str(CHECKOUT),
        "OBS_PEOPLE_FILE": str(directory.logins(paths)),
        "OBS_BACKUP_IDENTITY": str(storage.folder(paths) / storage.IDENTITY),
    }


def project(paths: LabPaths) -> Path:
    """A view of the checkout for Pulumi: links to everything, and copies of the stack files.

    Pulumi writes each stack's encryption salt into its stack file; the lab's passphrase is this machine's alone, so the
    salt belongs into a copy and not into the committed file. The same is true of the lab's own stack's secrets of what
    is outside the platform, which are encrypted with it.
    """
    view = paths.state / "project"
    view.mkdir(parents=True, exist_ok=True)
    for entry in CHECKOUT.iterdir():
        target = view / entry.name
        if entry.name.startswith("Pulumi.") and entry.name != "Pulumi.yaml":
            salt = [line for line in _lines(target) if line.startswith("encryptionsalt:")]
            kept = _secrets(target) if entry.name == f"Pulumi.{STACK}.yaml" else []
            text = "\n".join([*_with(kept, _lines(entry)), *salt]) + "\n"
            if not target.exists() or target.read_text() != text:
                fresh = view / f".{entry.name}.{os.getpid()}"
                fresh.write_text(text)
                fresh.replace(target)
        elif not target.is_symlink():
            target.symlink_to(entry)
    for link in view.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
    return view


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _secrets(file: Path) -> list[str]:
    """The lines of a stack file's configuration that hold the secrets, encrypted as Pulumi wrote them."""
    content = yaml.safe_load(file.read_text()) if file.exists() else None
    config = content.get("config") if isinstance(content, dict) else None
    found: list[str] = []
    for key in SECRETS:
        value = config.get(key) if isinstance(config, dict) else None
        if isinstance(value, dict) and isinstance(value.get("secure"), str):
            found += [f"  {key}:", f"    secure: {value['secure']}"]
    return found


def _with(kept: list[str], lines: list[str]) -> list[str]:
    place = lines.index("config:") + 1 if kept else 0
    return [*lines[:place], *kept, *lines[place:]]


def inside(paths: LabPaths, command: list[str]) -> list[str]:
    """The command, run inside the lab's network namespace."""
    return [*network.enter(paths.netns), *command]
