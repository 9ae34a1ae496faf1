"""The jobs: a pod for each kind that runs to its end, with the one password that its kind needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.backups import config
from components.backups.config import IMAGE, Vault
from components.backups.schedule import Kind, job_schedule
from components.backups.sources import Source
from components.contracts import ObjectStorage, TlsIdentity
from components.k8s import (
    Container,
    Mount,
    Resources,
    Site,
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
        site: Surroundings.
        vault: Where backups go.
        time_zone: Time zone of the schedules.
        resources: Of a job's pod.
        trust: Any certificate of the platform, for its authority's.
    """

    site: Site
    vault: Vault
    time_zone: str
    resources: Resources
    trust: TlsIdentity


def workload_name(kind: Kind) -> str:
    """Name of the CronJob of a kind, and of its pods' workload."""
    return f"backup-{kind}"


def backup_job(parent: pulumi.Resource, args: JobArgs, kind: Kind, cron: str, source: Source) -> k8s.batch.v1.CronJob:
    """The CronJob of one kind; it reaches its source and the object storage, and nobody reaches it."""
    site, workload, schedule = args.site, workload_name(kind), job_schedule(cron)
    network_policy(parent, site, workload=workload, egress=[*source.reach, to_storage(args.vault.storage)])

    def written(private: bool) -> str:
        made = config.backup_config(args.vault, source.section, limit_s=schedule.limit_s, private=private)
        return yaml.safe_dump(made, sort_keys=True)

    public = config_files(
        parent,
        site,
        name=workload,
        workload=workload,
        files={"config.yaml": private_authority(args.vault.storage).apply(written)},
    )
    secret = secret_files(
        parent,
        site,
        name=f"{workload}-auth",
        workload=workload,
        files={**source.passwords, **storage_files(args.vault.storage)},
    )
    return cron_job(
        parent,
        site,
        workload=workload,
        schedule=schedule,
        time_zone=args.time_zone,
        container=_container(kind, args.resources),
        volumes=[Volume(name="config", files=public), Volume(name="auth", files=secret)],
        access=source.access,
        trust=args.trust,
        after=source.after,
    )


def storage_files(storage: ObjectStorage) -> Mapping[str, pulumi.Output[str]]:
    """Files with what the object storage asks for."""
    return {
        config.KEY_ID: storage.access_key_id,
        config.SECRET_KEY: storage.secret_access_key,
        config.AUTHORITY: storage.authority,
    }


def private_authority(storage: ObjectStorage) -> pulumi.Output[bool]:
    """Whether the object storage has an authority of its own: all of the secret that settings depend on."""
    return pulumi.Output.unsecret(storage.authority.apply(bool))


def _container(kind: Kind, resources: Resources) -> Container:
    return Container(
        name="backup",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.backup", "--config", f"{_FOLDER}/config.yaml", str(kind)],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        mounts=[Mount(volume="config", path=_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
    )
