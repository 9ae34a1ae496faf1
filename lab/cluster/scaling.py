"""Scales parts of a region to zero that it can do without beside a second region on two cores.

What stays is the way of metrics and alerts: gateways, Kafka, Prometheus, Alertmanager and the failover agent. Until
they are scaled up again, a file holds their numbers of replicas.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import LabError
from lab.cluster import lifecycle
from lab.cluster.network import wait_until
from lab.paths import LabPaths
from ops.core.files import write_private

SCALED_DOWN = frozenset(
    {
        "deployment/alerts-login",
        "deployment/backup-exporter",
        "deployment/jaeger-collector",
        "deployment/jaeger-query-confidential",
        "deployment/jaeger-query-internal",
        "deployment/jaeger-query-public",
        "deployment/jaeger-reader",
        "deployment/kafka-archive",
        "deployment/log-indexer",
        "deployment/metrics-login",
        "deployment/probes",
        "deployment/report-server",
        "deployment/index-manager",
        "deployment/service-graph",
        "statefulset/grafana",
        "statefulset/postgres",
        "statefulset/sampler",
        "statefulset/search",
        "statefulset/thanos-compact",
        "statefulset/thanos-store",
    }
)
"""Traces, logs, what people read, backups: ``kind/name``."""
_FIRST = ("statefulset/search", "statefulset/postgres")
"""Others ask these; they begin before them."""
_FILLED = frozenset({"statefulset/grafana", "statefulset/postgres"})
"""`pulumi up` itself talks to these: folders, dashboards, teams."""
_JOB = "cronjob/"
_GONE_LIMIT_S, _READY_LIMIT_S, _LOOK_S = 240.0, 600.0, 5.0
_CALL_LIMIT_S = 120.0
"""The API server is slow to answer while two regions start."""

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


def scale_down(paths: LabPaths, namespace: str, kubectl: Kubectl | None = None) -> dict[str, int]:
    """Scale the parts to nothing; safe to repeat.

    Returns:
        What was scaled down -> the replicas that it had.

    Raises:
        LabError: The API server refused, or pods were still there after four minutes.
    """
    ask = _asked(paths, namespace, kubectl)
    counts = _remember(paths, namespace, {**_running(ask), **_jobs(ask)})
    if counts:
        _suspend(ask, counts, on=True)
        _scale(ask, dict.fromkeys(_parts(counts), 0))
        wait_until(
            f"{len(counts)} parts of {namespace} to end",
            lambda: not any(_running(ask, "{.status.replicas}").values()),
            timeout_s=_GONE_LIMIT_S,
            every_s=1,
        )
    return counts


@contextmanager
def scale_down_on_creation(
    paths: LabPaths, namespace: str, kubectl: Kubectl | None = None, every_s: float = _LOOK_S
) -> Iterator[None]:
    """Scale parts to nothing inside the block as soon as somebody makes them, without those that are to be filled.

    Who waits for such a part is told that all of its replicas, none, are ready. What could not be done is left to
    `scale_down`.
    """
    ask, over = _asked(paths, namespace, kubectl), threading.Event()

    def scale_new() -> None:
        counts = {name: count for name, count in _running(ask).items() if name not in _FILLED}
        if counts:
            _remember(paths, namespace, counts)
            _scale(ask, dict.fromkeys(counts, 0))

    def follow() -> None:
        while not over.wait(every_s):
            with suppress(LabError):
                scale_new()

    thread = threading.Thread(target=follow, name=f"scale-down-{namespace}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def scale_up(paths: LabPaths, namespace: str, kubectl: Kubectl | None = None) -> dict[str, int]:
    """Give the parts the replicas again that they had, and wait until they are ready; safe to repeat.

    Returns:
        What was scaled up -> its replicas.

    Raises:
        LabError: The API server refused, or parts were not ready after ten minutes.
    """
    counts = _remembered(paths, namespace)
    if not counts:
        return {}
    ask = _asked(paths, namespace, kubectl)
    _scale_up(ask, namespace, _parts(counts))
    _suspend(ask, counts, on=False)
    _file(paths, namespace).unlink()
    return counts


def scale_up_filled(paths: LabPaths, namespace: str, kubectl: Kubectl | None = None) -> None:
    """Give the parts that Pulumi itself talks to their replicas again: what it made in them it removes there.

    Raises:
        LabError: The API server refused, or they were not ready after ten minutes.
    """
    counts = {name: count for name, count in _remembered(paths, namespace).items() if name in _FILLED}
    _scale_up(_asked(paths, namespace, kubectl), namespace, counts)


def namespaces(paths: LabPaths) -> dict[str, int]:
    """Namespaces of which something is scaled down -> how many parts and jobs."""
    files = sorted(_file(paths, "any").parent.glob("*.json"))
    return {file.stem: len(_remembered(paths, file.stem)) for file in files}


def forget(paths: LabPaths, namespace: str) -> None:
    """The namespace is gone, and with it what could be scaled up."""
    _file(paths, namespace).unlink(missing_ok=True)


def _scale_up(ask: Kubectl, namespace: str, parts: Mapping[str, int]) -> None:
    first = {name: count for name, count in parts.items() if name in _FIRST}
    for group in (first, {name: count for name, count in parts.items() if name not in first}):
        if group:
            _scale(ask, group)
            _wait_ready(ask, namespace, group)


def _wait_ready(ask: Kubectl, namespace: str, wanted: Mapping[str, int]) -> None:
    def ready() -> bool:
        ready_counts = _running(ask, "{.status.readyReplicas}")
        return all(ready_counts.get(name, 0) >= count for name, count in wanted.items())

    wait_until(f"{len(wanted)} parts of {namespace} to be ready", ready, timeout_s=_READY_LIMIT_S, every_s=2)


def _asked(paths: LabPaths, namespace: str, kubectl: Kubectl | None) -> Kubectl:
    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            done = (kubectl or lifecycle.kubectl)(paths, "--namespace", namespace, *arguments, timeout_s=_CALL_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise LabError(f"kubectl {arguments[0]} got no answer within {_CALL_LIMIT_S:.0f} s; repeat") from None
        if done.returncode:
            raise LabError(f"kubectl {arguments[0]} failed: {' '.join(done.stderr.split())[-300:]}")
        return done

    return ask


def _running(ask: Kubectl, count: str = "{.spec.replicas}") -> dict[str, int]:
    """Parts that have any replicas, by the field asked for."""
    line = "{range .items[*]}{.kind}/{.metadata.name} " + count + '{"\\n"}{end}'
    rows = [row.split() for row in ask("get", "deployments,statefulsets", "-o", f"jsonpath={line}").stdout.splitlines()]
    counted = {name.lower(): int(number) for name, number in (row for row in rows if len(row) == 2)}
    return {name: number for name, number in counted.items() if name in SCALED_DOWN and number}


def _jobs(ask: Kubectl) -> dict[str, int]:
    """Jobs that come by the clock and need what is scaled down (reports, backups), without those that wait already."""
    line = '{range .items[?(@.spec.suspend!=true)]}{.metadata.name}{"\\n"}{end}'
    return {f"{_JOB}{name}": 1 for name in ask("get", "cronjobs", "-o", f"jsonpath={line}").stdout.split()}


def _parts(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if not name.startswith(_JOB)}


def _suspend(ask: Kubectl, counts: Mapping[str, int], *, on: bool) -> None:
    for name in sorted(name for name in counts if name.startswith(_JOB)):
        ask("patch", name, "--type=merge", "--patch", json.dumps({"spec": {"suspend": on}}))


def _scale(ask: Kubectl, wanted: Mapping[str, int]) -> None:
    for count in sorted(set(wanted.values())):
        ask("scale", f"--replicas={count}", *sorted(name for name, number in wanted.items() if number == count))


def _file(paths: LabPaths, namespace: str) -> Path:
    return paths.state / "scaled-down" / f"{namespace}.json"


def _remembered(paths: LabPaths, namespace: str) -> dict[str, int]:
    file = _file(paths, namespace)
    counts: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    return counts


def _remember(paths: LabPaths, namespace: str, counts: Mapping[str, int]) -> dict[str, int]:
    """Add to what is scaled down, and keep what was known before; all of it."""
    known = {**counts, **_remembered(paths, namespace)}
    file = _file(paths, namespace)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n")
    return known
