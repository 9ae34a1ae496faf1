"""Hardened workloads: what every pod of the platform has in common, whatever keeps it running.

A component says what is its own (image, command, files, ports, probes); everything that Pod Security "restricted" and
our availability rules ask for is added here and cannot be left out. Deployments and StatefulSets, one pod on every
node, and pods that run to their end on a schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import TlsIdentity
from components.k8s.autoscaler import Autoscale, autoscaler, size_recommendations
from components.k8s.deployment_context import DeploymentContext
from components.k8s.network import _service
from components.k8s.pods import Container, FileSet, Mount, Volume, metadata, pod_spec

CHECKSUM = "obs.config/checksum"
"""Pod annotation with the checksum of all mounted files that a process reads only when it starts."""
CLAIM_SIZES = "spec.volumeClaimTemplates[*].spec.resources.requests.storage"
CLAIM_CLASSES = "spec.volumeClaimTemplates[*].spec.storageClassName"
"""Properties of a StatefulSet that Pulumi leaves as they are: a change would end all pods and grow nothing. Volumes
follow the settings by `ops storage grow`."""
CERTIFICATE_READ, AT_START = "obs.tls/read", "at-start"
"""Pod annotation, and its value where a process reads its certificate only when it starts: `ops certificates`."""


@dataclass(frozen=True, kw_only=True)
class StorageClaim:
    """A volume of its own for every pod of a StatefulSet; mount it by ``name``."""

    name: str
    size: str


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
    """A StatefulSet with ServiceAccount, disruption budget and (when asked for) autoscaler and recommended sizes.

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
            template=_template(parent, context, workload),
            volume_claim_templates=[_claim(parent, context, workload.name, claim) for claim in claims],
        ),
        opts=_options(parent, workload, after, timeout, [CLAIM_SIZES, CLAIM_CLASSES] if claims else []),
    )
    _disruption_budget_and_autoscaler(parent, context, workload, "StatefulSet")
    size_recommendations(parent, context, workload.name, "StatefulSet")
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
    """A Deployment with ServiceAccount, disruption budget and (when asked for) autoscaler and recommended sizes.

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
            template=_template(parent, context, workload),
        ),
        opts=_options(parent, workload, after, timeout),
    )
    _disruption_budget_and_autoscaler(parent, context, workload, "Deployment")
    size_recommendations(parent, context, workload.name, "Deployment")
    return resource


def _options(
    parent: pulumi.Resource,
    workload: Workload,
    after: Sequence[pulumi.Resource],
    timeout: str,
    left: Sequence[str] = (),
) -> pulumi.ResourceOptions:
    """Options of the workload resource; an autoscaler owns the number of replicas, and ``left`` stays as it is."""
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=list(after),
        ignore_changes=[*(["spec.replicas"] if workload.autoscale else []), *left] or None,
        custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout, delete="5m"),
    )


def _template(
    parent: pulumi.Resource, context: DeploymentContext, workload: Workload
) -> k8s.core.v1.PodTemplateSpecArgs:
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
            placement=context.placement(parent),
            pull_secrets=context.pull_secrets,
        ),
    )


def _claim(
    parent: pulumi.Resource, context: DeploymentContext, workload: str, claim: StorageClaim
) -> k8s.core.v1.PersistentVolumeClaimArgs:
    """A volume claim template of the stage's StorageClass, or of the platform's."""
    return k8s.core.v1.PersistentVolumeClaimArgs(
        api_version="v1",
        kind="PersistentVolumeClaim",
        metadata=k8s.meta.v1.ObjectMetaArgs(name=claim.name, labels=naming.selector(workload)),
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=context.placement(parent).storage_class or context.storage_class,
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": claim.size}),
        ),
    )


def _service_account(parent: pulumi.Resource, context: DeploymentContext, name: str) -> None:
    """An own ServiceAccount without a token of the cluster's."""
    owned = metadata(context, name, name)
    owned.annotations = context.placement(parent).service_account_annotations or None
    k8s.core.v1.ServiceAccount(
        name,
        metadata=owned,
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
    autoscaler(parent, context, workload.name, kind, workload.autoscale)


def daemon_set(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: Workload,
    *,
    after: Sequence[pulumi.Resource] = (),
    timeout: str = "10m",
) -> k8s.apps.v1.DaemonSet:
    """A DaemonSet with ServiceAccount and (when asked for) recommended sizes; nodes are rolled one after the other.

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
    size_recommendations(parent, context, workload.name, "DaemonSet")
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
            template=_template(parent, context, workload),
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


TRUST_MOUNT = "/etc/trust"
"""Folder with ``ca.crt``, the certificate of the platform's authority."""
MISTAKE = 2
"""Exit code of a program whose settings are wrong: trying again changes nothing."""
_FIELDS = 5
_TRIES = 3
_TRUST_VOLUME = "trust"
_KEPT_S = 7 * 24 * 3600
_SUCCEEDED_KEPT, _FAILED_KEPT = 2, 3
_GRACE_S = 30


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When something that runs to its end is started.

    Attributes:
        cron: Minute, hour, day of the month, month and day of the week, in the time zone of the job.
        start_within_s: How late it may begin, for example since nothing could be started at that time. Later than that
            it is not made by itself.
        tries: How often it is tried again after it failed.
        limit_s: How long all tries together may take.
    """

    cron: str
    start_within_s: int
    tries: int = _TRIES
    limit_s: int = 3600

    def __post_init__(self) -> None:
        if len(self.cron.split()) != _FIELDS:
            raise ValueError(
                f"schedule {self.cron!r} has {len(self.cron.split())} fields, must have {_FIELDS}: "
                "minute, hour, day of the month, month, day of the week"
            )
        for name in ("start_within_s", "limit_s"):
            if getattr(self, name) < 1:
                raise ValueError(f"schedule {self.cron!r}: {name} is {getattr(self, name)}, must be 1 or more")


def cron_job(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    schedule: Schedule,
    time_zone: str,
    container: Container,
    volumes: Sequence[Volume],
    access: Sequence[str],
    trust: TlsIdentity,
    after: Sequence[pulumi.Resource] = (),
    suspended: bool = False,
) -> k8s.batch.v1.CronJob:
    """A CronJob with a ServiceAccount of its own; two of its pods never run at once.

    Args:
        parent: Component that owns it.
        context: Deployment context.
        workload: Name of the CronJob; its pods and policies share it.
        schedule: When, how late, how often, how long.
        time_zone: IANA name of the time zone of the schedule.
        container: The program; it serves nothing, so it has no ports and no probes.
        volumes: Volumes that it mounts.
        access: Access labels of the servers that it calls.
        trust: Any certificate of the platform; only its authority's certificate is mounted, at ``/etc/trust``.
        after: Resources that must exist first: a run before them would fail.
        suspended: Whether it is only there to be started by hand.

    Raises:
        ValueError: The container has a port or a probe.
    """
    if container.ports or container.startup or container.liveness or container.readiness:
        raise ValueError(f"{workload}/{container.name}: a pod that runs to its end has no ports and no probes")
    _service_account(parent, context, workload)
    return k8s.batch.v1.CronJob(
        workload,
        metadata=metadata(context, workload, workload),
        spec=k8s.batch.v1.CronJobSpecArgs(
            schedule=schedule.cron,
            time_zone=time_zone,
            concurrency_policy="Forbid",
            suspend=suspended,
            starting_deadline_seconds=schedule.start_within_s,
            successful_jobs_history_limit=_SUCCEEDED_KEPT,
            failed_jobs_history_limit=_FAILED_KEPT,
            job_template=k8s.batch.v1.JobTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(labels=naming.labels(workload)),
                spec=_job(parent, context, workload, schedule, container, volumes, access, trust),
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after)),
    )


def _job(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: str,
    schedule: Schedule,
    container: Container,
    volumes: Sequence[Volume],
    access: Sequence[str],
    trust: TlsIdentity,
) -> k8s.batch.v1.JobSpecArgs:
    requirement = k8s.batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(operator="In", values=[MISTAKE])
    evicted = k8s.batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(type="DisruptionTarget", status="True")
    return k8s.batch.v1.JobSpecArgs(
        backoff_limit=schedule.tries,
        active_deadline_seconds=schedule.limit_s,
        ttl_seconds_after_finished=_KEPT_S,
        # A pod that still stops does not run beside its successor.
        pod_replacement_policy="Failed",
        pod_failure_policy=k8s.batch.v1.PodFailurePolicyArgs(
            rules=[
                k8s.batch.v1.PodFailurePolicyRuleArgs(action="FailJob", on_exit_codes=requirement),
                k8s.batch.v1.PodFailurePolicyRuleArgs(action="Ignore", on_pod_conditions=[evicted]),
            ]
        ),
        template=k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(labels={**naming.labels(workload), **dict.fromkeys(access, "true")}),
            spec=_pod(parent, context, workload, container, volumes, trust),
        ),
    )


def _pod(
    parent: pulumi.Resource,
    context: DeploymentContext,
    workload: str,
    container: Container,
    volumes: Sequence[Volume],
    trust: TlsIdentity,
) -> k8s.core.v1.PodSpecArgs:
    """The hardened pod; what runs to its end is to Kubernetes the same as a container that only starts a pod up."""
    mounts = [*container.mounts, Mount(volume=_TRUST_VOLUME, path=TRUST_MOUNT)]
    spec = pod_spec(
        workload=workload,
        image=context.image,
        containers=(),
        init_containers=[replace(container, mounts=mounts)],
        volumes=volumes,
        tls=None,
        grace_s=_GRACE_S,
        host_aliases={},
        placement=context.placement(parent),
        pull_secrets=context.pull_secrets,
    )
    held = k8s.core.v1.VolumeArgs(
        name=_TRUST_VOLUME,
        secret=k8s.core.v1.SecretVolumeSourceArgs(
            secret_name=trust.secret_name,
            default_mode=0o440,
            items=[k8s.core.v1.KeyToPathArgs(key="ca.crt", path="ca.crt")],
        ),
    )
    spec.containers, spec.init_containers = spec.init_containers or [], None
    spec.volumes = [*(spec.volumes or []), held]  # type: ignore[misc]
    # One pod that runs to its end: there is nothing to spread.
    spec.topology_spread_constraints = None
    spec.restart_policy = "Never"
    return spec
