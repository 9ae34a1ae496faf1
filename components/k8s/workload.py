"""Hardened workloads: what every pod of the platform has in common.

A component says what is its own (image, command, files, ports, probes); everything that Pod Security "restricted" and
our availability rules ask for is added here and cannot be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import TlsIdentity
from components.k8s.deployment_context import DeploymentContext
from components.k8s.files import FileSet, metadata
from components.k8s.pods import Container, Volume, pod_spec

CHECKSUM = "obs.config/checksum"
"""Pod annotation with the checksum of all mounted files that a process reads only when it starts."""
CERTIFICATE_READ, AT_START = "obs.tls/read", "at-start"
"""Pod annotation, and its value where a process reads its certificate only when it starts: `ops certificates`."""


@dataclass(frozen=True, kw_only=True)
class StorageClaim:
    """A volume of its own for every pod of a StatefulSet; mount it by ``name``."""

    name: str
    size: str


@dataclass(frozen=True, kw_only=True)
class Autoscale:
    """Bounds of a HorizontalPodAutoscaler on CPU use."""

    minimum: int
    maximum: int
    cpu_percent: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A set of equal pods.

    Attributes:
        name: Name of the workload; its pods, ServiceAccount, PodDisruptionBudget and policies share it.
        replicas: Pods (where ``autoscale`` is set: pods at creation).
        containers: Containers; the first is the main one.
        volumes: Volumes that containers mount.
        tls: Certificate, mounted at ``/etc/tls`` in every container.
        access: Access labels of the servers that these pods call.
        init_containers: Run one after the other before the containers.
        grace_s: Seconds between SIGTERM and SIGKILL.
        autoscale: Bounds of the autoscaler, or None for a fixed number.
        host_aliases: Host name -> address, for names that the cluster's DNS does not know.
        certificate_at_start: A process of it reads the certificate only when it starts.
    """

    name: str
    replicas: int
    containers: Sequence[Container]
    volumes: Sequence[Volume] = ()
    tls: TlsIdentity | None = None
    access: Sequence[str] = ()
    init_containers: Sequence[Container] = ()
    grace_s: int = 30
    autoscale: Autoscale | None = None
    host_aliases: Mapping[str, str] = field(default_factory=dict)
    certificate_at_start: bool = False


def stateful_set(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: Workload,
    *,
    claims: Sequence[StorageClaim] = (),
    parallel: bool = True,
    after: Sequence[pulumi.Resource] = (),
    timeout: str = "10m",
) -> k8s.apps.v1.StatefulSet:
    """A StatefulSet with ServiceAccount, disruption budget and (when asked for) autoscaler.

    It uses the headless Service ``<name>-headless``, which the caller makes with ``services.headless_service``.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: The pods.
        claims: Persistent volumes of each pod.
        parallel: Start all pods at once (a rolling update still goes one by one).
        after: Resources that must exist first.
        timeout: How long ``pulumi up`` waits for all pods to be ready.
    """
    _service_account(parent, context, workload.name)
    resource = k8s.apps.v1.StatefulSet(
        workload.name,
        metadata=metadata(context, workload.name, workload.name),
        spec=k8s.apps.v1.StatefulSetSpecArgs(
            service_name=naming.headless(workload.name),
            replicas=workload.replicas,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload.name)),
            pod_management_policy="Parallel" if parallel else "OrderedReady",
            update_strategy=k8s.apps.v1.StatefulSetUpdateStrategyArgs(type="RollingUpdate"),
            persistent_volume_claim_retention_policy=k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                when_deleted="Retain", when_scaled="Retain"
            ),
            template=_template(context, workload),
            volume_claim_templates=[_claim(context, workload.name, claim) for claim in claims],
        ),
        opts=_options(parent, workload, after, timeout),
    )
    _disruption_budget_and_autoscaler(parent, context, workload, "StatefulSet")
    return resource


def deployment(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: Workload,
    *,
    recreate: bool = False,
    after: Sequence[pulumi.Resource] = (),
    timeout: str = "10m",
) -> k8s.apps.v1.Deployment:
    """A Deployment with ServiceAccount, disruption budget and (when asked for) autoscaler.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: The pods.
        recreate: Stop the old pod before the new one starts, instead of a rolling update.
        after: Resources that must exist first.
        timeout: How long ``pulumi up`` waits for it.
    """
    _service_account(parent, context, workload.name)
    rolling = k8s.apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
    resource = k8s.apps.v1.Deployment(
        workload.name,
        metadata=metadata(context, workload.name, workload.name),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=workload.replicas,
            revision_history_limit=3,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload.name)),
            strategy=k8s.apps.v1.DeploymentStrategyArgs(type="Recreate")
            if recreate
            else k8s.apps.v1.DeploymentStrategyArgs(type="RollingUpdate", rolling_update=rolling),
            template=_template(context, workload),
        ),
        opts=_options(parent, workload, after, timeout),
    )
    _disruption_budget_and_autoscaler(parent, context, workload, "Deployment")
    return resource


def _options(
    parent: pulumi.Resource, workload: Workload, after: Sequence[pulumi.Resource], timeout: str
) -> pulumi.ResourceOptions:
    """Options of the workload resource; an autoscaler owns the number of replicas."""
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=list(after),
        ignore_changes=["spec.replicas"] if workload.autoscale else None,
        custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout, delete="5m"),
    )


def _template(context: DeploymentContext, workload: Workload) -> k8s.core.v1.PodTemplateSpecArgs:
    """The pod template: labels, checksum of all mounted files, hardened spec."""
    sums = [
        volume.files.checksum
        for volume in workload.volumes
        if isinstance(volume.files, FileSet) and not volume.reloaded
    ]
    annotations: dict[str, pulumi.Input[str]] = {CERTIFICATE_READ: AT_START} if workload.certificate_at_start else {}
    if sums:
        annotations[CHECKSUM] = pulumi.Output.all(*sums).apply(lambda parts: "-".join(part[:16] for part in parts))
    return k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels={**naming.labels(workload.name), **dict.fromkeys(workload.access, "true")},
            annotations=annotations,
        ),
        spec=pod_spec(
            workload=workload.name,
            image=context.image,
            containers=workload.containers,
            init_containers=workload.init_containers,
            volumes=workload.volumes,
            tls=workload.tls,
            grace_s=workload.grace_s,
            host_aliases=workload.host_aliases,
        ),
    )


def _claim(context: DeploymentContext, workload: str, claim: StorageClaim) -> k8s.core.v1.PersistentVolumeClaimArgs:
    """A volume claim template of the platform's StorageClass."""
    return k8s.core.v1.PersistentVolumeClaimArgs(
        api_version="v1",
        kind="PersistentVolumeClaim",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=claim.name, labels=naming.selector(workload)),
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=context.storage_class,
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": claim.size}),
        ),
    )


def _service_account(parent: pulumi.Resource, context: DeploymentContext, name: str) -> None:
    """An own ServiceAccount without a token."""
    k8s.core.v1.ServiceAccount(
        name,
        metadata=metadata(context, name, name),
        automount_service_account_token=False,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _disruption_budget_and_autoscaler(
    parent: pulumi.Resource, context: DeploymentContext, workload: Workload, kind: str
) -> None:
    """Disruption budget of one pod, and the autoscaler."""
    k8s.policy.v1.PodDisruptionBudget(
        workload.name,
        metadata=metadata(context, workload.name, workload.name),
        spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=naming.selector(workload.name)),
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    if workload.autoscale is None:
        return
    k8s.autoscaling.v2.HorizontalPodAutoscaler(
        workload.name,
        metadata=metadata(context, workload.name, workload.name),
        spec=k8s.autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=k8s.autoscaling.v2.CrossVersionObjectReferenceArgs(
                api_version="apps/v1", kind=kind, name=workload.name
            ),
            min_replicas=workload.autoscale.minimum,
            max_replicas=workload.autoscale.maximum,
            metrics=[
                k8s.autoscaling.v2.MetricSpecArgs(
                    type="Resource",
                    resource=k8s.autoscaling.v2.ResourceMetricSourceArgs(
                        name="cpu",
                        target=k8s.autoscaling.v2.MetricTargetArgs(
                            type="Utilization", average_utilization=workload.autoscale.cpu_percent
                        ),
                    ),
                )
            ],
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
