"""A CronJob, hardened like every other workload: a pod that runs to its end on a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.contracts import TlsIdentity
from components.k8s.deployment_context import DeploymentContext
from components.k8s.files import metadata
from components.k8s.pods import Container, Mount, Volume, pod_spec

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
    k8s.core.v1.ServiceAccount(
        workload,
        metadata=metadata(context, workload, workload),
        automount_service_account_token=False,
        opts=pulumi.ResourceOptions(parent=parent),
    )
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
                spec=_job(context, workload, schedule, container, volumes, access, trust),
            ),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after)),
    )


def _job(
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
            spec=_pod(context, workload, container, volumes, trust),
        ),
    )


def _pod(
    context: DeploymentContext, workload: str, container: Container, volumes: Sequence[Volume], trust: TlsIdentity
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
