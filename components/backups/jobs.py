"""The jobs: a pod for each kind that runs to its end, with what the kind reads: section of its settings, the
passwords, the way there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components.backups import config
from components.backups.config import IMAGE, BackupTarget, SearchSource
from components.backups.schedule import Kind, job_schedule
from components.contracts import DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint, ObjectStorage, TlsIdentity
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Resources,
    Volume,
    config_files,
    cron_job,
    network,
    network_policy,
    secret_files,
    to_storage,
    workload_pods,
)
from services.runtime.settings import SettingsModel

KAFKA = "kafka"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind's source.

    Attributes:
        section: Section of the program's settings.
        passwords: File name -> password.
        reach: Servers that its pods may connect to.
        access: Access labels of these.
        after: Resources that exist once it answers.
    """

    section: Mapping[str, SettingsModel]
    passwords: Mapping[str, pulumi.Output[str]]
    reach: Sequence[Allow]
    access: Sequence[str] = ()
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)


def databases(endpoints: Sequence[DatabaseEndpoint], keep_days: int) -> Source:
    """Databases of one PostgreSQL."""
    server = endpoints[0]
    peers = [workload_pods(server.workload)] if server.workload else [network(cidr) for cidr in server.networks]
    return Source(
        section={"database": config.database_section(endpoints, keep_days)},
        passwords={config.database_file(endpoint): endpoint.user.password for endpoint in endpoints},
        reach=[Allow(peers=peers, ports=[server.port])],
        access=[server.access_label] if server.access_label else [],
        after=server.after,
    )


def grafana(endpoint: GrafanaEndpoint, workload: str, keep_days: int) -> Source:
    """Grafana's definitions; ``workload`` serves it."""
    return Source(
        section={"grafana": config.grafana_section(endpoint, keep_days)},
        passwords={config.PASSWORD: endpoint.administrator.password},
        reach=[Allow(peers=[workload_pods(workload)], ports=[endpoint.port])],
        access=[endpoint.access_label],
        after=endpoint.after,
    )


def kafka_metadata(kafka: KafkaEndpoint, keep_days: int) -> Source:
    """Topics, permissions, names of users."""
    return Source(
        section={"kafka_metadata": config.kafka_section(kafka, keep_days)},
        passwords={config.PASSWORD: once(kafka.users[config.USER].password, kafka.ready)},
        reach=[Allow(peers=[workload_pods(KAFKA)], ports=[kafka.port])],
        access=[kafka.access_label],
    )


def search(source: SearchSource, keep_days: int) -> Source:
    """Documents and definitions of indices."""
    endpoint = source.endpoint
    return Source(
        section={"search": config.search_section(source, keep_days)},
        passwords={config.PASSWORD: once(endpoint.users[config.USER].password, endpoint.ready)},
        reach=[Allow(peers=[workload_pods(endpoint.workload)], ports=[endpoint.port])],
        access=[endpoint.access_label],
        after=endpoint.after,
    )


def once(password: pulumi.Output[str], ready: pulumi.Output[bool]) -> pulumi.Output[str]:
    """A password that is known only when its user may do what it is for."""
    return pulumi.Output.all(password, ready).apply(lambda both: str(both[0]))


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
        settings=lambda private: config.backup_settings(
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
    settings: Callable[[bool], SettingsModel],
    passwords: Mapping[str, pulumi.Input[str]],
) -> list[Volume]:
    """Volumes ``config`` and ``auth`` of a program that uses the object storage.

    Args:
        parent: Component that owns their objects.
        context: Deployment context.
        workload: Workload that mounts them.
        storage: The object storage.
        settings: The settings, told whether the storage has an authority of its own: all of the secret that they
            depend on.
        passwords: File name -> further password.
    """
    private = pulumi.Output.unsecret(storage.authority.apply(bool))
    content = private.apply(lambda own: yaml.safe_dump(settings(own).content(), sort_keys=True))
    public = config_files(parent, context, name=workload, workload=workload, files={"config.yaml": content})
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
