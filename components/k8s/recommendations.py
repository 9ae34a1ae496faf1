"""Recommended sizes of containers, by Kubernetes' vertical autoscaler, which changes nothing here (requirement S1)."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource

from components.k8s.deployment_context import DeploymentContext
from components.k8s.pods import metadata

API = "autoscaling.k8s.io/v1"
KIND = "VerticalPodAutoscaler"


def size_recommendations(parent: pulumi.Resource, context: DeploymentContext, workload: str, kind: str) -> None:
    """The VerticalPodAutoscaler of a workload, which has the workload's name; nothing where the platform wants none.

    Its mode is always "Off": it has recommendations for every container in its status and touches no pod.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: Name of the workload.
        kind: ``StatefulSet``, ``Deployment`` or ``DaemonSet``.
    """
    if not context.size_recommendations:
        return
    CustomResource(
        workload,
        api_version=API,
        kind=KIND,
        metadata=metadata(context, workload, workload),
        spec={
            "targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": workload},
            "updatePolicy": {"updateMode": "Off"},
            "resourcePolicy": {"containerPolicies": [{"containerName": "*", "controlledValues": "RequestsAndLimits"}]},
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
