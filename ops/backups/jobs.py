"""Runs a backup's job now: a Job made from the CronJob, as the reports' are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from components.backups.jobs import workload_name
from components.backups.schedule import Kind
from ops.core.errors import OpsError
from ops.core.jobs import Started, job, wait
from ops.core.kube import Kube, call_errors

_REQUEST_S = 15


def run(kube: Kube, kind: str, tell: Callable[[str], None]) -> list[str]:
    """Start the job of a kind and wait for its end; the last lines that it wrote.

    Raises:
        OpsError: The stack has no such job, one is under way, it failed, or did not end in the time that it has.
    """
    started = start(kube, kind)
    tell(f"{started.name}: started")
    return wait(kube, started, tell)


def start(kube: Kube, kind: str) -> Started:
    """Make a Job of a kind's CronJob.

    Raises:
        OpsError: The stack has no such CronJob, or one of its Jobs is under way.
    """
    batch: Any = client.BatchV1Api(kube.core.api_client)
    cron_name = workload_name(Kind(kind))
    with call_errors(f"cannot read CronJob {cron_name} (does the stack make backups?)"):
        cron = batch.read_namespaced_cron_job(cron_name, kube.namespace, _request_timeout=_REQUEST_S)
    if cron.status.active:
        raise OpsError(f"{cron.status.active[0].name} is under way: wait for its end")
    body = job(batch.api_client.sanitize_for_serialization(cron), [], datetime.now(UTC))
    with call_errors(f"cannot start a job of {cron_name}"):
        created_job = batch.create_namespaced_job(
            kube.namespace, body, field_manager="obs-ops", _request_timeout=_REQUEST_S
        )
    return Started(name=created_job.metadata.name, limit_s=float(created_job.spec.active_deadline_seconds or 0))
