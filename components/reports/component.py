"""Reports (requirement R1): a CronJob for each kind, and the report server's pods, which show the stored reports to
who has the password, and Prometheus how old they are.

Jobs come and go, so nothing of theirs can be scraped. The report server polls the object storage instead, where a run
is only when it is done, and tells how old the newest report of each kind is and how the last run ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s
import yaml

from components import naming
from components.contracts import Credential, KafkaEndpoint, ObjectStorage, QueryEndpoint, ScrapeTarget, TlsIdentity
from components.k8s import (
    TRUST_MOUNT,
    Allow,
    Container,
    DeploymentContext,
    FileSet,
    Mount,
    Probe,
    Resources,
    Volume,
    Workload,
    certificate,
    cluster_service,
    config_files,
    credential,
    cron_job,
    deployment,
    headless_service,
    network,
    network_policy,
    secret_files,
    to_storage,
    with_access,
    workload_pods,
)
from components.reports import config as names
from components.reports.config import (
    Mail,
    checked_languages,
    checked_recipients,
    checked_zone,
    report_server_settings,
)
from components.reports.schedule import SCHEDULES, Kind, Schedule
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC
from services.reports.settings import KafkaAccess, Language, Query, Recipients, ReportsSettings
from services.reports.settings import Mail as MailSettings
from services.runtime.storage import WritableStorageSettings

WORKLOAD = "report-server"
PORT = 8443
REPLICAS = 2
"""What is stored is read by either of them."""
_SERVER_FOLDER = "/etc/report-server"


@dataclass(frozen=True, kw_only=True)
class ReportServerArgs:
    """What the report server needs.

    Attributes:
        context: Deployment context.
        scrape: Its metrics endpoint.
        image: Short name of the image.
        storage: Where reports are stored.
        schedules: How old the newest report of each kind may get.
        time_zone: In which days begin.
        resources: Of each pod.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    image: str
    storage: ObjectStorage
    schedules: Mapping[Kind, Schedule]
    time_zone: str
    resources: Resources


class ReportServer:
    """The report server's objects, which belong to the component of the reports.

    Attributes:
        reader: May read reports.
        scrape: Its metrics.
        tls: Its certificate.
        access_label: Label that a client pod needs.
        pods: Its Deployment.
    """

    reader: Credential
    scrape: ScrapeTarget
    tls: TlsIdentity
    access_label: str
    pods: k8s.apps.v1.Deployment

    def __init__(self, parent: pulumi.Resource, args: ReportServerArgs) -> None:
        context = args.context
        self.access_label = naming.access_label(WORKLOAD)
        self.reader = credential(parent, name=f"{WORKLOAD}-reader", username="reader")
        self.scrape = args.scrape
        self.tls = certificate(parent, context, workload=WORKLOAD)
        headless_service(parent, context, workload=WORKLOAD, ports={naming.METRICS_PORT: PORT})
        cluster_service(parent, context, workload=WORKLOAD, ports={"https": PORT})
        network_policy(
            parent,
            context,
            workload=WORKLOAD,
            ingress=[Allow(peers=[with_access(self.access_label), with_access(naming.METRICS_ACCESS)], ports=[PORT])],
            egress=[to_storage(args.storage)],
        )
        self.pods = deployment(
            parent,
            context,
            Workload(
                name=WORKLOAD,
                replicas=REPLICAS,
                containers=[_server_container(args)],
                volumes=self._volumes(parent, args),
                tls=self.tls,
            ),
        )

    def _volumes(self, parent: pulumi.Resource, args: ReportServerArgs) -> list[Volume]:
        storage = args.storage

        def written(private: bool) -> str:
            settings = report_server_settings(
                storage,
                args.schedules,
                time_zone=args.time_zone,
                port=PORT,
                reader=self.reader.username,
                scraper=self.scrape.credential.username,
                private_storage=private,
            )
            return yaml.safe_dump(settings.content(), sort_keys=True)

        settings = pulumi.Output.unsecret(storage.authority.apply(bool)).apply(written)
        public = config_files(parent, args.context, name=WORKLOAD, workload=WORKLOAD, files={"config.yaml": settings})
        secret = secret_files(
            parent,
            args.context,
            name=f"{WORKLOAD}-auth",
            workload=WORKLOAD,
            files={
                names.KEY_ID: storage.access_key_id,
                names.SECRET_KEY: storage.secret_access_key,
                names.STORAGE_AUTHORITY: storage.authority,
                names.READER_PASSWORD: self.reader.password,
                names.SCRAPE_PASSWORD: self.scrape.credential.password,
            },
        )
        return [Volume(name="config", files=public), Volume(name="auth", files=secret)]


def _server_container(args: ReportServerArgs) -> Container:
    return Container(
        name="report-server",
        image=args.image,
        command=["/usr/bin/python3", "-m", "services.report_server", "--config", f"{_SERVER_FOLDER}/config.yaml"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        resources=args.resources,
        ports={naming.METRICS_PORT: PORT},
        mounts=[Mount(volume="config", path=_SERVER_FOLDER), Mount(volume="auth", path=names.SERVER_AUTH_FOLDER)],
        startup=Probe(http="/healthz", port=PORT, https=True, period_s=2, failures=60),
        readiness=Probe(http="/readyz", port=PORT, https=True, period_s=5, failures=2),
        liveness=Probe(http="/healthz", port=PORT, https=True, period_s=20, failures=6),
        pre_stop_sleep_s=2,
    )


TOKEN = "obs:reports:Reports"  # noqa: S105  (a type token)
IMAGE = "reports"
_NAME = "reports"
_JOB_FOLDER = "/etc/reports"


@dataclass(frozen=True, kw_only=True)
class ReportsArgs:
    """What the reports need.

    Attributes:
        context: Deployment context.
        scrape: Metrics endpoint of the report server.
        query: Where metrics are asked for.
        query_workload: Workload that answers there (the peer of egress NetworkPolicies).
        kafka: Where notifications are read, as user ``reports``.
        storage: Where reports are stored.
        mail: Where they are handed over.
        recipients: Who gets each report; every kind has somebody.
        time_zone: IANA name of the time zone in which days begin.
        resources: Of a job's pod; it took up to 214 MiB and 12 s of CPU for ten days of 209 series, without
        notifications.
        report_server_resources: Of each of the report server's pods; it took 56 MiB.
        languages: Languages of the reports; the first one is the mail's.
        schedules: When each report is made.
        encryption: How the storage is asked to encrypt reports, ``AES256`` or ``aws:kms``; None: as the bucket says.
        link: Address at which people find all reports, for the mails; None: nowhere.
        suspended: Whether reports are only made by hand.
    """

    context: DeploymentContext
    scrape: ScrapeTarget
    query: QueryEndpoint
    query_workload: str
    kafka: KafkaEndpoint
    storage: ObjectStorage
    mail: Mail
    recipients: Mapping[Kind, Sequence[str]]
    time_zone: str
    resources: Resources
    report_server_resources: Resources
    languages: Sequence[str] = names.DEFAULT_LANGUAGES
    schedules: Mapping[Kind, Schedule] = field(default_factory=lambda: SCHEDULES)
    encryption: str | None = None
    link: str | None = None
    suspended: bool = False

    def __post_init__(self) -> None:
        checked_recipients(self.recipients)
        checked_languages(self.languages)
        checked_zone(self.time_zone)
        missing = [str(kind) for kind in Kind if kind not in self.schedules]
        if missing:
            raise ValueError(f"reports.schedules has no {', '.join(missing)}: give every kind a schedule")


def workload_name(kind: Kind) -> str:
    """Name of the CronJob of a kind, and of its pods' workload."""
    return f"report-{kind}"


class Reports(pulumi.ComponentResource):
    """Three jobs and the report server.

    Attributes:
        reader: May read the reports at the report server.
        scrape: Metrics of the report server.
        access_label: Label that a client pod of the report server needs.
    """

    reader: Credential
    scrape: ScrapeTarget
    access_label: str

    def __init__(self, name: str, args: ReportsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(TOKEN, name, None, opts)
        report_server = ReportServer(
            self,
            ReportServerArgs(
                context=args.context,
                scrape=args.scrape,
                image=IMAGE,
                storage=args.storage,
                schedules=args.schedules,
                time_zone=args.time_zone,
                resources=args.report_server_resources,
            ),
        )
        self.reader, self.scrape, self.access_label = (
            report_server.reader,
            report_server.scrape,
            report_server.access_label,
        )
        volumes = self._volumes(args)
        jobs = {str(kind): self._job(args, kind, volumes, report_server.tls) for kind in Kind}
        self.register_outputs({"jobs": {kind: job.id for kind, job in jobs.items()}, "server": report_server.pods.id})

    def _job(
        self, args: ReportsArgs, kind: Kind, volumes: Sequence[Volume], trust: TlsIdentity
    ) -> k8s.batch.v1.CronJob:
        workload = workload_name(kind)
        storage, mail = args.storage, args.mail
        network_policy(
            self,
            args.context,
            workload=workload,
            egress=[
                Allow(peers=[workload_pods(args.query_workload)], ports=[_port(args.query.internal_url)]),
                Allow(peers=[workload_pods("kafka")], ports=[args.kafka.port]),
                Allow(peers=[network(cidr) for cidr in mail.networks], ports=[mail.port]),
                to_storage(storage),
            ],
        )
        return cron_job(
            self,
            args.context,
            workload=workload,
            schedule=args.schedules[kind],
            time_zone=args.time_zone,
            container=_job_container(kind, args.resources),
            volumes=volumes,
            access=[args.query.access_label, args.kafka.access_label],
            trust=trust,
            suspended=args.suspended,
        )

    def _volumes(self, args: ReportsArgs) -> list[Volume]:
        """Settings and passwords, the same for every kind."""
        context, query, kafka, storage, mail = args.context, args.query, args.kafka, args.storage, args.mail
        public = config_files(self, context, name=_NAME, workload=_NAME, files={"config.yaml": _settings(args)})
        user = kafka.users[names.USER]
        # Known only when topics, users and permissions exist.
        password = pulumi.Output.all(user.password, kafka.ready).apply(lambda both: str(both[0]))
        secret = secret_files(
            self,
            context,
            name=f"{_NAME}-auth",
            workload=_NAME,
            files={
                names.QUERY_PASSWORD: query.reader.password,
                names.KAFKA_PASSWORD: password,
                names.MAIL_PASSWORD: mail.password,
                names.MAIL_AUTHORITY: mail.authority,
                names.KEY_ID: storage.access_key_id,
                names.SECRET_KEY: storage.secret_access_key,
                names.STORAGE_AUTHORITY: storage.authority,
            },
        )
        return [_volume("config", public), _volume("auth", secret)]


def reports_settings(args: ReportsArgs, *, private_mail: bool, private_storage: bool) -> ReportsSettings:
    """The settings of ``services.reports``.

    Args:
        args: What the component is told.
        private_mail: Whether the mail server has an authority of its own.
        private_storage: Whether the object storage has one.
    """
    folder, authority = Path(names.AUTH_FOLDER), Path(f"{TRUST_MOUNT}/ca.crt")
    query, kafka, mail = args.query, args.kafka, args.mail
    storage = names.storage_settings(args.storage, names.AUTH_FOLDER, private=private_storage)
    return ReportsSettings(
        platform=args.context.platform,
        region=args.context.region,
        time_zone=args.time_zone,
        languages=cast("tuple[Language, ...]", tuple(args.languages)),
        query=Query(
            url=query.internal_url,
            ca_file=authority,
            user=query.reader.username,
            password_file=folder / names.QUERY_PASSWORD,
        ),
        kafka=KafkaAccess(
            bootstrap=kafka.bootstrap,
            topic=ALERTS_PROCESSED_TOPIC.name,
            ca_file=authority,
            user=kafka.users[names.USER].username,
            password_file=folder / names.KAFKA_PASSWORD,
        ),
        mail=MailSettings(
            server=mail.server,
            sender=mail.sender,
            user=mail.user,
            password_file=folder / names.MAIL_PASSWORD,
            ca_file=folder / names.MAIL_AUTHORITY if private_mail else None,
            recipients=Recipients.parse({str(kind): list(args.recipients[kind]) for kind in Kind}),
        ),
        storage=WritableStorageSettings.parse({**storage, "encryption": args.encryption}),
        link=args.link,
    )


def _settings(args: ReportsArgs) -> pulumi.Output[str]:
    """The settings file; of the secrets it depends on one thing only: who has a private authority."""
    known = pulumi.Output.all(args.mail.authority, args.storage.authority)

    def written(private_mail: bool, private_storage: bool) -> str:
        settings = reports_settings(args, private_mail=private_mail, private_storage=private_storage)
        return yaml.safe_dump(settings.content(), sort_keys=True, allow_unicode=True)

    private = pulumi.Output.unsecret(known.apply(lambda authorities: [bool(authority) for authority in authorities]))
    return private.apply(lambda resolved: written(*resolved))


def _volume(name: str, files: FileSet) -> Volume:
    return Volume(name=name, files=files)


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"reports.query.internal_url is {url!r}, must name its port")
    return port


def _job_container(kind: Kind, resources: Resources) -> Container:
    return Container(
        name="reports",
        image=IMAGE,
        command=["/usr/bin/python3", "-m", "services.reports", "--config", f"{_JOB_FOLDER}/config.yaml", str(kind)],
        env={
            "PYTHONDONTWRITEBYTECODE": "1",
            # Both keep a cache of fonts, and the rest of the file system cannot be written to.
            "MPLCONFIGDIR": "/tmp/matplotlib",
            "XDG_CACHE_HOME": "/tmp/cache",
        },
        resources=resources,
        mounts=[Mount(volume="config", path=_JOB_FOLDER), Mount(volume="auth", path=names.AUTH_FOLDER)],
    )
