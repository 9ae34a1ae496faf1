"""The program: ask the kubelets every interval, serve the latest round as metrics, stop when asked.

Runs as ``python3 -m services.volumes --config FILE``. What is too old is left out: an alert must not judge it.
"""

from __future__ import annotations

import ipaddress
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import urllib3
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.runtime import serving
from services.runtime.serving import DedupLogger, PeriodicTask, https_server, operator_log
from services.volumes import Kubernetes, VolumesSettings

_ANSWER_S: Final = 10.0


class AskError(Exception):
    """Somebody does not answer, or refuses; in one line."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume of a pod, as its kubelet measured it.

    Attributes:
        pod: Name of the pod.
        claim: Name of the PersistentVolumeClaim.
        used_bytes: What is used of its file system.
        available_bytes: What the pod may still use of it.
        used_inodes: Inodes of its file system that are used; None where the file system has no limit of them.
        inodes: How many it can have; None as above.
    """

    pod: str
    claim: str
    used_bytes: int
    available_bytes: int
    used_inodes: int | None = None
    inodes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round gave.

    Attributes:
        volumes: Volumes of the nodes that answered.
        nodes: Nodes that have volumes of the platform.
        problems: Address of a node -> why it told nothing.
    """

    volumes: tuple[Volume, ...]
    nodes: int
    problems: Mapping[str, str]


class Kubelets:
    """Reads with one token, which is read anew for each round, as is the authority."""

    def __init__(self, settings: Kubernetes) -> None:
        self._settings = settings

    def ask(self) -> Round:
        """Ask every node that has a volume of the platform.

        Raises:
            AskError: The API server does not tell which nodes these are.
        """
        settings, volumes, problems = self._settings, list[Volume](), dict[str, str]()
        try:
            token = settings.token_file.read_text().strip()
            pool = urllib3.PoolManager(ca_certs=str(settings.ca_file), timeout=_ANSWER_S, retries=False)
        except OSError as error:
            raise AskError(f"the token cannot be read: {error}") from None
        with pool:
            client = _Client(pool, token)
            pods = client.get(f"{settings.api}/api/v1/namespaces/{quote(settings.namespace)}/pods")
            nodes = sorted(set(_nodes(pods)))
            for node in nodes:
                try:
                    summary = client.get(f"https://{_host(node)}:{settings.kubelet_port}/stats/summary")
                    volumes += _volumes(summary, settings.namespace)
                except AskError as error:
                    problems[node] = str(error)
        return Round(volumes=tuple(volumes), nodes=len(nodes), problems=problems)


class _Client:
    def __init__(self, pool: urllib3.PoolManager, token: str) -> None:
        self._pool, self._headers = pool, {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def get(self, url: str) -> dict[str, Any]:
        try:
            answer = self._pool.request("GET", url, headers=self._headers, redirect=False)
            if answer.status != HTTPStatus.OK:
                raise AskError(f"{url}: answers {answer.status}")
            content: dict[str, Any] = json.loads(answer.data)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise AskError(f"{url}: {error!r}") from None
        return content


def _nodes(pods: Mapping[str, Any]) -> Iterator[str]:
    """Addresses of the nodes of pods that have a volume."""
    for pod in pods["items"]:
        host = pod.get("status", {}).get("hostIP")
        if host and any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", ())):
            yield host


def _host(address: str) -> str:
    """An address as it stands in a URL."""
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address


def _volumes(summary: Mapping[str, Any], namespace: str) -> Iterator[Volume]:
    """Volumes with a claim of the namespace; one that is not measured yet is left out."""
    for pod in summary.get("pods") or ():
        for volume in pod.get("volume") or ():
            claim = volume.get("pvcRef")
            if claim and claim["namespace"] == namespace and {"usedBytes", "availableBytes"} <= volume.keys():
                # A file system that makes inodes as it needs them tells 0, or nothing.
                limited = bool(volume.get("inodes")) and "inodesUsed" in volume
                yield Volume(
                    pod=pod["podRef"]["name"],
                    claim=claim["name"],
                    used_bytes=volume["usedBytes"],
                    available_bytes=volume["availableBytes"],
                    used_inodes=volume["inodesUsed"] if limited else None,
                    inodes=volume["inodes"] if limited else None,
                )


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
