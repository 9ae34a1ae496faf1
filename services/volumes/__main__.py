"""The program: ask the kubelets every interval, serve the latest round as metrics, stop when asked.

Runs as ``python3 -m services.volumes --config FILE``. What is too old is left out: an alert must not judge it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime import serving
from services.runtime.periodic import DedupLogger, PeriodicTask, operator_log
from services.runtime.serving import https_server
from services.volumes.kubelets import AskError, Kubelets, Round
from services.volumes.settings import VolumesSettings

_KEPT_INTERVALS = 3
_SIZES = {
    "volume_used_bytes": ("What is used of the file system of a volume", "used_bytes"),
    "volume_available_bytes": ("What a pod may still use of the file system of its volume", "available_bytes"),
    "volume_inodes_used": ("Inodes that are used of the file system of a volume", "used_inodes"),
    "volume_inodes": ("Inodes that the file system of a volume can have", "inodes"),
}

log = operator_log("volumes")
"""Writes one line for the operator."""


class VolumeMetrics(Collector):
    """The latest round, as metrics."""

    def __init__(self, kept_s: float, registry: CollectorRegistry) -> None:
        """Serve a round for so many seconds."""
        self._kept_s = kept_s
        self._latest: tuple[Round, float] | None = None
        registry.register(self)

    def publish(self, latest: Round) -> None:
        """Serve ``latest`` from now on."""
        self._latest = latest, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """The latest round, or nothing if it is too old."""
        latest = self._latest
        if latest is None or time.monotonic() - latest[1] > self._kept_s:
            return
        seen = latest[0]
        for name, (text, field) in _SIZES.items():
            family = GaugeMetricFamily(name, text, labels=["pod", "persistentvolumeclaim"])
            for volume in seen.volumes:
                value = getattr(volume, field)
                if value is not None:
                    family.add_metric([volume.pod, volume.claim], value)
            yield family
        yield GaugeMetricFamily("volume_nodes", "Nodes that have volumes of the platform", value=seen.nodes)
        yield GaugeMetricFamily(
            "volume_nodes_silent", "Nodes whose kubelet does not tell how full volumes are", value=len(seen.problems)
        )


class Service(serving.Service):
    """Rounds, metrics and probes behind one port."""

    def __init__(self, settings: VolumesSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._metrics = VolumeMetrics(_KEPT_INTERVALS * settings.interval_s, registry)
        self._kubelets = Kubelets(settings.kubernetes)
        self._problems, self._told = DedupLogger(log), set[str]()
        self._task = PeriodicTask("rounds", settings.interval_s, self._once)
        self.server = https_server(settings, registry, self._task.alive, program="volumes")

    def begin(self, stop: threading.Event) -> None:
        """Ask the kubelets."""
        self._task.start(stop)

    def _once(self) -> None:
        try:
            latest = self._kubelets.ask()
        except AskError as error:
            self._problems.report("API server", str(error))
            return
        self._problems.report("API server", "")
        for node in self._told | latest.problems.keys():
            self._problems.report(node, latest.problems.get(node, ""))
        self._told = set(latest.problems)
        self._metrics.publish(latest)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="volumes",
        description="How full volumes are.",
        make=lambda file: Service(VolumesSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
