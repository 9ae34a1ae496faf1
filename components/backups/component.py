"""Backups (requirement D1): a CronJob for each kind, the archive of Kafka, the exporter that watches and signs.

Everything that they write is encrypted for the public keys of operators: pods write backups and cannot read them.
Blocks of metrics are shipped by Thanos, into the same bucket; the backup exporter watches these too.

Two pods of the archive share its partitions. They keep nothing of their own: what one that ends had not stored yet,
the other reads again, so that a lost node costs seconds and not the minutes until its pod runs elsewhere.

A job's pod runs to its end and has what its kind reads: section of its settings, the passwords, the way there; and the
key of its kind, with which it seals what it made. The exporter alone has the key that signs, and signs what is sealed;
it alone removes what is too old, too, so that who writes needs no right to remove anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from components.backups import config
from components.backups.config import (
    ARCHIVE_USER,
    IMAGE,
    STORAGE,
    USER,
    Archiving,
    BackupTarget,
    Blocks,
    Kind,
    SearchSource,
    checked_days,
    job_schedule,
    most_age_s,
)
from components.contracts import Credential, DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint, ScrapeTarget, TlsIdentity
from components.k8s import Allow, DeploymentContext, Resources, network, random_key, to_storage, workload_pods
from components.k8s.programs import (
    Program,
    PythonJobArgs,
    PythonService,
    PythonServiceArgs,
    auth_folder,
    is_private,
    once,
    program_files,
    python_job,
)
from components.storage_roles import StorageRole, backup_role
from components.telemetry.topics import TOPIC_NAMES
from services.backup_exporter import PULUMI_STATE, KeptDays
from services.runtime.settings import SettingsModel

KAFKA = "kafka"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind's source.

    Attributes:
        section: Section of the program's settings.
        passwords: File name -> password, or who signs the certificate of the server.
        reach: Servers that its pods may connect to.
        access: Access labels of these.
        after: Resources that exist once it answers.
    """

    section: Mapping[str, SettingsModel]
    passwords: Mapping[str, pulumi.Input[str]]
    reach: Sequence[Allow]
    access: Sequence[str] = ()
    after: Sequence[pulumi.Resource] = field(default_factory=tuple)


def databases(endpoints: Sequence[DatabaseEndpoint]) -> Source:
    """Databases of one PostgreSQL."""
    server = endpoints[0]
    peers = [workload_pods(server.workload)] if server.workload else [network(cidr) for cidr in server.networks]
    return Source(
        section={"database": config.database_section(endpoints)},
        passwords={
            **{config.database_file(endpoint): endpoint.user.password for endpoint in endpoints},
            **({config.DATABASE_AUTHORITY: server.authority} if server.authority else {}),
        },
        reach=[Allow(peers=peers, ports=[server.port])],
        access=[server.access_label] if server.access_label else [],
        after=server.after,
    )


def grafana(endpoint: GrafanaEndpoint, workload: str) -> Source:
    """Grafana's definitions; ``workload`` serves it."""
    return Source(
        section={"grafana": config.grafana_section(endpoint)},
        passwords={config.PASSWORD: endpoint.administrator.password},
        reach=[Allow(peers=[workload_pods(workload)], ports=[endpoint.port])],
        access=[endpoint.access_label],
        after=endpoint.after,
    )


def kafka_metadata(kafka: KafkaEndpoint) -> Source:
    """Topics, permissions, names of users."""
    return Source(
        section={"kafka_metadata": config.kafka_section(kafka)},
        passwords={config.PASSWORD: kafka.users[config.USER].password},
        reach=[Allow(peers=[workload_pods(KAFKA)], ports=[kafka.port])],
        access=[kafka.access_label],
    )


def search(source: SearchSource) -> Source:
    """Documents and definitions of indices."""
    endpoint = source.endpoint
    return Source(
        section={"search": config.search_section(source)},
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
        seal_keys: Kind -> key with which its job seals manifests.
    """

    context: DeploymentContext
    target: BackupTarget
    time_zone: str
    resources: Resources
    trust: TlsIdentity
    seal_keys: Mapping[str, pulumi.Output[str]]


def workload_name(kind: Kind) -> str:
    """Name of the CronJob of a kind, and of its pods' workload."""
    return f"backup-{kind}"


def backup_job(parent: pulumi.Resource, args: JobArgs, kind: Kind, cron: str, source: Source) -> k8s.batch.v1.CronJob:
    """The CronJob of one kind; it reaches its source and the object storage, and nobody reaches it."""
    context, name, schedule = args.context, workload_name(kind), job_schedule(cron)
    storage = args.target.storages[backup_role(kind)]

    def settings(private: bool) -> SettingsModel:
        return config.backup_settings(args.target, kind, source.section, limit_s=schedule.limit_s, private=private)

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
                secrets={
                    **source.passwords,
                    **STORAGE.contents(storage),
                    config.SEAL_KEY: args.seal_keys[kind],
                },
            ),
            schedule=schedule,
            time_zone=args.time_zone,
            trust=args.trust,
            egress=[*source.reach, to_storage(storage)],
            access=source.access,
            after=source.after,
        ),
    )


EXPORTER_WORKLOAD = "backup-exporter"
EXPORTER_PORT = 8443
REPLICAS = 2
"""Both see the same; an alert is raised when both say so."""
ARCHIVE_WORKLOAD = "kafka-archive"
ARCHIVE_PORT = 8080
_GRACE_S = 60
"""The archive stores what it holds within 30 s of SIGTERM."""


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
        search: What is exported of the search cluster, or None where it is not backed up.
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
        match kind:
            case Kind.DATABASE:
                return databases(self.databases)
            case Kind.GRAFANA:
                return grafana(self.grafana, self.grafana_workload)
            case Kind.KAFKA_METADATA:
                return kafka_metadata(self.kafka)
            case Kind.SEARCH:
                assert self.search is not None
                return search(self.search)


def _checked_users(where: str, users: Mapping[str, Credential], *needed: str) -> None:
    missing = [name for name in needed if name not in users]
    if missing:
        raise ValueError(f"backups: {where} has no user {' and no user '.join(missing)}: add it to its users")


class Backups(pulumi.ComponentResource):
    """Jobs, archive and exporter.

    Attributes:
        signing_key: Public half of the key that signs, in base64.
        seal_keys: Kind -> key with which its manifests are sealed (secrets).
    """

    def __init__(self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        context = args.context
        self.seal_keys = {kind: random_key(self, f"backup-seal-{kind}") for kind in config.SEALED}
        signing_key = random_key(self, "backup-signing")
        self.signing_key = pulumi.Output.unsecret(signing_key.apply(config.public_key))
        exporter = self._exporter(args, signing_key)
        shared = JobArgs(
            context=context,
            target=args.target,
            time_zone=args.time_zone,
            resources=args.job,
            trust=exporter.tls,
            seal_keys=self.seal_keys,
        )
        jobs = {kind: backup_job(self, shared, kind, args.schedules[kind], args.source(kind)) for kind in args.kinds}
        archive = self._archive(args)
        self.register_outputs(
            {
                "jobs": {str(kind): job.id for kind, job in jobs.items()},
                "archive": archive.pods.id,
                "exporter": exporter.pods.id,
            }
        )

    def _exporter(self, args: BackupsArgs, signing_key: pulumi.Output[str]) -> PythonService:
        storage, scrape = args.target.storages[StorageRole.BACKUP_EXPORTER], args.exporter_scrape
        most_age = {str(kind): most_age_s(args.schedules[kind]) for kind in args.kinds}
        keep_days = KeptDays(
            runs={**{str(kind): args.keep_days[kind] for kind in args.kinds}, PULUMI_STATE: config.STATE_KEEP_DAYS},
            archive=args.archiving.keep_days,
        )

        def settings(private: bool) -> SettingsModel:
            return config.exporter_settings(
                args.target,
                most_age,
                keep_days,
                args.blocks,
                port=EXPORTER_PORT,
                scraper=scrape.credential.username,
                folder=auth_folder(EXPORTER_WORKLOAD),
                private=private,
            )

        return PythonService(
            self,
            args.context,
            PythonServiceArgs(
                program=Program(module="backup_exporter", container="exporter", image=IMAGE, resources=args.exporter),
                scrape=scrape,
                settings=is_private(storage.authority).apply(settings),
                secrets={
                    **STORAGE.contents(storage),
                    config.SIGNING_KEY: signing_key,
                    **{config.seal_file(kind): key for kind, key in self.seal_keys.items()},
                },
                egress=[to_storage(storage)],
                replicas=REPLICAS,
            ),
        )

    def _archive(self, args: BackupsArgs) -> PythonService:
        storage, kafka, scrape = args.target.storages[StorageRole.ARCHIVE], args.kafka, args.archive_scrape

        def settings(private: bool) -> SettingsModel:
            return config.archive_settings(
                args.target,
                kafka,
                args.archiving,
                TOPIC_NAMES,
                port=ARCHIVE_PORT,
                scraper=scrape.credential.username,
                folder=auth_folder(ARCHIVE_WORKLOAD),
                private=private,
            )

        return PythonService(
            self,
            args.context,
            PythonServiceArgs(
                program=Program(module="kafka_archive", container="archive", image=IMAGE, resources=args.archive),
                scrape=scrape,
                settings=is_private(storage.authority).apply(settings),
                secrets={
                    **STORAGE.contents(storage),
                    config.KAFKA_PASSWORD: kafka.users[ARCHIVE_USER].password,
                },
                egress=[Allow(peers=[workload_pods(KAFKA)], ports=[kafka.port]), to_storage(storage)],
                access=[kafka.access_label],
                replicas=REPLICAS,
                grace_s=_GRACE_S,
            ),
        )
