"""Reports (requirement R1): a CronJob for each kind, when each is made and how old the newest one may get; and the
report server's pods, which show the stored reports to who has the password, and Prometheus how old they are.

Jobs come and go, so nothing of theirs can be scraped. The report server polls the object storage instead, where a run
is only when it is done, and tells how old the newest report of each kind is and how the last run ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast
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
    workload,
    workload_pods,
)
from components.k8s.programs import (
    TRUST_FILE,
    Program,
    PythonJobArgs,
    PythonService,
    PythonServiceArgs,
    StorageFiles,
    auth_folder,
    is_private,
    program_files,
    python_job,
    served,
)
from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from services.report_server import ReportAges, ReportServerSettings
from services.reports import LANGUAGES, MAIL_ADDRESS, KafkaAccess, Language, Query, Recipients, ReportsSettings, is_zone
from services.reports import Mail as MailSettings
from services.runtime.settings import Login, SettingsModel, StorageSettings, WritableStorageSettings, is_host_port


class Kind(StrEnum):
    """The reports, by the name that the program knows them by."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, kw_only=True)
class Schedule(workload.Schedule):
    """When one kind of report is made.

    Attributes:
        most_age_h: Hours from the end of the period of the newest report until on-call is notified that the next one is
            missing: a whole period, the hour of making it, and some for tries.
    """

    most_age_h: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most_age_h < 1:
            raise ValueError(f"schedule {self.cron!r}: most_age_h is {self.most_age_h}, must be 1 or more")


SCHEDULES: Final[Mapping[Kind, Schedule]] = MappingProxyType(
    {
        Kind.DAILY: Schedule(cron="10 6 * * *", start_within_s=6 * 3600, most_age_h=24 + 8),
        Kind.WEEKLY: Schedule(cron="30 6 * * 1", start_within_s=24 * 3600, most_age_h=7 * 24 + 9),
        Kind.MONTHLY: Schedule(cron="50 6 1 * *", start_within_s=72 * 3600, most_age_h=31 * 24 + 10),
    }
)
"""Before people come to work; one after the other, since each asks the same stores."""


DEFAULT_LANGUAGES: Final[tuple[Language, ...]] = ("ja", "en")
USER: Final = "reports"
"""SCRAM user; it reads what was raised and what was notified."""
AUTH_FOLDER: Final = auth_folder("reports")
SERVER_AUTH_FOLDER: Final = auth_folder("report-server")
STORAGE: Final = StorageFiles()
QUERY_PASSWORD, KAFKA_PASSWORD, MAIL_PASSWORD = "query-password", "kafka-password", "mail-password"
MAIL_AUTHORITY = "mail-authority.crt"
READER_PASSWORD = "reader-password"  # noqa: S105  (a file name)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """The mail server that reports are handed to; TLS and a login are demanded.

    Attributes:
        server: ``host:port``; TLS at once on port 465, by STARTTLS on any other.
        sender: Address that mails come from.
        user: Login name.
        password: Its password (a secret).
        authority: PEM of the authority that signs its certificate; empty for a public one.
        networks: Where it is (for egress NetworkPolicies).
        port: Port of it.
    """

    server: str
    sender: str
    user: str
    password: pulumi.Output[str]
    authority: pulumi.Output[str]
    networks: tuple[str, ...]
    port: int

    def __post_init__(self) -> None:
        if not is_host_port(self.server):
            raise ValueError(f"reports.mail.server is {self.server!r}, must be host:port, for example mail:587")
        if int(self.server.rpartition(":")[2]) != self.port:
            raise ValueError(
                f"reports.mail.server is {self.server!r} and its port {self.port}: give both the same port, "
                "else the NetworkPolicy lets nothing through"
            )
        if not MAIL_ADDRESS.fullmatch(self.sender):
            raise ValueError(f"reports.mail.sender is {self.sender!r}, must be a mail address")


def checked_recipients(recipients: Mapping[Kind, Sequence[str]]) -> dict[Kind, tuple[str, ...]]:
    """Who gets each report.

    Raises:
        ValueError: A report has nobody who gets it, or an address is none.
    """
    by_kind = {kind: tuple(recipients.get(kind, ())) for kind in Kind}
    for kind, addresses in by_kind.items():
        if not addresses:
            raise ValueError(f"reports.recipients.{kind} is empty: name at least one mail address")
        for address in addresses:
            if not MAIL_ADDRESS.fullmatch(address):
                raise ValueError(f"reports.recipients.{kind} has {address!r}, must be a mail address")
    return by_kind


def checked_languages(languages: Sequence[str]) -> tuple[str, ...]:
    """Languages of the reports, the first one first.

    Raises:
        ValueError: None, one twice, or one that the program does not know.
    """
    if not languages or set(languages) - set(LANGUAGES) or len(set(languages)) != len(languages):
        raise ValueError(
            f"reports.languages is {list(languages)}: name one or more of {', '.join(LANGUAGES)}, each of them once"
        )
    return tuple(languages)


def checked_zone(time_zone: str) -> str:
    """Name of the time zone in which days begin.

    Raises:
        ValueError: There is none of that name.
    """
    if not is_zone(time_zone):
        raise ValueError(
            f"reports.time_zone is {time_zone!r}, must be a name of the IANA database, for example Asia/Tokyo"
        )
    return time_zone


def report_server_settings(
    storage: ObjectStorage,
    schedules: Mapping[Kind, Schedule],
    *,
    time_zone: str,
    port: int,
    reader: str,
    scraper: str,
    private_storage: bool,
) -> ReportServerSettings:
    """The settings of ``services.report_server``.

    Args:
        storage: Where reports are stored.
        schedules: How old the newest report of each kind may get.
        time_zone: In which days begin.
        port: Port that it serves.
        reader: User that reads reports.
        scraper: User that reads the metrics.
        private_storage: Whether the object storage has an authority of its own.
    """

    ages = {str(kind): schedules[kind].most_age_h for kind in Kind}
    return ReportServerSettings(
        storage=StorageSettings.parse(STORAGE.section(storage, SERVER_AUTH_FOLDER, private=private_storage)),
        time_zone=time_zone,
        most_age_h=ReportAges.parse(ages),
        reader=Login(user=reader, password_file=Path(f"{SERVER_AUTH_FOLDER}/{READER_PASSWORD}")),
        **served(port, scraper, SERVER_AUTH_FOLDER),
    )


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
        server_storage: The same with the key of who only reads them.
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
    server_storage: ObjectStorage
    mail: Mail | None
    recipients: Mapping[Kind, Sequence[str]]
    time_zone: str
    resources: Resources
    report_server_resources: Resources
    languages: Sequence[str] = DEFAULT_LANGUAGES
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
        storage = args.server_storage

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
                secrets={**STORAGE.contents(storage), READER_PASSWORD: self.reader.password},
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
                **STORAGE.contents(storage),
                QUERY_PASSWORD: args.query.reader.password,
                KAFKA_PASSWORD: kafka.users[USER].password,
                **({MAIL_PASSWORD: mail.password, MAIL_AUTHORITY: mail.authority} if mail else {}),
            },
        )


def reports_settings(args: ReportsArgs, *, private_mail: bool, private_storage: bool) -> ReportsSettings:
    """The settings of ``services.reports``.

    Args:
        args: What the component is told.
        private_mail: Whether the mail server has an authority of its own.
        private_storage: Whether the object storage has one.
    """
    folder = Path(AUTH_FOLDER)
    query, kafka, mail = args.query, args.kafka, args.mail
    storage = STORAGE.section(args.storage, AUTH_FOLDER, private=private_storage)
    return ReportsSettings(
        platform=args.context.platform,
        region=args.context.region,
        time_zone=args.time_zone,
        languages=cast("tuple[Language, ...]", tuple(args.languages)),
        query=Query(
            url=query.internal_url,
            ca_file=TRUST_FILE,
            user=query.reader.username,
            password_file=folder / QUERY_PASSWORD,
        ),
        kafka=KafkaAccess(
            bootstrap=kafka.bootstrap,
            topic=ALERTS_PROCESSED_TOPIC.name,
            raw_topic=ALERTS_RAW_TOPIC.name,
            ca_file=TRUST_FILE,
            user=kafka.users[USER].username,
            group=USER,
            password_file=folder / KAFKA_PASSWORD,
        ),
        mail=MailSettings(
            server=mail.server,
            sender=mail.sender,
            user=mail.user,
            password_file=folder / MAIL_PASSWORD,
            ca_file=folder / MAIL_AUTHORITY if private_mail else None,
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
