"""Source "cluster": warnings of Kubernetes, containers that ended, rollouts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ops.core.errors import one_line
from ops.core.kube import Kube
from ops.incidents.evidence import ClusterEvent
from ops.incidents.time_window import TimeWindow

MOST = 80
_TIMEOUT_SECONDS = 15
_PAGE = 500
_TELLING = ("Killing", "Preempted", "Evicted", "NodeNotReady", "ScalingReplicaSet", "TaintManagerEviction")
"""Reasons of ordinary events that are worth a line."""


def cluster(kube: Kube, window: TimeWindow) -> tuple[tuple[ClusterEvent, ...], int]:
    """What happened in the platform's namespace in the window, oldest first, and how much there was.

    Kubernetes forgets events after an hour by default: what is older is here only if it was collected in time.
    """
    core, apps, space = kube.core, kube.apps, kube.namespace
    bounds = {"limit": _PAGE, "_request_timeout": _TIMEOUT_SECONDS}
    events = [
        *_events(core.list_namespaced_event(space, **bounds).items),
        *_restarts(core.list_namespaced_pod(space, **bounds).items),
        *_rollouts(apps.list_namespaced_replica_set(space, **bounds).items, "pod-template-hash"),
        *_rollouts(apps.list_namespaced_controller_revision(space, **bounds).items, "controller-revision-hash"),
    ]
    inside = [event for event in events if window.holds(event.at)]
    # Restarts and rollouts first when there are too many, then warnings.
    chosen = sorted(inside, key=lambda event: (event.kind == "event", not event.warning, event.at))[:MOST]
    return tuple(sorted(chosen, key=lambda event: event.at)), len(inside)


def _events(items: Iterable[Any]) -> Iterable[ClusterEvent]:
    for item in items:
        at = item.last_timestamp or item.event_time or item.first_timestamp
        warning = item.type != "Normal"
        if at is None or not (warning or item.reason in _TELLING):
            continue
        times = f" ({item.count} times)" if (item.count or 1) > 1 else ""
        subject = item.involved_object
        yield ClusterEvent(
            at=_aware(at),
            kind="event",
            subject=f"{subject.kind or '?'} {subject.name or '?'}",
            reason=str(item.reason or ""),
            text=one_line(item.message or "-", 200) + times,
            warning=warning,
        )


def _restarts(items: Iterable[Any]) -> Iterable[ClusterEvent]:
    for pod in items:
        for status in pod.status.container_statuses or []:
            for state in (status.last_state, status.state):
                ended = state.terminated if state else None
                if ended is None or ended.finished_at is None:
                    continue
                yield ClusterEvent(
                    at=_aware(ended.finished_at),
                    kind="restart",
                    subject=f"Pod {pod.metadata.name}, container {status.name}",
                    reason=str(ended.reason or "Terminated"),
                    text=f"exit code {ended.exit_code}, {status.restart_count} restarts so far",
                    warning=ended.exit_code != 0,
                )


def _rollouts(items: Iterable[Any], label: str) -> Iterable[ClusterEvent]:
    for item in items:
        owner = next(iter(item.metadata.owner_references or []), None)
        if owner is None or item.metadata.creation_timestamp is None:
            continue
        revision = (item.metadata.labels or {}).get(label, item.metadata.name)
        yield ClusterEvent(
            at=_aware(item.metadata.creation_timestamp),
            kind="rollout",
            subject=f"{owner.kind} {owner.name}",
            reason="Rollout",
            text=f"new revision {revision}",
            warning=False,
        )


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
