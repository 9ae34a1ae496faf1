"""Faults on the live cluster: containers killed without warning, pods kept down."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core.kube import Kube, Pod
from ops.core.steps import say


def kill(kube: Kube, pod: Pod) -> str:
    """Kill every process of the pod's containers with SIGKILL; how it was done.

    A forced deletion is no kill: the kubelet still ends the containers gracefully. The embedded cluster's containers
    are processes of this machine, so they can be killed for real. On a cluster elsewhere the pod is deleted with one
    second of grace, the closest that the API offers.
    """
    say(f"killing {pod.name}")
    process_ids = [process for container in pod.container_ids for process in processes(container)]
    for process in process_ids:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if process_ids:
        return f"SIGKILL to {len(process_ids)} process{'' if len(process_ids) == 1 else 'es'}"
    kube.core.delete_namespaced_pod(pod.name, kube.namespace, grace_period_seconds=1, _request_timeout=15)
    return "deleted with 1 s of grace"


def processes(container: str) -> list[int]:
    """Processes of this machine that run in a container."""
    process_ids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            groups = (entry / "cgroup").read_text()
        except OSError:
            continue
        if container and container in groups:
            process_ids.append(int(entry.name))
    return process_ids


@contextmanager
def scaled(kube: Kube, stateful_set: str, replicas: int, normal: int) -> Iterator[None]:
    """Keep a StatefulSet at fewer replicas inside the block; always scales back."""
    say(f"{stateful_set}: {replicas} of {normal} pods")
    kube.scale(stateful_set, replicas)
    try:
        yield
    finally:
        say(f"{stateful_set}: {normal} of {normal} pods again")
        kube.scale(stateful_set, normal)
