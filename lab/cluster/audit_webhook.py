"""The API server's audit events, posted to the audit log of the platform in its cluster (docs/audit.md).

Its files are made before the API server starts, which is before there is a platform. Until that listens, batches are
tried five times each and then dropped, beside requests, which wait for none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab import LabError
from lab.cluster.network import AUDIT_SERVICE, cluster_of
from lab.paths import LabPaths
from ops.audit import cluster


def _folder(paths: LabPaths) -> Path:
    return paths.state / "pki" / "audit"


def prepare(paths: LabPaths, *, started: bool) -> None:
    """Make the files that are missing.

    Args:
        paths: The lab.
        started: Whether the API server runs: it would not read them any more.

    Raises:
        LabError: It runs without them.
    """
    if started and not (_folder(paths) / cluster.WEBHOOK).exists():
        raise LabError("the node, of an older checkout, has no audit webhook: run `make down` first")
    cluster.write(_folder(paths), cluster_of(paths).namespace, AUDIT_SERVICE)


def flags(paths: LabPaths) -> list[str]:
    """Flags of the API server."""
    return cluster.flags(str(_folder(paths)))


def secrets(paths: LabPaths) -> Mapping[str, str]:
    """What the stack needs: the value of the secret ``observability:clusterAuditSecrets``.

    Raises:
        LabError: There is none.
    """
    try:
        return cluster.read(_folder(paths))
    except OSError as error:
        raise LabError(f"{error.filename} cannot be read: run `make up`, which makes it") from None
