"""Backups as data: when each is made and how old the newest one may get, all from its line of cron; settings files of
the backup program, the archive and the backup exporter.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.contracts import DatabaseEndpoint, GrafanaEndpoint, KafkaEndpoint, ObjectStorage, SearchEndpoint
from components.k8s import Schedule
from components.k8s.programs import CA_FILE, TRUST_FILE, StorageFiles, auth_folder, served
from components.storage_roles import StorageRole, backup_role
from services.backup import (
    MOST_DAYS,
    BackupSettings,
    Database,
    Grafana,
    KafkaMetadata,
    Postgres,
    Search,
    key_problem,
)
from services.backup_exporter import PULUMI_STATE, BackupExporterSettings, BlocksSettings, KeptDays, SigningSettings
from services.kafka_archive import KafkaArchiveSettings, KafkaTopics
from services.runtime.settings import ENCRYPTIONS, SettingsModel, StorageSettings, WritableStorageSettings

_BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_ITEM = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/([1-9]\d?))?")
_SUNDAY = 7
_TWICE = 2
_FIRST, _LAST = date(2023, 1, 1), date(2032, 12, 31)
"""Years that hold every sort of year, two leap years one after the other among them."""
_SEARCHED_DAYS = 8 * 366 + 1
"""The 29th of February may be eight years away."""
_DAY_MINUTES = 24 * 60
_LEAST_GAP_S = 600
_MOST_LATE_S, _MOST_RUN_S = 6 * 3600, 2 * 3600
_TRIES = 2
STATE_AGE_S: Final = 8 * 24 * 3600
"""How old the newest copy of Pulumi's state may be: operators make it, weekly."""


class Kind(StrEnum):
    """What jobs back up, by the name that the program and the bucket know it by."""

    DATABASE = "database"
    GRAFANA = "grafana"
    KAFKA_METADATA = "kafka-metadata"
    SEARCH = "search"


def job_schedule(cron: str) -> Schedule:
    """When a backup is made: it may begin late and take long, but never into the time of the next one.

    Raises:
        ValueError: The line of cron is none, never comes true, or comes true too often.
    """
    gap = longest_gap_s(cron)
    if gap < _LEAST_GAP_S:
        raise ValueError(f"schedule {cron!r}: it comes true every {gap} s; allowed are {_LEAST_GAP_S} s or more")
    return Schedule(
        cron=cron, start_within_s=min(gap // 2, _MOST_LATE_S), limit_s=min(gap // 2, _MOST_RUN_S), tries=_TRIES
    )


def most_age_s(cron: str) -> int:
    """Seconds from the start of the newest run until on-call is notified that the next one is missing.

    That is the longest time between two runs, how late a run may begin, and how long it may take with all its tries.

    Raises:
        ValueError: As `job_schedule`.
    """
    schedule = job_schedule(cron)
    return longest_gap_s(cron) + schedule.start_within_s + schedule.limit_s


@functools.cache
def longest_gap_s(cron: str) -> int:
    """The longest time between two runs of a line of cron, in seconds; a change of the clocks is not in it.

    Raises:
        ValueError: The line is none (numbers, ``*``, ranges, lists and steps are), or it comes true less than twice.
    """
    times, runs = _parsed(cron)
    every = (_FIRST + timedelta(days=number) for number in range((_LAST - _FIRST).days + 1))
    days = [day for day in every if runs(day)]
    if len(days) < _TWICE:
        raise ValueError(_told(cron, "it never comes true"))
    within = [later - earlier for earlier, later in itertools.pairwise(times)]
    between = [
        (later - earlier).days * _DAY_MINUTES + times[0] - times[-1] for earlier, later in itertools.pairwise(days)
    ]
    return 60 * max([*within, *between])


def next_time(cron: str, after: datetime) -> datetime:
    """The first moment after ``after``, in its time zone, at which a line of cron comes true.

    Raises:
        ValueError: As `longest_gap_s`.
    """
    times, runs = _parsed(cron)
    for number in range(_SEARCHED_DAYS):
        day = after.date() + timedelta(days=number)
        if not runs(day):
            continue
        for minutes in times:
            at = datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=after.tzinfo)
            if at > after:
                return at
    raise ValueError(_told(cron, "it never comes true"))


def _parsed(cron: str) -> tuple[list[int], Callable[[date], bool]]:
    """Minutes of the day, sorted, and whether a day is one on which the line comes true."""
    fields = cron.split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(_told(cron, f"it has {len(fields)} fields"))
    minutes, hours, days, months, weekdays = (
        _numbers(cron, field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)
    )
    times = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    # Cron's own rule: where both kinds of days are limited, either is enough.
    either = not fields[2].startswith("*") and not fields[4].startswith("*")

    def runs(day: date) -> bool:
        of_month, of_week = day.day in days, day.isoweekday() in weekdays
        return day.month in months and (of_month or of_week if either else of_month and of_week)

    return times, runs


def _numbers(cron: str, field: str, low: int, high: int) -> set[int]:
    numbers: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise ValueError(_told(cron, f"{item!r} is none of a number, *, a range or a step"))
        first = int(match[1]) if match[1] else low
        last = int(match[2]) if match[2] else first if match[1] and not match[3] else high
        if not low <= first <= last <= high:
            raise ValueError(_told(cron, f"{item!r} is not within {low} to {high}"))
        numbers |= set(range(first, last + 1, int(match[3] or 1)))
    # Sunday is 0 or 7.
    return numbers | {_SUNDAY} if high == _SUNDAY and 0 in numbers else numbers


def _told(cron: str, problem: str) -> str:
    return (
        f"schedule {cron!r}: {problem}; it must be minute, hour, day of the month, month and day of the week in numbers"
    )


USER: Final = "backup"
"""User of Kafka and of the search cluster that sees what is backed up."""
ARCHIVE_USER: Final = "archive"
"""User of Kafka, and consumer group, that reads every topic."""
IMAGE: Final = "backup"
STORAGE: Final = StorageFiles()
KAFKA_PASSWORD, PASSWORD = "kafka-password", "password"
SIGNING_KEY, SEAL_KEY = "signing-key", "seal-key"
"""Files with the key that signs, and with the key by which a job seals what it made."""
STATE_KEEP_DAYS: Final = 90
"""Days for which a copy of Pulumi's state is kept."""
ROLES: Final = (*(backup_role(kind) for kind in Kind), StorageRole.BACKUP_EXPORTER, StorageRole.ARCHIVE)
"""Who of the backups uses the bucket."""
SEALED: Final = (*map(str, Kind), PULUMI_STATE)
"""Kinds that have a key of their own to seal with; the last one's operators have."""
_AUTH: Final = auth_folder("backup")
DATABASE_AUTHORITY: Final = "database-ca.pem"
PUBLIC_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSWORD_FILE: Final = Path(f"{_AUTH}/{PASSWORD}")
_STOPPING_S = 60
_BLOCK_GRACE_S = 1800


@dataclass(frozen=True, kw_only=True)
class BackupTarget:
    """Where backups go, and who can open them.

    Attributes:
        platform: Name of the platform.
        region: Its region.
        storages: Role -> the bucket with its key; the prefix is that of the backups.
        recipients: Public keys (age, X25519) of those who can open backups.
        encryption: How the storage is asked to encrypt objects once more, ``AES256`` or ``aws:kms``; None: as the
            bucket says.

    Raises:
        ValueError: There is no recipient, one is no public key, or the encryption is unknown.
    """

    platform: str
    region: str
    storages: Mapping[StorageRole, ObjectStorage]
    recipients: Sequence[str]
    encryption: str | None = None

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("backups.recipients is empty: name at least one public key of age (age1...)")
        for number, recipient in enumerate(self.recipients):
            if key_problem(recipient):
                # It may be a secret key by mistake.
                raise ValueError(
                    f"backups.recipients[{number}] is no public key of age: it must be age1 and 58 letters"
                )
        if len(set(self.recipients)) != len(self.recipients):
            raise ValueError("backups.recipients has a key twice: name each once")
        if self.encryption not in (None, *ENCRYPTIONS):
            raise ValueError(
                f"backups.encryption is {self.encryption!r}: allowed are null and {', '.join(ENCRYPTIONS)}"
            )


@dataclass(frozen=True, kw_only=True)
class SearchSource:
    """What is exported of the search cluster.

    Attributes:
        endpoint: Where it is; ``backup`` is one of its users.
        engine: Server of the cluster.
        indices: Patterns of indices, for example ``logs-0*``.
    """

    endpoint: SearchEndpoint
    engine: Literal["opensearch", "elasticsearch"]
    indices: Sequence[str]

    def __post_init__(self) -> None:
        if not self.indices:
            raise ValueError("backups: no index of the search cluster is named; name patterns such as logs-0*")


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Blocks of metrics in the same bucket, which Thanos puts there.

    Attributes:
        prefix: What their keys start with, for example ``metrics/``.
        range_s: Seconds that a block covers before it is shipped.
        servers: Server -> external labels of the blocks that it ships.
    """

    prefix: str
    range_s: int
    servers: Mapping[str, Mapping[str, str]]

    def __post_init__(self) -> None:
        if not self.prefix.endswith("/"):
            raise ValueError(f"backups: the prefix of the blocks is {self.prefix!r}: it must end with /")

    @property
    def most_age_s(self) -> int:
        """How old the end of the newest block may get.

        Prometheus closes a block half its range after its end, so that the newest one is one and a half ranges old
        when the next appears; half a range and half an hour more are for shipping and for a restart.
        """
        return 2 * self.range_s + _BLOCK_GRACE_S


@dataclass(frozen=True, kw_only=True)
class Archiving:
    """How the archive gathers records into segments.

    Attributes:
        keep_days: Days for which a segment is kept.
        flush_s: Age in seconds at which a segment is stored: as much is lost with the region, at most.
        segment_bytes: Size at which it is stored.
        segment_records: Number of records at which it is stored.
        memory_bytes: Size of all that waits; then no more is read.
    """

    keep_days: int
    flush_s: int = 60
    segment_bytes: int = 8 * 2**20
    segment_records: int = 100_000
    memory_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        checked_days("archive", self.keep_days)


def checked_days(kind: str, days: int) -> int:
    """For how many days backups are kept.

    Raises:
        ValueError: It is not 1 to 3650.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"backups.keep_days.{kind} is {days}: allowed are 1 to {MOST_DAYS}")
    return days


def backup_settings(
    target: BackupTarget, kind: Kind, section: Mapping[str, SettingsModel], *, limit_s: int, private: bool
) -> BackupSettings:
    """The settings of ``services.backup`` for one kind.

    Args:
        target: Where it goes.
        kind: Which.
        section: What is backed up: the section of its kind, by its name.
        limit_s: Seconds after which Kubernetes ends the job; the program itself gives up before.
        private: Whether the object storage has an authority of its own.
    """
    storage = STORAGE.section(target.storages[backup_role(kind)], _AUTH, private=private)
    return BackupSettings.parse(
        {
            "platform": target.platform,
            "region": target.region,
            "recipients": list(target.recipients),
            "storage": {**storage, "encryption": target.encryption},
            "seal_key_file": f"{_AUTH}/{SEAL_KEY}",
            "limit_s": limit_s - _STOPPING_S,
            **section,
        }
    )


def database_section(databases: Sequence[DatabaseEndpoint]) -> Postgres:
    """Every database of one server, each read by its owner.

    Raises:
        ValueError: They are not all on one server.
    """
    first = databases[0]
    servers = sorted({f"{database.host}:{database.port}" for database in databases})
    if len(servers) > 1:
        raise ValueError(f"backups: the databases are on {', '.join(servers)}; they must be on one server")
    return Postgres(
        host=first.host,
        port=first.port,
        ca_file=_authority_file(first),
        databases=tuple(
            Database(
                name=database.name,
                user=database.user.username,
                password_file=Path(f"{_AUTH}/{database_file(database)}"),
            )
            for database in databases
        ),
    )


def _authority_file(database: DatabaseEndpoint) -> Path:
    """File with who signs the database's certificate."""
    if database.authority is None:
        return TRUST_FILE
    return Path(f"{_AUTH}/{DATABASE_AUTHORITY}") if database.authority else PUBLIC_AUTHORITIES


def database_file(database: DatabaseEndpoint) -> str:
    """File with the password of a database's owner."""
    return f"password-{database.name}"


def grafana_section(grafana: GrafanaEndpoint) -> Grafana:
    """Everything that Grafana's administrator sees."""
    return Grafana(
        url=grafana.internal_url,
        ca_file=TRUST_FILE,
        user=grafana.administrator.username,
        password_file=_PASSWORD_FILE,
    )


def kafka_section(kafka: KafkaEndpoint) -> KafkaMetadata:
    """Topics, their configuration, permissions, names of users."""
    return KafkaMetadata(
        bootstrap=kafka.bootstrap,
        ca_file=TRUST_FILE,
        user=kafka.users[USER].username,
        password_file=_PASSWORD_FILE,
    )


def search_section(search: SearchSource) -> Search:
    """Documents and definitions of indices."""
    return Search(
        url=search.endpoint.url,
        ca_file=TRUST_FILE,
        user=search.endpoint.users[USER].username,
        password_file=_PASSWORD_FILE,
        engine=search.engine,
        indices=tuple(search.indices),
    )


def archive_settings(
    target: BackupTarget,
    kafka: KafkaEndpoint,
    archiving: Archiving,
    topics: Sequence[str],
    *,
    port: int,
    scraper: str,
    folder: str,
    private: bool,
) -> KafkaArchiveSettings:
    """The settings of ``services.kafka_archive``.

    Args:
        target: Where segments go.
        kafka: Where records are.
        archiving: How they are gathered.
        topics: Topics that are archived.
        port: Port that it serves.
        scraper: User that reads the metrics.
        folder: Folder with its passwords.
        private: Whether the object storage has an authority of its own.
    """
    return KafkaArchiveSettings(
        kafka=KafkaTopics(
            bootstrap=kafka.bootstrap,
            topics=tuple(topics),
            ca_file=CA_FILE,
            username=kafka.users[ARCHIVE_USER].username,
            group=ARCHIVE_USER,
            password_file=Path(f"{folder}/{KAFKA_PASSWORD}"),
        ),
        storage=StorageSettings.parse(STORAGE.section(target.storages[StorageRole.ARCHIVE], folder, private=private)),
        recipients=tuple(target.recipients),
        flush_s=archiving.flush_s,
        segment_bytes=archiving.segment_bytes,
        segment_records=archiving.segment_records,
        memory_bytes=archiving.memory_bytes,
        **served(port, scraper, folder),
    )


def public_key(signing_key: str) -> str:
    """The public half of the key that signs, in base64; `services.backup.signature` has the same.

    Args:
        signing_key: The secret from whose digest the key is made.
    """
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(signing_key.encode()).digest())
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def seal_file(kind: str) -> str:
    """The backup exporter's file with the key by which a kind is sealed."""
    return f"{SEAL_KEY}-{kind}"


def exporter_settings(
    target: BackupTarget,
    most_age_s: Mapping[str, int],
    keep_days: KeptDays,
    blocks: Blocks | None,
    *,
    port: int,
    scraper: str,
    folder: str,
    private: bool,
) -> BackupExporterSettings:
    """The settings of ``services.backup_exporter``.

    Args:
        target: Where backups are, and of which platform.
        most_age_s: Kind -> how old its newest run may get, in seconds.
        keep_days: How long what is stored is kept.
        blocks: Blocks of metrics, or None.
        port: Port that it serves.
        scraper: User that reads the metrics.
        folder: Folder with its passwords.
        private: Whether the object storage has an authority of its own.
    """
    return BackupExporterSettings(
        storage=WritableStorageSettings.parse(
            {
                **STORAGE.section(target.storages[StorageRole.BACKUP_EXPORTER], folder, private=private),
                "encryption": target.encryption,
            }
        ),
        signing=SigningSettings(
            key_file=Path(f"{folder}/{SIGNING_KEY}"),
            seal_key_files={kind: Path(f"{folder}/{seal_file(kind)}") for kind in SEALED},
            platform=target.platform,
            region=target.region,
        ),
        most_age_s=dict(most_age_s),
        keep_days=keep_days,
        state_most_age_s=STATE_AGE_S,
        blocks=BlocksSettings(
            prefix=blocks.prefix,
            most_age_s=blocks.most_age_s,
            servers={server: dict(labels) for server, labels in blocks.servers.items()},
        )
        if blocks
        else None,
        **served(port, scraper, folder),
    )
