"""When each report is made, and how old the newest one may get, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pulumi

from components.contracts import ObjectStorage
from components.k8s import workload
from components.k8s.programs import StorageFiles, auth_folder, served
from services.report_server import ReportAges, ReportServerSettings
from services.reports import LANGUAGES, MAIL_ADDRESS, Language, is_zone
from services.runtime.settings import Login, StorageSettings, is_host_port


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
