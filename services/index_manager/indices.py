"""Indices of a family and their snapshots: templates, aliases, new ones, and the end of old ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from services.index_manager import FamilySettings, SnapshotSettings
from services.runtime.json_api import JsonApi

_MS = 1000.0
REPOSITORY = "snapshots"
_PREFIX = "index-manager-"


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index of a family: its number, the moment of its creation, its aliases."""

    name: str
    number: int
    created: float
    aliases: frozenset[str]


def first_index(family: FamilySettings) -> str:
    """Name of a family's first index; the server counts on from there."""
    return f"{family.name}-000001"


def listed(client: JsonApi, families: Iterable[FamilySettings]) -> dict[str, list[Index]]:
    """Family -> its indices, oldest first."""
    families = tuple(families)
    patterns = ",".join(f"{family.name}-0*" for family in families)
    shown = "filter_path=*.aliases,*.settings.index.creation_date&expand_wildcards=all&ignore_unavailable=true"
    answer = client.ask("GET", f"/{patterns}?{shown}") or {}
    return {family.name: _of_family(family, answer) for family in families}


def _of_family(family: FamilySettings, answer: Mapping[str, Any]) -> list[Index]:
    indices = []
    for name, content in answer.items():
        prefix, _, number = name.rpartition("-")
        if prefix == family.name and number.isdigit():
            created = int(content["settings"]["index"]["creation_date"]) / _MS
            aliases = frozenset(content.get("aliases", {}))
            indices.append(Index(name=name, number=int(number), created=created, aliases=aliases))
    return sorted(indices, key=lambda index: index.number)


def ensure_template(client: JsonApi, family: FamilySettings) -> bool:
    """Store the family's template unless it is there as it should be; tell whether it was stored."""
    checksum = hashlib.sha256(json.dumps(family.template, sort_keys=True).encode()).hexdigest()
    answer = client.ask("GET", f"/_index_template/{family.name}") or {}
    for entry in answer.get("index_templates", []):
        if entry["index_template"].get("_meta", {}).get("checksum") == checksum:
            return False
    client.ask("PUT", f"/_index_template/{family.name}", {**family.template, "_meta": {"checksum": checksum}})
    return True


def ensure_first(client: JsonApi, family: FamilySettings) -> None:
    """Create the family's first index, with its write alias."""
    client.ask("PUT", f"/{first_index(family)}", {"aliases": {family.write_alias: {}}})


def alias_changes(
    families: Sequence[FamilySettings], indices: Mapping[str, Sequence[Index]]
) -> list[dict[str, dict[str, str]]]:
    """What is missing or wrong among the aliases of every index.

    Only the newest index is written to. An alias of another family that leads to an index of this one would show it to
    the wrong readers, so it is taken away; aliases that are none of ours are left alone.
    """
    ours = {alias for family in families for alias in (family.write_alias, *family.read_aliases)}
    changes: list[dict[str, dict[str, str]]] = []
    for family in families:
        own = indices[family.name]
        for index in own:
            wanted = {*family.read_aliases} | ({family.write_alias} if index is own[-1] else set())
            changes += [_change("remove", index.name, alias) for alias in sorted((index.aliases & ours) - wanted)]
            changes += [_change("add", index.name, alias) for alias in sorted(wanted - index.aliases)]
    return changes


def _change(action: str, index: str, alias: str) -> dict[str, dict[str, str]]:
    return {action: {"index": index, "alias": alias}}


def roll_over(client: JsonApi, family: FamilySettings) -> bool:
    """Begin a new index if the newest has reached one of its limits; tell whether one was begun."""
    conditions = {
        "max_age": f"{family.rollover.age_s}s",
        "max_size": f"{family.rollover.bytes}b",
        "max_docs": family.rollover.documents,
    }
    answer = client.ask("POST", f"/{family.write_alias}/_rollover", {"conditions": conditions}) or {}
    return bool(answer.get("rolled_over"))


def expired(family: FamilySettings, indices: Sequence[Index], now: float) -> list[Index]:
    """Indices whose newest document is older than the family is kept: the next index has been written for that long.

    No index is older than the one before it: a node whose clock was wrong when it made one must not end that one early.
    """
    return [
        index for index, following in pairwise(indices) if now - max(index.created, following.created) > family.keep_s
    ]


def earliest_clock(client: JsonApi, own: float) -> float:
    """The earliest of all clocks, the nodes' and our own: what is deleted does not come back.

    Raises:
        ApiError: The cluster does not tell its time.
    """
    answer = client.ask("GET", "/_nodes/stats/os?filter_path=nodes.*.timestamp") or {}
    clocks = (float(content["timestamp"]) / _MS for content in answer.get("nodes", {}).values())
    return min([own, *clocks])


def delete(client: JsonApi, index: Index) -> None:
    """Delete an index with its documents."""
    client.ask("DELETE", f"/{index.name}")


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


def listed_snapshots(client: JsonApi) -> list[Snapshot]:
    """Our snapshots, oldest first."""
    answer = client.ask("GET", f"/_snapshot/{REPOSITORY}/_all") or {}
    snapshots = [_snapshot(entry) for entry in answer.get("snapshots", []) if entry["snapshot"].startswith(_PREFIX)]
    return sorted(snapshots, key=lambda snapshot: snapshot.begun)


def _snapshot(entry: Mapping[str, Any]) -> Snapshot:
    begun = entry.get("start_time_in_millis", 0) / _MS
    return Snapshot(name=entry["snapshot"], state=entry.get("state", "UNKNOWN"), begun=begun)


def snapshot_due(settings: SnapshotSettings, snapshots: Sequence[Snapshot], now: float) -> bool:
    """Tell whether it is time for the next one; one that runs is waited for."""
    if any(snapshot.state == "IN_PROGRESS" for snapshot in snapshots):
        return False
    good = [snapshot.begun for snapshot in snapshots if snapshot.state == "SUCCESS"]
    return not good or now - good[-1] >= settings.interval_s


def take_snapshot(client: JsonApi, patterns: Sequence[str], now: float) -> str:
    """Begin a snapshot and return its name; it goes on in the cluster."""
    name = f"{_PREFIX}{int(now)}"
    body = {"indices": ",".join(patterns), "include_global_state": False, "partial": False}
    client.ask("PUT", f"/_snapshot/{REPOSITORY}/{name}?wait_for_completion=false", body)
    return name


def expired_snapshots(settings: SnapshotSettings, snapshots: Sequence[Snapshot], now: float) -> list[Snapshot]:
    """Snapshots that are too old; the last good one is kept whatever its age."""
    good = [snapshot for snapshot in snapshots if snapshot.state == "SUCCESS"]
    return [
        snapshot
        for snapshot in snapshots
        if snapshot.state != "IN_PROGRESS" and now - snapshot.begun > settings.keep_s and snapshot not in good[-1:]
    ]


def delete_snapshot(client: JsonApi, snapshot: Snapshot) -> None:
    """Delete a snapshot."""
    client.ask("DELETE", f"/_snapshot/{REPOSITORY}/{snapshot.name}")
