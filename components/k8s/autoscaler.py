"""Autoscalers of workloads, by the use of their processors, and recommended sizes of containers, by Kubernetes'
vertical autoscaler, which changes nothing here (requirement S1).
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
from pulumi_kubernetes.apiextensions import CustomResource

from components.k8s.deployment_context import DeploymentContext
from components.k8s.pods import metadata


@dataclass(frozen=True, kw_only=True)
class Autoscale:
    """Bounds of a HorizontalPodAutoscaler on CPU use.

    Attributes:
        minimum: Fewest pods.
        maximum: Most pods.
        cpu_percent: Use that it aims at, in percent of the request.
        settle_s: For so long the use must have been low before a pod goes.
    """

    minimum: int
    maximum: int
    cpu_percent: int
    settle_s: int = 300


def autoscaler(
    parent: pulumi.Resource, context: DeploymentContext, workload: str, kind: str, bounds: Autoscale
) -> None:
    """The HorizontalPodAutoscaler of a workload, which has the workload's name.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: Name of the workload, whose number of pods Pulumi must leave alone.
        kind: ``StatefulSet`` or ``Deployment``.
        bounds: Its bounds.
    """
    k8s.autoscaling.v2.HorizontalPodAutoscaler(
        workload,
        metadata=metadata(context, workload, workload),
        spec=k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=k8s.autoscaling.v2.CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind=kind, name=workload
            ),
            min_replicas=bounds.minimum,
            max_replicas=bounds.maximum,
            metrics=[
                k8s.autoscaling.v2.MetricSpecArgs(
                    type="Resource",
                    resource=k8s.autoscaling.v2.ResourceMetricSourceArgs(
                        name="cpu",
                        target=k8s.autoscaling.v2.MetricTargetArgs(
                            type="Utilization", average_utilization=bounds.cpu_percent
                        ),
                    ),
                )
            ],
            behavior=_behaviour(bounds),
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _behaviour(bounds: Autoscale) -> k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs:
    """Pods come at once, twice as many in half a minute; they go one at a time, as with the disruption budget."""
    return k8s.autoscaling.v2.HorizontalPodAutoscalerBehaviorArgs(
        scale_up=k8s.autoscaling.v2.HPAScalingRulesArgs(
            stabilization_window_seconds=0,
            select_policy="Max",
            policies=[k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Percent", value=100, period_seconds=30)],
        ),
        scale_down=k8s.autoscaling.v2.HPAScalingRulesArgs(
            stabilization_window_seconds=bounds.settle_s,
            select_policy="Max",
            policies=[k8s.autoscaling.v2.HPAScalingPolicyArgs(type="Pods", value=1, period_seconds=60)],
        ),
    )


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
