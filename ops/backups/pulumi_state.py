"""Pulumi's state as a backup: exported with its secrets encrypted as Pulumi keeps them, encrypted once more for people.

What is stored opens with two keys: an operator's identity for the file, and the stack's passphrase or key for the
secrets in it. The second one is in no backup: keep it where the identities are kept.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ops.backups.runs import PULUMI_STATE
from ops.core.errors import OpsError, one_line
from ops.core.platform import PROJECT, run_pulumi
from services.backup.manifest import Manifest, RunSummary, RunWriter
from services.backup.store import Store

FILE = "state.json"
SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105  (Pulumi's mark of a secret, the same everywhere)
"""Key by which Pulumi marks a secret in a state; beside it is ``ciphertext``, or ``plaintext`` where it is shown."""
_LIMIT_S = 120
_VERSION = re.compile(r"v?\d+\.\d+\.\d+\S*")


def run(
    store: Store,
    recipients: tuple[str, ...],
    *,
    platform: str,
    region: str,
    seal_key: str | None = None,
    cwd: Path = PROJECT,
) -> Manifest:
    """Export the selected stack, encrypt it, store it. The backup exporter removes what is too old.

    Args:
        store: Where it goes.
        recipients: Public keys of those who can open it.
        platform: Name of the platform.
        region: Its region.
        seal_key: By which the backup exporter knows that an operator made it; None: it is never signed.
        cwd: Folder of the program.

    Raises:
        OpsError: Pulumi does not answer, or the export has a secret in clear text: nothing is stored then.
        BackupError: The storage refuses or does not answer.
    """
    content = exported(cwd)
    state = parsed(content)
    counts = counted(state)
    target = RunWriter(store, PULUMI_STATE, recipients)
    target.add(FILE, BytesIO(content))
    return target.finish(
        RunSummary(program=f"pulumi {version(state, cwd)}", counts=counts),
        platform=platform,
        region=region,
        seal_key=seal_key,
    )


def exported(cwd: Path) -> bytes:
    """What ``pulumi stack export`` prints; never with ``--show-secrets``.

    Raises:
        OpsError: There is no ``pulumi``, no stack, or no answer in time.
    """
    return _pulumi(cwd, "stack", "export", "--non-interactive")


def _pulumi(cwd: Path, *arguments: str) -> bytes:
    done = run_pulumi(cwd, *arguments, limit_s=_LIMIT_S)
    if done.returncode != 0:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise OpsError(
            f"`pulumi {' '.join(arguments[:2])}` failed: {one_line(lines[-1] if lines else 'no reason given')}"
        )
    return done.stdout


def parsed(content: bytes) -> Mapping[str, Any]:
    """A state of Pulumi.

    Raises:
        OpsError: It is none, or holds a secret in clear text.
    """
    try:
        state = json.loads(content)
        held = state["deployment"]
        resources = held.get("resources") or []
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError("`pulumi stack export` did not print a state") from None
    if not isinstance(state, dict) or not isinstance(resources, list):
        raise OpsError("`pulumi stack export` did not print a state")
    if any("plaintext" in secret for secret in secrets_of(held)):
        raise OpsError("the exported state has secrets in clear text: it is not stored; export without --show-secrets")
    return state


def secrets_of(value: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in a state that is marked as a secret."""
    if isinstance(value, dict):
        if SECRET in value:
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for nested in value:
            yield from secrets_of(nested)


def counted(state: Mapping[str, Any]) -> dict[str, int]:
    """What a restore is compared with: resources and secrets."""
    held = state["deployment"]
    return {"resources": len(held.get("resources") or []), "secrets": sum(1 for _ in secrets_of(held))}


def version(state: Mapping[str, Any], cwd: Path) -> str:
    """Version of Pulumi that wrote the state, else of the program here."""
    manifest = state["deployment"].get("manifest") or {}
    match = _VERSION.search(str(manifest.get("version") or "")) or _VERSION.search(
        _pulumi(cwd, "version").decode(errors="replace")
    )
    return match[0] if match else "unknown"


def check(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with a fetched run."""
    try:
        counts = counted(parsed((folder / FILE).read_bytes()))
    except (OpsError, OSError) as error:
        return [one_line(error)]
    return [
        f"{name}: {counts.get(name, 0)}, the manifest says {number}"
        for name, number in manifest.counts.items()
        if counts.get(name, 0) != number
    ]


def to_file(folder: Path, file: Path) -> None:
    """Write a fetched state to a file that is not there yet, for its owner alone.

    Raises:
        OpsError: The file is there, or cannot be written.
    """
    try:
        content = (folder / FILE).read_bytes()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(content)
    except FileExistsError:
        raise OpsError(f"--to {file}: is there already: name a new file") from None
    except OSError as error:
        raise OpsError(f"--to {file}: {error.strerror}") from None
