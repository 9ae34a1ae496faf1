"""The jobs: a pod for each kind that runs to its end, with the one password that its kind needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.backups import config
from components.backups.config import IMAGE, BackupTarget
from components.backups.schedule import Kind, job_schedule
from components.backups.sources import Source
from components.contracts import ObjectStorage, TlsIdentity
from components.k8s import (
    Container,
    DeploymentContext,
    Mount,
    Resources,
    Volume,
    config_files,
    cron_job,
    network_policy,
    secret_files,
    to_storage,
)

_FOLDER = "/etc/backup"


@dataclass(frozen=True, kw_only=True)
class JobArgs:
    """What every job needs.

    Attributes:
        context: Deployment context.
        target: Where backups go.
        time_zone: Time zone of the schedules.
        resources: Of a job's pod.
        trust: Any certificate of the platform, for its authority's.
    """

    context: DeploymentContext
    target: BackupTarget
    time_zone: str
    resources: Resources
    trust: TlsIdentity


def workload_name(kind: Kind) -> str:
    """Name of the CronJob of a kind, and of its pods' workload."""
    return f"backup-{kind}"


def backup_job(parent: pulumi.Resource, args: JobArgs, kind: Kind, cron: str, source: Source) -> k8s.batch.v1.CronJob:
    """The CronJob of one kind; it reaches its source and the object storage, and nobody reaches it."""
    context, workload, schedule = args.context, workload_name(kind), job_schedule(cron)
    network_policy(parent, context, workload=workload, egress=[*source.reach, to_storage(args.target.storage)])

    volumes = backup_volumes(
        parent,
        context,
        workload=workload,
        storage=args.target.storage,
        volume_source=lambda private: config.backup_config(
            args.target, source.section, limit_s=schedule.limit_s, private=private
        ),
        passwords=source.passwords,
    )
    return cron_job(
        parent,
        context,
        workload=workload,
        schedule=schedule,
        time_zone=args.time_zone,
        container=_container(kind, args.resources),
        volumes=volumes,
        access=source.access,
        trust=args.trust,
        after=source.after,
    )


def backup_volumes(
    parent: pulumi.Resource,
    context: DeploymentContext,
    *,
    workload: str,
    storage: ObjectStorage,
    volume_source: Callable[[bool], Mapping[str, Any]],
    passwords: Mapping[str, pulumi.Input[str]],
) -> list[Volume]:
    """Volumes ``config`` and ``auth`` of a program that uses the object storage.

    Args:
        parent: Component that owns their objects.
        context: Deployment context.
        workload: Workload that mounts them.
        storage: The object storage.
        made: The settings file, told whether the storage has an authority of its own: all of the secret that settings
            depend on.
        passwords: File name -> further password.
    """
    private = pulumi.Output.unsecret(storage.authority.apply(bool))
    settings = private.apply(lambda own: yaml.safe_dump(volume_source(own), sort_keys=True))
    public = config_files(parent, context, name=workload, workload=workload, files={"config.yaml": settings})
    secret = secret_files(
        parent,
        context,
        name=f"{workload}-auth",
        workload=workload,
        files={
            **passwords,
            config.KEY_ID: storage.access_key_id,
            config.SECRET_KEY: storage.secret_access_key,
            config.AUTHORITY: storage.authority,
        },
    )
    return [Volume(name="config", files=public), Volume(name="auth", files=secret)]


def _container(kind: Kind, resources: Resources) -> Container:
    return Container(
        name="backup",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.backup", "--config", f"{_FOLDER}/config.yaml", str(kind)],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
    )
