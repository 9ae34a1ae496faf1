"""CPU time of the platform's workloads as the nodes see it, and what a load costs beyond the idle platform."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubernetes.client.exceptions import ApiException
from prometheus_client.parser import text_string_to_metric_families
from urllib3.exceptions import HTTPError

from ops.core.context import Context
from ops.core.errors import OpsError, one_line

_NODE, _CONTAINER = "node_cpu_usage_seconds", "container_cpu_usage_seconds"
_SECONDS = 15
_SETTLE_SECONDS = 25.0


@dataclass(frozen=True)
class NodeUsage:
    """What the nodes have used so far.

    Attributes:
        cores: Cores of all nodes.
        total: CPU seconds of all nodes, whoever used them.
        of_pod: CPU seconds of the platform's pods, by name.
        workloads: Pod name -> workload.
        at: When each value was taken, seconds since 1970; the nodes measure every few seconds.
    """

    cores: float
    total: float
    of_pod: Mapping[str, float]
    workloads: Mapping[str, str]
    at: Mapping[str, float] = field(default_factory=dict)

    def busy(self, before: NodeUsage) -> float:
        """Cores that were busy since ``before``."""
        return (self.total - before.total) / _elapsed(self.at, before.at, _NODE)

    def by_workload(self, before: NodeUsage) -> dict[str, float]:
        """Cores that each workload used since ``before``; pods that are younger are left out, as is a restart."""
        cores_by_workload: dict[str, float] = {}
        for pod, seconds in self.of_pod.items():
            if pod in before.of_pod:
                name = self.workloads[pod]
                cores = max(0.0, seconds - before.of_pod[pod]) / _elapsed(self.at, before.at, pod)
                cores_by_workload[name] = cores_by_workload.get(name, 0.0) + cores
        return cores_by_workload

    @property
    def oldest(self) -> float:
        """When the oldest of its values was taken, seconds since 1970."""
        return min(self.at.values(), default=0.0)


@dataclass(frozen=True)
class Cost:
    """What a load cost.

    Attributes:
        seconds: CPU seconds by workload, those of the idle platform subtracted.
        busy: Cores that were busy on all nodes meanwhile, whoever used them.
        pods: Cores that the platform's pods used, the idle platform's included.
        cores: Cores of all nodes.
    """

    seconds: Mapping[str, float]
    busy: float
    pods: float
    cores: float

    def per_million(self, items: int, workloads: Sequence[str]) -> dict[str, float]:
        """CPU seconds per million items: of each workload that they pass, of all others, and of all together."""
        if not items:
            return {}
        seconds = {name: self.seconds.get(name, 0.0) for name in workloads}
        seconds["other workloads"] = sum(value for name, value in self.seconds.items() if name not in workloads)
        seconds["all"] = sum(seconds[name] for name in workloads)
        return {name: round(value / items * 1e6, 1) for name, value in seconds.items()}


def cost(before: NodeUsage, after: NodeUsage, idle: Mapping[str, float]) -> Cost:
    """What happened between two readings, beyond what the idle platform uses.

    Args:
        before: Reading from before the load.
        after: Reading from after it.
        idle: Cores by workload when nothing is sent.
    """
    seconds: dict[str, float] = {}
    for pod, used in after.of_pod.items():
        # A container that was restarted counts from zero again, a pod that is younger has nothing before.
        since = before.of_pod.get(pod, 0.0)
        name = after.workloads[pod]
        seconds[name] = seconds.get(name, 0.0) + (used - since if used >= since else used)
    whole = _elapsed(after.at, before.at, _NODE)
    elapsed = dict.fromkeys(seconds, whole)
    for pod in after.of_pod.keys() & before.of_pod.keys():
        elapsed[after.workloads[pod]] = _elapsed(after.at, before.at, pod)
    beyond = {name: used - idle.get(name, 0.0) * elapsed[name] for name, used in seconds.items()}
    return Cost(beyond, after.busy(before), sum(after.by_workload(before).values()), after.cores)


def settled(context: Context, since: float, seconds: float = _SETTLE_SECONDS) -> NodeUsage:
    """A reading whose values are all from after ``since`` (seconds since 1970): nodes measure every 10 s or so.

    After ``seconds`` the newest reading is taken as it is.
    """
    deadline = time.monotonic() + seconds
    while True:
        usage = of_nodes(context)
        if usage.oldest >= since or time.monotonic() >= deadline:
            return usage
        time.sleep(2.0)


def of_nodes(context: Context) -> NodeUsage:
    """Ask every node's kubelet, through the API server.

    Raises:
        OpsError: The API server does not let the user ask, or a node does not answer.
    """
    core = context.kube.core
    workloads = {pod.name: pod.workload for pod in context.kube.pods()}
    cores = total = 0.0
    of_pod: dict[str, float] = {}
    at: dict[str, float] = {}
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
    return NodeUsage(cores, total, of_pod, workloads, at)


def _elapsed(now: Mapping[str, float], before: Mapping[str, float], key: str) -> float:
    return max(now.get(key, 0.0) - before.get(key, 0.0), 1.0)


def _quantity(text: str) -> float:
    """Cores of ``4`` or ``3920m``."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
