"""Programs in the cluster: the Job of a CronJob run now and waited for, and a program in a pod that runs."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes import client

from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube, call_errors, kubectl_target

_REQUEST_S = 15
_PAUSE_S = 2.0
_SPARE_S = 60.0
_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Started:
    """A Job under way; ``limit_s`` is how long Kubernetes lets it run."""

    name: str
    limit_s: float


def start(kube: Kube, cron_name: str, hint: str, extra: Sequence[str] = ()) -> Started:
    """Make a Job of a CronJob.

    Args:
        kube: The cluster.
        cron_name: Name of the CronJob.
        hint: What to look at where it is not there.
        extra: Further arguments of the program.

    Raises:
        OpsError: The stack has no such CronJob, or one of its Jobs is under way.
    """
    batch = _batch(kube)
    with call_errors(f"cannot read CronJob {cron_name} ({hint})"):
        cron = batch.read_namespaced_cron_job(cron_name, kube.namespace, _request_timeout=_REQUEST_S)
    if cron.status.active:
        raise OpsError(f"{cron.status.active[0].name} is under way: wait for its end")
    body = job(batch.api_client.sanitize_for_serialization(cron), extra, datetime.now(UTC))
    with call_errors(f"cannot start a job of {cron_name}"):
        created_job = batch.create_namespaced_job(
            kube.namespace, body, field_manager="obs-ops", _request_timeout=_REQUEST_S
        )
    return Started(name=created_job.metadata.name, limit_s=float(created_job.spec.active_deadline_seconds or 0))


def job(cron: dict[str, Any], extra: Sequence[str], now: datetime) -> dict[str, Any]:
    """The Job of a CronJob, both as data; the CronJob owns it, so its own next run waits for it."""
    template, owner = cron["spec"]["jobTemplate"], cron["metadata"]
    spec: dict[str, Any] = template["spec"]
    [container] = spec["template"]["spec"]["containers"]
    container["command"] = [*container["command"], *extra]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{owner['name']}-by-hand-{now:%m%d%H%M%S}",
            "namespace": owner["namespace"],
            "labels": template.get("metadata", {}).get("labels", {}),
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": spec,
    }


def wait(kube: Kube, started: Started, tell: Callable[[str], None], pause: float | None = None) -> list[str]:
    """Wait for a Job's end; returns the last lines that it wrote.

    Args:
        kube: The cluster.
        started: The Job.
        tell: Gets what is going on.
        pause: Seconds between looks; else two.

    Raises:
        OpsError: It failed, with the reason and its last line; or it did not end in the time that it has.
    """
    deadline = time.monotonic() + started.limit_s + _SPARE_S
    problem = ""
    while time.monotonic() < deadline:
        try:
            job = _read(kube, started.name)
            problem = ""
        except OpsError as error:
            problem = f" ({error})"
        else:
            for condition in job.status.conditions or []:
                if condition.status == "True" and condition.type in ("Complete", "Failed"):
                    return _ended(kube, started.name, condition)
            tell(_state(kube, started.name, job.status.failed or 0))
        time.sleep(_PAUSE_S if pause is None else pause)
    raise OpsError(f"{started.name} did not end within {started.limit_s + _SPARE_S:.0f} s{problem}")


def _ended(kube: Kube, name: str, condition: Any) -> list[str]:
    lines = _log(kube, name)
    if condition.type == "Complete":
        return lines
    said = f": {one_line(lines[-1])}" if lines else ""
    raise OpsError(f"{name} failed ({condition.reason}){said}")


def _state(kube: Kube, name: str, failed: int) -> str:
    try:
        pods = _pods(kube, name)
    except OpsError as error:
        return f"{name}: {error}"
    phase = pods[-1].status.phase.lower() if pods else "no pod yet"
    return f"{name}: {phase}" + (f", {failed} tries failed" if failed else "")


def _log(kube: Kube, name: str) -> list[str]:
    """The last lines of its newest pod; none where they are gone, or cannot be read."""
    try:
        pods = _pods(kube, name)
        if not pods:
            return []
        with call_errors(f"cannot read the log of {name}"):
            text = kube.core.read_namespaced_pod_log(
                pods[-1].metadata.name, kube.namespace, tail_lines=_LINES, _request_timeout=_REQUEST_S
            )
    except OpsError:
        return []
    return [line for line in str(text).splitlines() if line.strip()]


def _pods(kube: Kube, name: str) -> list[Any]:
    """Its pods, the oldest first."""
    with call_errors(f"cannot list the pods of {name}"):
        pods = kube.core.list_namespaced_pod(
            kube.namespace, label_selector=f"batch.kubernetes.io/job-name={name}", _request_timeout=_REQUEST_S
        )
    return sorted(pods.items, key=lambda pod: pod.metadata.creation_timestamp)


def _read(kube: Kube, name: str) -> Any:
    with call_errors(f"cannot read Job {name}"):
        return _batch(kube).read_namespaced_job(name, kube.namespace, _request_timeout=_REQUEST_S)


def _batch(kube: Kube) -> Any:
    return client.BatchV1Api(kube.core.api_client)


EXEC_LIMIT_S = 60.0


def run_in_pod(
    kube: Kube,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    given: str | Path = "",
    seconds: float = EXEC_LIMIT_S,
) -> str:
    """Run a program in a container; what it prints.

    Args:
        kube: The namespace.
        pod: Name of the pod.
        container: Name of the container.
        command: Program and arguments.
        given: Text for its standard input, or the file that is it.
        seconds: Time that it has.

    Raises:
        OpsError: It failed, with the last line that it said; or it took too long and was ended.
    """
    program = shutil.which("kubectl")
    if program is None:
        raise OpsError("`kubectl` is not on PATH: it reaches into the pods")
    line = [program, *kubectl_target(kube.namespace, kube.context), "exec", "-i", pod, "-c", container, "--", *command]
    what = f"{command[0]} in {pod}"
    try:
        if isinstance(given, Path):
            with given.open("rb") as source:
                done = subprocess.run(line, stdin=source, capture_output=True, timeout=seconds, check=False)
        else:
            done = subprocess.run(line, input=given.encode(), capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise OpsError(f"{what} took over {seconds:.0f} s and was ended") from None
    except OSError as error:
        raise OpsError(f"{what}: {error.strerror}") from None
    if done.returncode != 0:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        # kubectl's own last line only repeats the exit code.
        told = [line for line in said if not line.startswith("command terminated with exit code")] or said
        raise OpsError(f"{what} failed: {one_line(told[-1] if told else f'exit code {done.returncode}')}")
    return done.stdout.decode(errors="replace")
