"""One of everything that runs twice or thrice: what a zone is made of where pods are spread over zones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from lab.cluster import disruptions
from lab.paths import LabPaths
from ops.core.context import Context
from ops.core.kube import Pod
from ops.drills.tools.faults import kill


def members(context: Context) -> list[Pod]:
    """The last pod of each workload that has several, and the primary Prometheus with its consumer.

    What runs once stands in another zone: nothing can be said about it by taking it away.
    """
    pods = sorted((pod for pod in context.kube.pods() if pod.workload), key=lambda pod: (pod.workload, pod.name))
    by_workload = {workload: list(group) for workload, group in groupby(pods, lambda pod: pod.workload)}
    primary = context.platform.prometheus_replicas[0]
    alone = [*by_workload[f"prometheus-{primary}"], *by_workload[f"metrics-consumer-{primary}"]]
    return [*(pods[-1] for pods in by_workload.values() if len(pods) > 1), *alone]


@contextmanager
def away(context: Context, pods: Sequence[Pod]) -> Iterator[str]:
    """Pods whose processes stand still inside the block, all at once, and are killed at its end.

    As with a machine that lost its power, nobody closes a connection or says good-bye, and what comes back starts
    anew. Frozen processes cannot be killed, so nobody starts them earlier either.
    """
    instance, uids = LabPaths.of_checkout().instance, [pod.uid for pod in pods]
    try:
        stopped = disruptions.freeze(instance, uids)
        assert stopped == len(pods), f"{stopped} of {len(pods)} pods run on this machine: drill where the lab runs"
        yield f"{stopped} pods frozen at once, killed at the end"
    finally:
        disruptions.thaw(instance, uids)
        for pod in pods:
            kill(context.kube, pod)
