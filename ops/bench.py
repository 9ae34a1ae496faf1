"""Throughput of the metrics path: points per second that the gateway acknowledges, and when Prometheus has them all.

The load goes the way of every client: OTLP over HTTP, TLS, password, from this machine, whose cores it shares with the
platform. It ends by itself after the given seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ops.bench_cpu import of_processes
from ops.context import Context
from ops.errors import OpsError
from ops.kube import wait_until
from ops.otlp import attributes, resource_of

LAYER = "device"
DEVICES_PER_REQUEST = 50
POINTS_PER_DEVICE = 20
_CATCH_UP_SECONDS = 180.0
_SCRAPE_SECONDS = 20.0


class Sender:
    """One client with its own devices: sends the same request again and again, with new times and values."""

    def __init__(self, context: Context, number: int, run: str) -> None:
        self._context, self._number = context, number
        self._request = ExportMetricsServiceRequest()
        self._points = []
        for device in range(DEVICES_PER_REQUEST):
            name = f"bench-{number}-{device:03}"
            resource = self._request.resource_metrics.add()
            resource.resource.attributes.extend(attributes(resource_of(LAYER, "bench", name, name)))
            scope = resource.scope_metrics.add()
            for index in range(POINTS_PER_DEVICE):
                metric = scope.metrics.add(name=f"bench_load_{index:02}")
                point = metric.gauge.data_points.add(attributes=attributes({"run": run, "sender": str(number)}))
                self._points.append(point)
        self.acknowledged = 0
        self.refused = 0
        self.last = 0

    def run(self, until: float) -> None:
        """Send until ``until`` (monotonic seconds); a refused request is sent again after a pause."""
        value = 0
        while time.monotonic() < until:
            value += 1
            now = time.time_ns()
            for point in self._points:
                point.time_unix_nano = now
                point.as_double = value
            if self._sent():
                self.acknowledged += len(self._points)
                self.last = value
            else:
                self.refused += 1
                time.sleep(0.1)

    def _sent(self) -> bool:
        try:
            status, rejected = self._context.otlp.metrics(self._request, LAYER)
        except OpsError:
            return False
        return status == 200 and not rejected


def measure(context: Context, seconds: float, senders: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the load and wait until both Prometheus hold its last points.

    Args:
        context: Clients of the platform.
        seconds: Length of the load.
        senders: Parallel clients.
        progress: Told what is going on.

    Returns:
        Figures: points per second acknowledged, refused requests, seconds until each Prometheus has everything, CPU
        seconds per million points and workload.

    Raises:
        OpsError: A Prometheus does not have everything in time.
    """
    run = f"{int(time.time())}"
    clients = [Sender(context, number, run) for number in range(senders)]
    before = of_processes(context)
    progress(f"{senders} clients send for {seconds:.0f} s")
    started = time.monotonic()
    with ThreadPoolExecutor(senders) as pool:
        for done in [pool.submit(client.run, started + seconds) for client in clients]:
            done.result()
    ended = time.monotonic()
    points = sum(client.acknowledged for client in clients)
    figures: dict[str, Any] = {
        "seconds": round(ended - started, 1),
        "points acknowledged": points,
        "points/s acknowledged": round(points / (ended - started)),
        "points per request": DEVICES_PER_REQUEST * POINTS_PER_DEVICE,
        "requests refused": sum(client.refused for client in clients),
    }
    waits = {replica: _Wait(context, replica, run, clients) for replica in context.platform.prometheus_replicas}
    for replica, wait in waits.items():
        progress(f"waiting for prometheus-{replica} to hold the last points")
        wait_until(wait.complete, _CATCH_UP_SECONDS, f"prometheus-{replica} to hold the last points", 0.5)
        figures[f"prometheus-{replica} complete after s"] = round(time.monotonic() - ended, 1)
    progress("waiting for the next scrape of CPU times")
    threading.Event().wait(_SCRAPE_SECONDS)
    after = of_processes(context)
    for job, used in sorted(after.items()):
        figures[f"CPU s per million points, {job}"] = round((used - before.get(job, 0.0)) / points * 1e6, 2)
    return figures


class _Wait:
    """Whether one Prometheus holds the last value of every series of the run."""

    def __init__(self, context: Context, replica: str, run: str, clients: list[Sender]) -> None:
        self._query = context.prometheus(replica)
        self._run, self._clients = run, clients

    def complete(self) -> bool:
        found = self._query.instant(f'min by (sender) ({{__name__=~"bench_load_.*",run="{self._run}"}})')
        lowest = {sample.labels["sender"]: sample.value for sample in found}
        return all(lowest.get(str(number), 0) >= client.last for number, client in enumerate(self._clients))
