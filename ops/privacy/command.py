"""``ops privacy find`` and ``ops privacy erase``: one subject's pseudonym in every store of the live platform, with
what each can remove and for how long it keeps what it cannot.

Exit codes: 0 done, 1 something that could be removed is left (erase), or nothing was found (find), 2 it cannot run.
"""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import Console
from rich.text import Text

from components.backups.component import ARCHIVE_WORKLOAD, EXPORTER_WORKLOAD
from components.backups.config import Kind, longest_gap_s
from components.prometheus.query import COMPACTOR
from components.search.access import ERASER, ERASER_SECRET, INDEX_MANAGER
from components.search.config import HTTP_PORT
from components.search.config import WORKLOAD as SEARCH
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from ops.backups.options import IdentityFile, identities, opened
from ops.backups.options import errors as backup_errors
from ops.core import platform as platform_module
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.prometheus_text import seconds
from ops.core.terminal import Table
from ops.privacy import stores
from ops.privacy.record import Holding, PrivacyRecord, masking_key, pseudonym_of, subject_id
from ops.privacy.stores import Days, Family, MetricStore, SearchStore, families, search_all
from services.backup.encryption import Identity
from services.backup_exporter import BackupExporterSettings, KeptDays
from services.index_manager import IndexManagerSettings
from services.runtime.settings import SettingsError

KAFKA_WHY: Final = "records of a topic are in order and are not taken out one by one"
_KEPT_FOR: Final = ("retention.ms", "segment.ms")
BLOCKS_WHY: Final = "blocks in object storage are not rewritten"
BACKUP_WHY: Final = "backups of the search cluster are encrypted and complete; a restore of one needs an erasure again"
_CONFIG: Final = "config.yaml"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """How much of the archive is read.

    Attributes:
        days: Which days.
        identities: Who may open it.
    """

    days: Days
    identities: Sequence[Identity]


def holdings(
    context: Context, pseudonym: str, *, erase: bool, scan: Scan | None, told: Callable[[str], None]
) -> list[Holding]:
    """What each store has, after its removal where that is asked for.

    Args:
        context: The platform.
        pseudonym: What stands for the subject.
        erase: Whether what can be removed is removed.
        scan: What is read of the archive; None: nothing.
        told: Told each step.

    Raises:
        OpsError: A store refuses, or does not answer.
    """
    now = datetime.now(UTC)
    kept: list[Holding] = []
    if context.platform.log_reader is not None:
        told("traces and logs")
        store, indices = search_store(context)
        kept += search_all(store, indices, pseudonym, erase=erase)
    for server in context.platform.prometheus_servers:
        told(f"metrics of prometheus-{server}")
        prometheus = metric_store(context, server)
        kept.append((prometheus.erase if erase else prometheus.find)(pseudonym))
    kept += blocks(context, pseudonym, told)
    kept += kafka(context, now)
    kept += archived(context, pseudonym, scan, now, told)
    return kept


def metric_store(context: Context, server: str) -> MetricStore:
    """A Prometheus server, where one finds and erases."""
    reader = context.platform.prometheus_credentials[server].pair
    return MetricStore(context.web, context.prometheus_url(server), reader, f"prometheus-{server}")


def search_store(context: Context) -> tuple[SearchStore, tuple[Family, ...]]:
    """The search cluster as the user that erases, and its families.

    Raises:
        OpsError: It is not there, or is of an older version.
    """
    password = context.kube.secret_entry(ERASER_SECRET, "password")
    url = context.tunnels.url(context.kube.ready_pod(SEARCH).name, HTTP_PORT)
    settings = _settings(context, INDEX_MANAGER)
    try:
        parsed = IndexManagerSettings.parse(settings)
    except SettingsError as error:
        raise OpsError(f"the settings of {INDEX_MANAGER} are of another version: {error}") from None
    kept = {family.name: float(family.keep_s) for family in parsed.families}
    return SearchStore(context.web, url, (ERASER, password)), families(kept)


def blocks(context: Context, pseudonym: str, told: Callable[[str], None]) -> list[Holding]:
    """What the read address has of blocks in object storage; nothing where there is no compactor.

    Raises:
        OpsError: The read address does not answer.
    """
    if not context.kube.pods(COMPACTOR):
        return []
    told("metrics in object storage")
    keep_s = seconds(context.kube.argument(COMPACTOR, "retention.resolution-raw"))
    platform = context.platform
    thanos = MetricStore(context.web, platform.query_url, platform.query_reader.pair, "blocks, by the read address")
    return [thanos.kept(pseudonym, keep_s, why=BLOCKS_WHY)]


def kafka(context: Context, now: datetime) -> list[Holding]:
    """How long Kafka keeps what may be in it: it deletes segments, each when its last record is old enough.

    Raises:
        OpsError: Kafka does not answer.
    """
    names = [TOPIC_OF_SIGNAL[signal] for signal in Signal]
    settings = context.kafka.topic_settings(names)
    return [
        Holding(
            store="Kafka",
            where=name,
            matches=None,
            expires=now + sum((timedelta(milliseconds=int(settings[name][key])) for key in _KEPT_FOR), timedelta()),
            why=KAFKA_WHY,
        )
        for name in names
    ]


def archived(
    context: Context, pseudonym: str, scan: Scan | None, now: datetime, told: Callable[[str], None]
) -> list[Holding]:
    """What the archive has, and how long backups of the search cluster are kept; nothing where there are none.

    Raises:
        OpsError: The storage refuses, or does not answer.
    """
    access = context.platform.backups
    if access is None or not context.kube.pods(ARCHIVE_WORKLOAD):
        return []
    keep_days = kept_days(_settings(context, EXPORTER_WORKLOAD))
    if scan is None:
        kept = [stores.unread(now, keep_days.archive)]
    else:
        with opened(access) as store, backup_errors():
            kept = stores.scan(store, scan.identities, pseudonym, scan.days, keep_days.archive, told)
    if access.search == "export":
        # Days of a run count from the start of the next one.
        gap_s = longest_gap_s(access.schedules["search"])
        expires = now + timedelta(days=keep_days.runs[Kind.SEARCH], seconds=gap_s)
        kept.append(Holding(store="backups", where="search", matches=None, expires=expires, why=BACKUP_WHY))
    return kept


def kept_days(settings: Any) -> KeptDays:
    """How long what is stored is kept.

    Raises:
        OpsError: The settings are none of the backup exporter's.
    """
    try:
        return BackupExporterSettings.parse(settings).keep_days
    except SettingsError as error:
        raise OpsError(f"the settings of {EXPORTER_WORKLOAD} are of another version: {error}") from None


def _settings(context: Context, workload: str) -> Any:
    files = context.kube.config_map(workload)
    if _CONFIG not in files:
        raise OpsError(f"ConfigMap {workload} has no {_CONFIG}")
    return yaml.safe_load(files[_CONFIG])


privacy_app = typer.Typer(
    help="What the platform holds about one person or device, and its removal.", no_args_is_help=True
)

Subject = Annotated[
    str, typer.Option("--subject", metavar="ID", help="The id as clients send it; - asks for it, and shows it nowhere.")
]
Reference = Annotated[str, typer.Option("--reference", help="Your case, for the record.")]
RecordFile = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Where the record is written; else standard output.")
]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day that is read of the archive.")]
LastDay = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day that is read of the archive.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record for machines.")]


@privacy_app.command()
def find(
    subject: Subject,
    archive_from: Day = None,
    archive_to: LastDay = None,
    identity: IdentityFile = None,
    reference: Reference = "",
    record: RecordFile = None,
    as_json: AsJson = False,
) -> None:
    """Find what is held about a subject; nothing is changed."""
    scan = _scan(archive_from, archive_to, identity)
    written = _run("find", subject, scan, reference, remove=False)
    _tell(written, record, as_json)
    raise typer.Exit(0 if any(holding.matches for holding in written.holdings) else 1)


@privacy_app.command()
def erase(
    subject: Subject,
    archive_from: Day = None,
    archive_to: LastDay = None,
    identity: IdentityFile = None,
    reference: Reference = "",
    record: RecordFile = None,
    as_json: AsJson = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this it is said what would be removed.")
    ] = False,
) -> None:
    """Remove what is held about a subject, where a store can; what is left is named with its end."""
    scan = _scan(archive_from, archive_to, identity)
    written = _run("erase", subject, scan, reference, remove=yes)
    _tell(written, record, as_json)
    if not yes:
        typer.echo("nothing was removed: add --yes", err=True)
        raise typer.Exit(0)
    raise typer.Exit(1 if written.incomplete else 0)


def _scan(first: datetime | None, last: datetime | None, identity: Path | None) -> Scan | None:
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise OpsError("--archive-from and --archive-to go together: name the first and the last day")
    return Scan(days=Days(first=first.date(), last=last.date()), identities=identities(identity))


def _run(action: str, subject: str, scan: Scan | None, reference: str, *, remove: bool) -> PrivacyRecord:
    plain = subject_id(subject)
    platform = platform_module.load()
    with Context(platform, Kube.of(platform)) as context:
        pseudonym = pseudonym_of(plain, masking_key(context.kube))
        kept = holdings(
            context, pseudonym, erase=remove, scan=scan, told=lambda text: typer.echo(f"{action}: {text}", err=True)
        )
    return PrivacyRecord(
        action=action,
        dry_run=not remove,
        operator=f"{getpass.getuser()}@{socket.gethostname()}",
        reference=reference,
        platform=platform.platform,
        region=platform.region,
        pseudonym=pseudonym,
        time=datetime.now(UTC),
        holdings=kept,
    )


def _tell(written: PrivacyRecord, file: Path | None, as_json: bool) -> None:
    if file is not None:
        written.write(file)
        typer.echo(f"record: {file}", err=True)
    if as_json or (file is None and not sys.stdout.isatty()):
        typer.echo(json.dumps(written.as_json(), indent=2, ensure_ascii=False))
        return
    Console().print(table(written))
    for holding in written.remaining:
        until = f", at the latest until {holding.expires:%Y-%m-%d %H:%M} UTC" if holding.expires else ""
        held = "may hold something" if holding.left is None else f"keeps {holding.left}"
        typer.echo(f"{holding.store} ({holding.where}) {held}{until}{f': {holding.why}' if holding.why else ''}")


def table(written: PrivacyRecord) -> Table:
    """The record for people."""
    rows = Table("store", "where", "found", "removed", "left", "gone by (UTC)")
    for holding in written.holdings:
        rows.add_row(
            holding.store,
            Text(holding.where),
            "not looked" if holding.matches is None else str(holding.matches),
            str(holding.removed),
            "?" if holding.left is None else str(holding.left),
            f"{holding.expires:%Y-%m-%d %H:%M}" if holding.expires else "",
        )
    return rows
