"""Backups (requirement D1): a CronJob for each kind, the archive of Kafka, and the exporter that watches them.

Everything that they write is encrypted for the public keys of operators: pods write backups and cannot read them.
Blocks of metrics are shipped by Thanos, into the same bucket; the backup exporter watches these too.

Two pods of the archive share its partitions. They keep nothing of their own: what one that ends had not stored yet,
the other reads again, so that a lost node costs seconds and not the minutes until its pod runs elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import naming
from components.backups import config, jobs
from components.backups.config import (
    ARCHIVE_USER,
    IMAGE,
    USER,
    Archiving,
    BackupTarget,
    Blocks,
    SearchSource,
    checked_days,
)
from components.backups.jobs import KAFKA, JobArgs, Source, backup_job, backup_volumes, once
from components.backups.schedule import Kind, most_age_s
from components.contracts import (
    Credential,
    DatabaseEndpoint,
    GrafanaEndpoint,
    KafkaEndpoint,
    ObjectStorage,
    ScrapeTarget,
    TlsIdentity,
)
from components.k8s import (
    Allow,
    Container,
    DeploymentContext,
    Mount,
    Probe,
    Resources,
    Volume,
    Workload,
    certificate,
    deployment,
    headless_service,
    network_policy,
    to_storage,
    with_access,
    workload_pods,
)
from components.telemetry.topics import TOPIC_NAMES

EXPORTER_WORKLOAD = "backup-exporter"
EXPORTER_PORT = 8443
REPLICAS = 2
"""Both see the same; an alert is raised when both say so."""
_EXPORTER_FOLDER = "/etc/backup-exporter"


@dataclass(frozen=True, kw_only=True)
class BackupExporterArgs:
    """What the backup exporter needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        storage: Where backups are.
        most_age_s: Kind -> how old its newest run may get, in seconds.
        blocks: Blocks of metrics in the same bucket, or None.
        tls: Its certificate.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    storage: ObjectStorage
    most_age_s: Mapping[str, int]
    blocks: Blocks | None
    tls: TlsIdentity
    resources: Resources


def exporter(parent: pulumi.Resource, args: BackupExporterArgs) -> k8s.apps.v1.Deployment:
    """Make the backup exporter."""
    context = args.context
    headless_service(parent, context, workload=EXPORTER_WORKLOAD, ports={naming.METRICS_PORT: EXPORTER_PORT})
    network_policy(
        parent,
        context,
        workload=EXPORTER_WORKLOAD,
        ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[EXPORTER_PORT])],
        egress=[to_storage(args.storage)],
    )
    return deployment(
        parent,
        context,
        Workload(
            name=EXPORTER_WORKLOAD,
            replicas=REPLICAS,
            containers=[_exporter_container(args.resources)],
            volumes=_exporter_volumes(parent, args),
            tls=args.tls,
        ),
    )


def _exporter_volumes(parent: pulumi.Resource, args: BackupExporterArgs) -> list[Volume]:
    scraper = args.scrape.credential
    return backup_volumes(
        parent,
        args.context,
        workload=EXPORTER_WORKLOAD,
        storage=args.storage,
        settings=lambda private: config.exporter_settings(
            args.storage, args.most_age_s, args.blocks, port=EXPORTER_PORT, scraper=scraper.username, private=private
        ),
        passwords={config.SCRAPE_PASSWORD: scraper.password},
    )


def _exporter_container(resources: Resources) -> Container:
    return Container(
        name="exporter",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.backup_exporter", "--config", f"{_EXPORTER_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: EXPORTER_PORT},
        mounts=[Mount(volume="config", path=_EXPORTER_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=EXPORTER_PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=EXPORTER_PORT, https=True, period_s=5, failures=2),
        liveness=Probe(http="/healthz", port=EXPORTER_PORT, https=True, period_s=20, failures=6),
    )


ARCHIVE_WORKLOAD = "kafka-archive"
ARCHIVE_PORT = 8080
_ARCHIVE_FOLDER = "/etc/kafka-archive"
_GRACE_S = 60
"""The program stores what it holds within 30 s of SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class ArchiveArgs:
    """What the archive needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        target: Where segments go.
        kafka: Where records are; ``archive`` is one of its users and the consumer group.
        archiving: How records are gathered.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    target: BackupTarget
    kafka: KafkaEndpoint
    archiving: Archiving
    resources: Resources


def archive(parent: pulumi.Resource, args: ArchiveArgs) -> k8s.apps.v1.Deployment:
    """Make the archive."""
    context = args.context
    headless_service(parent, context, workload=ARCHIVE_WORKLOAD, ports={naming.METRICS_PORT: ARCHIVE_PORT})
    network_policy(
        parent,
        context,
        workload=ARCHIVE_WORKLOAD,
        ingress=[Allow(peers=[with_access(naming.METRICS_ACCESS)], ports=[ARCHIVE_PORT])],
        egress=[
            Allow(peers=[workload_pods(KAFKA)], ports=[args.kafka.port]),
            to_storage(args.target.storage),
        ],
    )
    return deployment(
        parent,
        context,
        Workload(
            name=ARCHIVE_WORKLOAD,
            replicas=REPLICAS,
            containers=[_archive_container(args.resources)],
            volumes=_archive_volumes(parent, args),
            tls=certificate(parent, context, workload=ARCHIVE_WORKLOAD),
            access=[args.kafka.access_label],
            grace_s=_GRACE_S,
        ),
    )


def _archive_volumes(parent: pulumi.Resource, args: ArchiveArgs) -> list[Volume]:
    target, kafka, scraper = args.target, args.kafka, args.scrape.credential
    return backup_volumes(
        parent,
        args.context,
        workload=ARCHIVE_WORKLOAD,
        storage=target.storage,
        settings=lambda private: config.archive_settings(
            target, kafka, args.archiving, TOPIC_NAMES, port=ARCHIVE_PORT, scraper=scraper.username, private=private
        ),
        passwords={
            config.KAFKA_PASSWORD: once(kafka.users[ARCHIVE_USER].password, kafka.ready),
            config.SCRAPE_PASSWORD: scraper.password,
        },
    )


def _archive_container(resources: Resources) -> Container:
    return Container(
        name="archive",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.kafka_archive", "--config", f"{_ARCHIVE_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=resources,
        ports={naming.METRICS_PORT: ARCHIVE_PORT},
        mounts=[Mount(volume="config", path=_ARCHIVE_FOLDER), Mount(volume="auth", path=config.AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=ARCHIVE_PORT, https=True, period_s=3, failures=40),
        readiness=Probe(http="/healthz", port=ARCHIVE_PORT, https=True, period_s=5),
        liveness=Probe(http="/healthz", port=ARCHIVE_PORT, https=True, period_s=20, failures=6),
    )


TOKEN = "obs:backups:Backups"  # noqa: S105  (a type token)


@dataclass(frozen=True, kw_only=True)
class BackupsArgs:
    """What backups need.

    Attributes:
        context: Deployment context.
        archive_scrape: Metrics endpoint of the archive.
        exporter_scrape: Metrics endpoint of the exporter.
        target: Where backups go, and who can open them.
        time_zone: IANA name of the time zone of the schedules.
        schedules: Kind -> line of cron.
        keep_days: Kind -> days for which a run is kept; the newest one is kept for ever.
        databases: Databases of one PostgreSQL, each read by its owner.
        grafana: Grafana, asked as its administrator.
        grafana_workload: Workload that serves it (the peer of egress NetworkPolicies).
        kafka: Kafka, with the users ``backup`` and ``archive``.
        search: What is exported of the search cluster, or None where it makes snapshots of its own.
        archiving: How the archive of Kafka gathers records.
        blocks: Blocks of metrics in the same bucket, or None where there are none.
        job: Of a job's pod.
        archive: Of each of the archive's pods.
        exporter: Of each of the backup exporter's pods.

    Raises:
        ValueError: A kind that is made here has no schedule or no days, or a value is not acceptable.
    """

    context: DeploymentContext
    archive_scrape: ScrapeTarget
    exporter_scrape: ScrapeTarget
    target: BackupTarget
    time_zone: str
    schedules: Mapping[Kind, str]
    keep_days: Mapping[Kind, int]
    databases: Sequence[DatabaseEndpoint]
    grafana: GrafanaEndpoint
    grafana_workload: str
    kafka: KafkaEndpoint
    search: SearchSource | None
    archiving: Archiving
    blocks: Blocks | None
    job: Resources
    archive: Resources
    exporter: Resources

    def __post_init__(self) -> None:
        if not self.databases:
            raise ValueError("backups: there is no database to back up; name Grafana's at least")
        for kind in self.kinds:
            if kind not in self.schedules:
                raise ValueError(f"backups.schedules has no {kind}: give it a line of cron, for example '20 3 * * *'")
            if kind not in self.keep_days:
                raise ValueError(f"backups.keep_days has no {kind}: give it a number of days")
            most_age_s(self.schedules[kind])
            checked_days(kind, self.keep_days[kind])
        _checked_users("Kafka", self.kafka.users, USER, ARCHIVE_USER)
        if self.search:
            _checked_users("the search cluster", self.search.endpoint.users, USER)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds that jobs make here."""
        return tuple(kind for kind in Kind if kind is not Kind.SEARCH or self.search)

    def source(self, kind: Kind) -> Source:
        """What the job of a kind reads."""
        days = self.keep_days[kind]
        match kind:
            case Kind.DATABASE:
                return jobs.databases(self.databases, days)
            case Kind.GRAFANA:
                return jobs.grafana(self.grafana, self.grafana_workload, days)
            case Kind.KAFKA_METADATA:
                return jobs.kafka_metadata(self.kafka, days)
            case Kind.SEARCH:
                assert self.search is not None
                return jobs.search(self.search, days)


def _checked_users(where: str, users: Mapping[str, Credential], *needed: str) -> None:
    missing = [name for name in needed if name not in users]
    if missing:
        raise ValueError(f"backups: {where} has no user {' and no user '.join(missing)}: add it to its users")


class Backups(pulumi.ComponentResource):
    """Jobs, archive and exporter."""

    def __init__(self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        tls = certificate(self, context, workload=EXPORTER_WORKLOAD)
        shared = JobArgs(context=context, target=args.target, time_zone=args.time_zone, resources=args.job, trust=tls)
        jobs = {kind: backup_job(self, shared, kind, args.schedules[kind], args.source(kind)) for kind in args.kinds}
        archiver = archive(
            self,
            ArchiveArgs(
                context=context,
                scrape=args.archive_scrape,
                target=args.target,
                kafka=args.kafka,
                archiving=args.archiving,
                resources=args.archive,
            ),
        )
        watcher = exporter(
            self,
            BackupExporterArgs(
                context=context,
                scrape=args.exporter_scrape,
                storage=args.target.storage,
                most_age_s={str(kind): most_age_s(args.schedules[kind]) for kind in args.kinds},
                blocks=args.blocks,
                tls=tls,
                resources=args.exporter,
            ),
        )
        self.register_outputs(
            {"jobs": {str(kind): job.id for kind, job in jobs.items()}, "archive": archiver.id, "exporter": watcher.id}
        )
