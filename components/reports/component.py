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

from components import naming
from components.contracts import Credential, KafkaEndpoint, ObjectStorage, QueryEndpoint, ScrapeTarget, TlsIdentity
from components.k8s import (
    Allow,
    DeploymentContext,
    Resources,
    Volume,
    credential,
    network,
    to_storage,
    workload_pods,
)
from components.k8s.programs import (
    TRUST_FILE,
    Program,
    PythonJobArgs,
    PythonService,
    PythonServiceArgs,
    is_private,
    program_files,
    python_job,
)
from components.reports import config as names
from components.reports.config import (
    SCHEDULES,
    Kind,
    Mail,
    Schedule,
    checked_languages,
    checked_recipients,
    checked_zone,
    report_server_settings,
)
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from services.reports import KafkaAccess, Language, Query, Recipients, ReportsSettings
from services.reports import Mail as MailSettings
from services.runtime.settings import SettingsModel, WritableStorageSettings

WORKLOAD = "report-server"
PORT = 8443
REPLICAS = 2
"""What is stored is read by either of them."""


TOKEN = "obs:reports:Reports"  # noqa: S105  (a type token)
IMAGE = "reports"
_NAME = "reports"


@dataclass(frozen=True, kw_only=True)
class ReportsArgs:
    """What the reports need.

    Attributes:
        context: Deployment context.
        scrape: Metrics endpoint of the report server.
        query: Where metrics are asked for.
        query_workload: Workload that answers there (the peer of egress NetworkPolicies).
        kafka: Where alerts and notifications are read, as user ``reports``.
        storage: Where reports are stored.
        mail: Where they are handed over; None: they are stored only.
        recipients: Who gets each report by mail; every kind has somebody. Nobody where there is no mail.
        time_zone: IANA name of the time zone in which days begin.
        resources: Of a job's pod; its memory grows with series, days and notifications.
        report_server_resources: Of each of the report server's pods.
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
    mail: Mail | None
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
        if self.mail:
            checked_recipients(self.recipients)
        elif self.recipients:
            raise ValueError("reports.recipients names people, and there is no mail server: name one, or nobody")
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
        self.reader = credential(self, name=f"{WORKLOAD}-reader", username="reader")
        self.scrape, self.access_label = args.scrape, naming.access_label(WORKLOAD)
        server = self._server(args)
        files = self._job_files(args)
        jobs = {str(kind): self._job(args, kind, files, server.tls) for kind in Kind}
        self.register_outputs({"jobs": {kind: job.id for kind, job in jobs.items()}, "server": server.pods.id})

    def _server(self, args: ReportsArgs) -> PythonService:
        storage = args.storage

        def settings(private: bool) -> SettingsModel:
            return report_server_settings(
                storage,
                args.schedules,
                time_zone=args.time_zone,
                port=PORT,
                reader=self.reader.username,
                scraper=self.scrape.credential.username,
                private_storage=private,
            )

        return PythonService(
            self,
            args.context,
            PythonServiceArgs(
                program=Program(
                    module="report_server",
                    container="report-server",
                    image=IMAGE,
                    resources=args.report_server_resources,
                ),
                scrape=self.scrape,
                settings=is_private(storage.authority).apply(settings),
                secrets={**names.STORAGE.contents(storage), names.READER_PASSWORD: self.reader.password},
                egress=[to_storage(storage)],
                clients=[self.access_label],
                replicas=REPLICAS,
                pre_stop_sleep_s=2,
            ),
        )

    def _job(self, args: ReportsArgs, kind: Kind, files: Sequence[Volume], trust: TlsIdentity) -> k8s.batch.v1.CronJob:
        query, kafka, mail = args.query, args.kafka, args.mail
        program = Program(
            module="reports",
            container="reports",
            image=IMAGE,
            arguments=[str(kind)],
            # Both keep a cache of fonts, and the rest of the file system cannot be written to.
            env={"MPLCONFIGDIR": "/tmp/matplotlib", "XDG_CACHE_HOME": "/tmp/cache"},
            resources=args.resources,
        )
        return python_job(
            self,
            args.context,
            PythonJobArgs(
                name=workload_name(kind),
                program=program,
                files=files,
                schedule=args.schedules[kind],
                time_zone=args.time_zone,
                trust=trust,
                egress=[
                    Allow(peers=[workload_pods(args.query_workload)], ports=[_port(query.internal_url)]),
                    Allow(peers=[workload_pods("kafka")], ports=[kafka.port]),
                    *([Allow(peers=[network(cidr) for cidr in mail.networks], ports=[mail.port])] if mail else []),
                    to_storage(args.storage),
                ],
                access=[query.access_label, kafka.access_label],
                suspended=args.suspended,
            ),
        )

    def _job_files(self, args: ReportsArgs) -> list[Volume]:
        """Settings and passwords, the same for every kind."""
        kafka, mail, storage = args.kafka, args.mail, args.storage
        private_mail = is_private(mail.authority) if mail else False
        private = pulumi.Output.all(private_mail, is_private(storage.authority))
        return program_files(
            self,
            args.context,
            name=_NAME,
            settings=private.apply(lambda both: reports_settings(args, private_mail=both[0], private_storage=both[1])),
            secrets={
                **names.STORAGE.contents(storage),
                names.QUERY_PASSWORD: args.query.reader.password,
                names.KAFKA_PASSWORD: kafka.users[names.USER].password,
                **({names.MAIL_PASSWORD: mail.password, names.MAIL_AUTHORITY: mail.authority} if mail else {}),
            },
        )


def reports_settings(args: ReportsArgs, *, private_mail: bool, private_storage: bool) -> ReportsSettings:
    """The settings of ``services.reports``.

    Args:
        args: What the component is told.
        private_mail: Whether the mail server has an authority of its own.
        private_storage: Whether the object storage has one.
    """
    folder = Path(names.AUTH_FOLDER)
    query, kafka, mail = args.query, args.kafka, args.mail
    storage = names.STORAGE.section(args.storage, names.AUTH_FOLDER, private=private_storage)
    return ReportsSettings(
        platform=args.context.platform,
        region=args.context.region,
        time_zone=args.time_zone,
        languages=cast("tuple[Language, ...]", tuple(args.languages)),
        query=Query(
            url=query.internal_url,
            ca_file=TRUST_FILE,
            user=query.reader.username,
            password_file=folder / names.QUERY_PASSWORD,
        ),
        kafka=KafkaAccess(
            bootstrap=kafka.bootstrap,
            topic=ALERTS_PROCESSED_TOPIC.name,
            raw_topic=ALERTS_RAW_TOPIC.name,
            ca_file=TRUST_FILE,
            user=kafka.users[names.USER].username,
            group=names.USER,
            password_file=folder / names.KAFKA_PASSWORD,
        ),
        mail=MailSettings(
            server=mail.server,
            sender=mail.sender,
            user=mail.user,
            password_file=folder / names.MAIL_PASSWORD,
            ca_file=folder / names.MAIL_AUTHORITY if private_mail else None,
            recipients=Recipients.parse({str(kind): list(args.recipients[kind]) for kind in Kind}),
        )
        if mail
        else None,
        storage=WritableStorageSettings.parse({**storage, "encryption": args.encryption}),
        link=args.link,
    )


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"reports.query.internal_url is {url!r}, must name its port")
    return port
