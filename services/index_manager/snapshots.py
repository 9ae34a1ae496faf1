"""Snapshots of all families in a repository, taken and deleted by age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.index_manager.settings import SnapshotSettings
from services.runtime.json_api import JsonApi

REPOSITORY = "snapshots"
_PREFIX = "index-manager-"
_MS = 1000.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A snapshot, its state and the moment at which it was begun."""

    name: str
    state: str
    begun: float


def ensure_repository(client: JsonApi, settings: SnapshotSettings) -> None:
    """Register the repository unless it is registered as it should be; the nodes check that they can write to it."""
    current = client.ask("GET", f"/_snapshot/{REPOSITORY}") or {}
    wanted = {"type": settings.type, "settings": dict(settings.settings)}
    if current.get(REPOSITORY) != wanted:
        client.ask("PUT", f"/_snapshot/{REPOSITORY}", wanted)


def listed(client: JsonApi) -> list[Snapshot]:
    """Our snapshots, oldest first."""
    answer = client.ask("GET", f"/_snapshot/{REPOSITORY}/_all") or {}
    snapshots = [_snapshot(entry) for entry in answer.get("snapshots", []) if entry["snapshot"].startswith(_PREFIX)]
    return sorted(snapshots, key=lambda snapshot: snapshot.begun)


def _snapshot(entry: Mapping[str, Any]) -> Snapshot:
    begun = entry.get("start_time_in_millis", 0) / _MS
    return Snapshot(name=entry["snapshot"], state=entry.get("state", "UNKNOWN"), begun=begun)


def due(settings: SnapshotSettings, snapshots: Sequence[Snapshot], now: float) -> bool:
    """Tell whether it is time for the next one; one that runs is waited for."""
    if any(snapshot.state == "IN_PROGRESS" for snapshot in snapshots):
        return False
    good = [snapshot.begun for snapshot in snapshots if snapshot.state == "SUCCESS"]
    return not good or now - good[-1] >= settings.interval_s


def take(client: JsonApi, patterns: Sequence[str], now: float) -> str:
    """Begin a snapshot and return its name; it goes on in the cluster."""
    name = f"{_PREFIX}{int(now)}"
    body = {"indices": ",".join(patterns), "include_global_state": False, "partial": False}
    client.ask("PUT", f"/_snapshot/{REPOSITORY}/{name}?wait_for_completion=false", body)
    return name


def expired(settings: SnapshotSettings, snapshots: Sequence[Snapshot], now: float) -> list[Snapshot]:
    """Snapshots that are too old; the last good one is kept whatever its age."""
    good = [snapshot for snapshot in snapshots if snapshot.state == "SUCCESS"]
    return [
        snapshot
        for snapshot in snapshots
        if snapshot.state != "IN_PROGRESS" and now - snapshot.begun > settings.keep_s and snapshot not in good[-1:]
    ]


def delete(client: JsonApi, snapshot: Snapshot) -> None:
    """Delete a snapshot."""
    client.ask("DELETE", f"/_snapshot/{REPOSITORY}/{snapshot.name}")
