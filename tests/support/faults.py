"""Faults on the live cluster: containers killed without warning, pods kept down, markers sent meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube, Pod
from ops.core.steps import say
from ops.core.web import Query
from tests.support.load import LAYER

MARKER = "obs_e2e_marker"


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


class Ticker:
    """Sends a marker once a second with its own second as the value, and queries it once a second."""

    def __init__(self, context: Context, run_id: str, query: Query) -> None:
        self._context, self._run, self._query = context, run_id, query
        self.sent: set[int] = set()
        self.queries = 0
        self.failed: list[str] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._ask)]

    @property
    def selector(self) -> str:
        """Selector of this ticker's series."""
        return f'{MARKER}{{run="{self._run}"}}'

    def __enter__(self) -> Ticker:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self) -> None:
        resource = otlp.resource_of(LAYER, "e2e-marker", "e2e-marker", device="e2e-marker")
        while not self._stopping.is_set():
            second = int(time.time())
            request = otlp.gauge(resource, MARKER, [(second * 10**9, float(second), {"run": self._run})])
            for _ in range(20):
                try:
                    if self._context.otlp.metrics(request, LAYER) == (200, 0):
                        self.sent.add(second)
                        break
                except OpsError:
                    pass
                time.sleep(0.5)
            self._stopping.wait(max(second + 1 - time.time(), 0.0))

    def _ask(self) -> None:
        seen = False
        while not self._stopping.is_set():
            try:
                answered = bool(self._query.instant(self.selector))
                problem = "" if answered or not seen else "empty answer"
            except OpsError as error:
                answered, problem = False, str(error)
            # Before the first marker arrives an empty answer is right.
            seen = seen or answered
            self.queries += seen
            if seen and problem:
                self.failed.append(problem)
            self._stopping.wait(1.0)
