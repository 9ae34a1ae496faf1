"""Row about what Kubernetes knows (requirement G4): do pods run and stay up, are nodes well, are volumes full?

Where a stack does not watch them, it shows zeros.
"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import Query, Row, series, stat, table

_JOB = 'job="cluster-state"'


def _pods(phase: str) -> str:
    return f'sum(kube_pod_status_phase{{{_JOB},phase="{phase}"}}) or vector(0)'


def _nodes(condition: str, status: int) -> str:
    """Number of nodes of which a condition is true (1) or not (0)."""
    selector = f'{_JOB},condition=~"{condition}",status="true"'
    return f"count(count by (node) (kube_node_status_condition{{{selector}}} == {status})) or vector(0)"


def _replicas(count: str) -> str:
    return f"max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_{count}_replicas{{{_JOB}}})"


_POD = "(.*?)(-[0-9]+|(-[0-9a-z]{8,10})?-[0-9a-z]{5})"
"""Name of a workload, and what Kubernetes adds to it for a pod of a StatefulSet, a Deployment or a DaemonSet."""


def _sizes(metric: str, resource: str, label: str, pattern: str) -> str:
    """What each container of a workload has; ``pattern`` finds the workload's name in ``label``."""
    selected = f'{metric}{{{_JOB},resource="{resource}"}}'
    named = f'label_replace({selected}, "workload", "$1", "{label}", "{pattern}")'
    return f"max by (workload, container) ({named}) or on () vector(0)"


def _requested(resource: str) -> str:
    return _sizes("kube_pod_container_resource_requests", resource, "pod", _POD)


def _recommended(resource: str) -> str:
    name = "kube_verticalpodautoscaler_status_recommendation_containerrecommendations_target"
    return _sizes(name, resource, "target_name", "(.*)")


RESTARTS = stat(
    "Restarts",
    "Times that Kubernetes started a container again, in the last hour.",
    "{restart}",
    Query(
        expr=f"sum(changes(kube_pod_container_status_restarts_total{{{_JOB}}}[1h])) or vector(0)", legend="last hour"
    ),
)
"""For the first row of the dashboard of operations."""

CLUSTER = Row(
    title="Pods, nodes and volumes, as Kubernetes knows them",
    panels=(
        stat(
            "Pods",
            "Pods of the platform that run, and that wait to run: no node has room, or a volume or an image is not "
            "there.",
            "{pod}",
            Query(expr=_pods("Running"), legend="run"),
            Query(expr=_pods("Pending"), legend="wait"),
            width=8,
        ),
        stat(
            "Nodes that are not well",
            "Nodes that are not ready, and those that run out of memory, disk or process numbers.",
            "{node}",
            Query(expr=_nodes("Ready", 0), legend="not ready"),
            Query(expr=_nodes(".+Pressure", 1), legend="under pressure"),
            limits=limits.at_most("not well"),
            width=8,
        ),
        stat(
            "Failed runs of jobs",
            "Runs of reports and backups that failed, as long as Kubernetes keeps them.",
            "{run}",
            Query(expr=f'sum(kube_job_failed{{{_JOB},condition="true"}}) or vector(0)', legend="failed"),
            width=8,
        ),
        series(
            "Volumes, as kubelets measure them",
            "Used share of the file system of each volume, and of its inodes: each file takes one. Volumes that are "
            "folders of one disk have the same.",
            "1",
            Query(
                expr="max by (persistentvolumeclaim) (obs:volume_used:ratio) or on () vector(0)",
                legend="{{persistentvolumeclaim}}",
            ),
            Query(
                expr="max by (persistentvolumeclaim) (obs:volume_inodes_used:ratio) or on () vector(0)",
                legend="{{persistentvolumeclaim}} inodes",
            ),
            limits=limits.platform("VolumeFilling"),
            width=24,
        ),
        series(
            "Containers that wait",
            "Containers that do not run, by the reason that Kubernetes gives.",
            "{container}",
            Query(
                expr=f"sum by (reason) (kube_pod_container_status_waiting_reason{{{_JOB}}}) or on () vector(0)",
                legend="{{reason}}",
            ),
            width=12,
        ),
        series(
            "Pods of what is scaled",
            "Pods of each workload with an autoscaler, as a share of what it may have.",
            "1",
            Query(
                expr=f"{_replicas('status_current')} / {_replicas('spec_max')} or on () vector(0)",
                legend="{{horizontalpodautoscaler}}",
            ),
            width=12,
        ),
        table(
            "Recommended sizes",
            "What each container requests of its node, and what the vertical autoscaler recommends from its use, "
            "largest first. Sizes are changed in the profile, by people: see 'ops scale plan'.",
            {"workload": "Workload", "container": "Container"},
            Query(expr=_recommended("memory"), legend="Memory recommended", unit="By"),
            Query(expr=_requested("memory"), legend="Memory requested", unit="By"),
            Query(expr=_recommended("cpu"), legend="Cores recommended", unit="{core}"),
            Query(expr=_requested("cpu"), legend="Cores requested", unit="{core}"),
            width=24,
            top=20,
        ),
    ),
)
"""For the dashboard of operations."""
