"""One pod on every node, hardened like every other workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.k8s.deployment_context import DeploymentContext
from components.k8s.files import metadata
from components.k8s.services import _service
from components.k8s.workload import Workload, _service_account, _template


def daemon_set(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: Workload,
    *,
    after: Sequence[pulumi.Resource] = (),
    timeout: str = "10m",
) -> k8s.apps.v1.DaemonSet:
    """A DaemonSet with ServiceAccount; nodes are rolled one after the other.

    It has no disruption budget: draining a node takes no notice of the pods of a DaemonSet, and a budget counts only
    pods of controllers that have a number of replicas.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: The pods; their number is the number of nodes, whatever ``replicas`` says.
        after: Resources that must exist first.
        timeout: How long ``pulumi up`` waits for all pods to be ready.

    Raises:
        ValueError: The workload asks for an autoscaler.
    """
    if workload.autoscale is not None:
        raise ValueError(f"{workload.name}: a DaemonSet has a pod on every node and no autoscaler")
    _service_account(parent, context, workload.name)
    return k8s.apps.v1.DaemonSet(
        workload.name,
        metadata=metadata(context, workload.name, workload.name),
        spec=k8s.apps.v1.DaemonSetSpecArgs(
            revision_history_limit=3,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload.name)),
            update_strategy=k8s.apps.v1.DaemonSetUpdateStrategyArgs(
                type="RollingUpdate",
                # The new pod first: a node is never without one.
                rolling_update=k8s.apps.v1.RollingUpdateDaemonSetArgs(max_surge=1, max_unavailable=0),
            ),
            template=_template(context, workload),
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout, delete="5m"),
        ),
    )


def node_service(
    parent: pulumi.Resource, context: DeploymentContext, *, workload: str, ports: Mapping[str, int]
) -> k8s.core.v1.Service:
    """A ClusterIP Service that leads to the pod on the caller's own node, and nowhere else."""
    spec = {"type": "ClusterIP", "internal_traffic_policy": "Local"}
    return _service(parent, context, workload, workload, ports, spec, await_it=False)
