"""Grafana on the live platform: its people, what they find, and what its replicas log."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from lab import key_files
from lab.directory import SECRETS, Secrets, folder
from lab.paths import LabPaths
from ops.core.grafana import WORKLOAD, Credentials, Grafana
from ops.core.kube import Kube

_NAMES = {"viewer": "viewer", "editor": "editor", "admin": "admin-person", "outsider": "outsider"}


def directory_credentials() -> Credentials:
    """People of the lab's directory, by the role that they have."""
    passwords = key_files.load(Secrets, folder(LabPaths.of_checkout()) / SECRETS, "the directory").people
    return Credentials.model_validate(
        {role: {"username": name, "password": passwords[name]} for role, name in _NAMES.items()}
    )


def visible_uids(visitor: Grafana) -> set[str]:
    """Uids of the dashboards that somebody finds."""
    return {hit["uid"] for hit in visitor.get("/api/search", {"type": "dash-db", "limit": "1000"})}


def log_lines(kube: Kube, since_s: int) -> list[dict[str, Any]]:
    """Lines of every replica's log of the last seconds; what is no JSON is left out."""
    lines: list[dict[str, Any]] = []
    for pod in kube.pods(WORKLOAD):
        text = kube.core.read_namespaced_pod_log(
            pod.name, kube.namespace, container=WORKLOAD, since_seconds=since_s, _request_timeout=15
        )
        for line in text.splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
    return lines


def started(kube: Kube) -> dict[str, tuple[float, float]]:
    """Replica -> when its pod was made, and when it was ready (seconds since 1970)."""
    listed = kube.core.list_namespaced_pod(
        kube.namespace, label_selector=f"app.kubernetes.io/name={WORKLOAD}", _request_timeout=15
    )
    return {
        pod.metadata.name: (
            pod.metadata.creation_timestamp.timestamp(),
            next(
                condition for condition in pod.status.conditions if condition.type == "Ready"
            ).last_transition_time.timestamp(),
        )
        for pod in listed.items
    }
