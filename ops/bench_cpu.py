"""CPU time of the platform's workloads: as their processes tell it, and as the nodes see it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kubernetes.client.exceptions import ApiException
from prometheus_client.parser import text_string_to_metric_families
from urllib3.exceptions import HTTPError

from ops.context import Context
from ops.errors import OpsError, one_line

_CPU = '{__name__=~"process_cpu_seconds_total|otelcol_process_cpu_seconds_total"}'
_NODE, _CONTAINER = "node_cpu_usage_seconds", "container_cpu_usage_seconds"
READ = "read"
"""Key of `NodeUsage.at`: when the nodes were asked."""
_SECONDS = 15


def of_processes(context: Context) -> dict[str, float]:
    """CPU seconds used so far, per scrape job, as the processes tell it."""
    found = context.thanos.instant(f"sum by (job) ({_CPU})")
    return {sample.labels.get("job", ""): sample.value for sample in found}


@dataclass(frozen=True)
class NodeUsage:
    """What the nodes have used so far.

    Attributes:
        cores: Cores of all nodes.
        total: CPU seconds of all nodes, whoever used them.
        of_pod: CPU seconds of the platform's pods, by name.
        generator: CPU seconds of this process.
        workloads: Pod name -> workload.
        at: When each value was taken, seconds since 1970; the nodes measure every few seconds.
    """

    cores: float
    total: float
    of_pod: Mapping[str, float]
    generator: float
    workloads: Mapping[str, str]
    at: Mapping[str, float] = field(default_factory=dict)

    def busy(self, before: NodeUsage) -> float:
        """Cores that were busy since ``before``."""
        return (self.total - before.total) / _elapsed(self.at, before.at, _NODE)

    def by_workload(self, before: NodeUsage) -> dict[str, float]:
        """Cores that each workload used since ``before``; pods that are younger are left out."""
        found: dict[str, float] = {}
        for pod, seconds in self.of_pod.items():
            if pod in before.of_pod:
                name = self.workloads[pod]
                cores = (seconds - before.of_pod[pod]) / _elapsed(self.at, before.at, pod)
                found[name] = found.get(name, 0.0) + cores
        return found

    def seconds(self, before: NodeUsage, workload: str) -> float:
        """CPU seconds of a workload's pods since ``before``."""
        return sum(
            seconds - before.of_pod[pod]
            for pod, seconds in self.of_pod.items()
            if pod in before.of_pod and self.workloads[pod] == workload
        )


def of_nodes(context: Context) -> NodeUsage:
    """Ask every node's kubelet, through the API server.

    Raises:
        OpsError: The API server does not let the user ask, or a node does not answer.
    """
    core = context.kube.core
    workloads = {pod.name: pod.workload for pod in context.kube.pods()}
    cores = total = 0.0
    of_pod: dict[str, float] = {}
    at: dict[str, float] = {READ: time.time()}
    try:
        for node in core.list_node(_request_timeout=_SECONDS).items:
            cores += _quantity(node.status.capacity["cpu"])
            text = core.connect_get_node_proxy_with_path(
                node.metadata.name, "metrics/resource", _request_timeout=_SECONDS
            )
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    pod = sample.labels.get("pod", "")
                    moment = float(sample.timestamp or time.time())
                    if family.name == _NODE:
                        total += sample.value
                        at[_NODE] = max(at.get(_NODE, 0.0), moment)
                    elif (
                        family.name == _CONTAINER
                        and pod in workloads
                        and sample.labels.get("namespace") == context.kube.namespace
                    ):
                        of_pod[pod] = of_pod.get(pod, 0.0) + sample.value
                        at[pod] = max(at.get(pod, 0.0), moment)
    except ApiException as error:
        raise OpsError(f"the nodes do not tell their CPU times: HTTP {error.status} {one_line(error.reason)}") from None
    except (HTTPError, ValueError) as error:
        raise OpsError(f"the nodes do not tell their CPU times: {one_line(error)}") from None
    return NodeUsage(cores, total, of_pod, time.process_time(), workloads, at)


def _elapsed(now: Mapping[str, float], before: Mapping[str, float], key: str) -> float:
    return max(now.get(key, 0.0) - before.get(key, 0.0), 1.0)


def _quantity(text: str) -> float:
    """Cores of ``4`` or ``3920m``."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
