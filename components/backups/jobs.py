"""The jobs: a pod for each kind that runs to its end, with what the kind reads: section of its settings, the
passwords, the way there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.backups import config
from components.backups.config import IMAGE, STORAGE, BackupTarget, SearchSource
from components.backups.schedule import Kind, job_schedule
from components.contracts import DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint, TlsIdentity
from components.k8s import Allow, DeploymentContext, Resources, network, to_storage, workload_pods
from components.k8s.programs import Program, PythonJobArgs, is_private, once, program_files, python_job
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
    context, name, schedule = args.context, workload_name(kind), job_schedule(cron)
    storage = args.target.storage

    def settings(private: bool) -> SettingsModel:
        return config.backup_settings(args.target, source.section, limit_s=schedule.limit_s, private=private)

    return python_job(
        parent,
        context,
        PythonJobArgs(
            name=name,
            program=Program(
                module="backup", container="backup", image=IMAGE, arguments=[str(kind)], resources=args.resources
            ),
            files=program_files(
                parent,
                context,
                name=name,
                settings=is_private(storage.authority).apply(settings),
                secrets={**source.passwords, **STORAGE.contents(storage)},
            ),
            schedule=schedule,
            time_zone=args.time_zone,
            trust=args.trust,
            egress=[*source.reach, to_storage(storage)],
            access=source.access,
            after=source.after,
        ),
    )
