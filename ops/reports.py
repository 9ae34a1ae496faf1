"""The commands: ``daily``, ``weekly``, ``monthly``, ``list``, ``get`` and ``run``.

A report is made outside the cluster by the same program as the jobs', asking the platform from here. ``ops report
record`` stores what was done, which monthly reports list.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from components.telemetry.topics import ALERTS_PROCESSED_TOPIC, ALERTS_RAW_TOPIC
from ops.core import jobs
from ops.core import platform as platform_module
from ops.core.access import ReportAccess, backup_access, report_access
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.files import Lang
from ops.core.kube import Kube
from ops.core.terminal import Table
from ops.evidence import reading as done_work
from ops.evidence.files import platform_id
from services.reports import LANGUAGES, KafkaAccess, Language
from services.reports.alert_topics import KafkaAlertLog
from services.reports.build import report
from services.reports.metrics import ThanosMetrics
from services.reports.model import Kind, Report, ReportError, chosen
from services.reports.records import NoWork, StoredWork, WorkLog
from services.reports.render import html

WORKLOAD, PORT = "report-server", 8443
LATEST = "latest"


class StoredFile(BaseModel):
    """One file of a report."""

    model_config = ConfigDict(frozen=True)

    path: str
    bytes: int


class StoredReport(BaseModel):
    """One report, as the report server lists it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    period: str
    period_end: datetime
    written_at: datetime
    files: tuple[StoredFile, ...]

    def file(self, language: str, suffix: str) -> StoredFile:
        """The file in a language.

        Raises:
            OpsError: There is none.
        """
        for file in self.files:
            if file.path.endswith(f".{language}.{suffix}"):
                return file
        have = ", ".join(".".join(file.path.rsplit(".", 2)[1:]) for file in self.files)
        raise OpsError(f"the {self.kind} report {self.period} is not stored as {language}.{suffix}: there is {have}")


class LastRun(BaseModel):
    """How the last run of a kind ended."""

    model_config = ConfigDict(frozen=True)

    ended_at: datetime
    failed: bool
    period: str = ""
    problem: str = ""


class Listing(BaseModel):
    """All that is stored: reports by kind, the newest first."""

    model_config = ConfigDict(frozen=True)

    read_at: datetime
    reports: tuple[StoredReport, ...]
    runs: Mapping[str, LastRun]

    def find(self, kind: str, period: str) -> StoredReport:
        """A report by its period, or the newest one.

        Raises:
            OpsError: There is none.
        """
        listed = [stored for stored in self.reports if stored.kind == kind]
        for stored in listed:
            if period in (LATEST, stored.period):
                return stored
        if not listed:
            raise OpsError(f"no {kind} report is stored: `ops report run {kind}` makes one")
        raise OpsError(f"no {kind} report {period} is stored: the newest is {listed[0].period}; see `ops report list`")


class ReportClient:
    """Reads at one of the report server's pods."""

    def __init__(self, context: Context, access: ReportAccess) -> None:
        self._web, self._auth = context.web, access.login
        self._url = context.tunnels.url(context.kube.ready_pod(WORKLOAD).name, PORT)

    def listing(self) -> Listing:
        """Everything that is stored.

        Raises:
            OpsError: The report server refuses, or has not been able to read the object storage.
        """
        try:
            return Listing.model_validate(json.loads(self._get("/reports")))
        except (json.JSONDecodeError, ValidationError) as error:
            raise OpsError(f"the report server did not answer with a list: {one_line(error)}") from None

    def content(self, file: StoredFile) -> bytes:
        """A file.

        Raises:
            OpsError: It cannot be read, or was cut short.
        """
        content = self._get(file.path)
        if len(content) != file.bytes:
            raise OpsError(f"{file.path} has {len(content)} of {file.bytes} bytes: it was made anew or cut; try again")
        return content

    def _get(self, path: str) -> bytes:
        answer = self._web.call("GET", f"{self._url}{path}", auth=self._auth)
        with answer:
            if answer.status_code != 200:
                raise OpsError(f"the report server answered {answer.status_code}: {one_line(answer.text, 160)}")
            return answer.content


def rows(listing: Listing, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """One row per report of some kinds."""
    return [
        {
            "kind": report.kind,
            "period": report.period,
            "stored_at": report.written_at.isoformat(),
            "files": [".".join(file.path.rsplit(".", 2)[1:]) for file in report.files],
        }
        for report in listing.reports
        if report.kind in kinds
    ]


USER = "reports"
"""Kafka user of the jobs."""


def build(context: Context, kind: Kind, at: date | None, zone: ZoneInfo) -> Report:
    """Make a report from what the platform tells now; nothing is stored or mailed.

    Args:
        context: The platform.
        kind: Which report.
        at: A day of its period; None for the last one that is over.
        zone: Time zone in which days begin.

    Raises:
        OpsError: Metrics or notifications cannot be read, or the period has not begun.
    """
    platform = context.platform
    if USER not in platform.kafka_users:
        raise OpsError("the stack has no Kafka user `reports`: bring up a version of the platform that makes reports")
    user, password = platform.query_reader.pair
    metrics = ThanosMetrics(platform.query_url, ca_file=Path(context.ca_file), user=user, password=password)
    try:
        now = time.time()
        with tempfile.TemporaryDirectory(prefix="obs-report-") as folder, _work(context) as work:
            return report(
                period=chosen(kind, at, now, zone),
                platform=f"{platform.platform} ({platform.region})",
                metrics=metrics,
                alerts=KafkaAlertLog(_notifications(context, Path(folder))),
                work=work,
                now=now,
            )
    except ReportError as error:
        raise OpsError(str(error)) from None
    finally:
        metrics.close()


@contextmanager
def _work(context: Context) -> Iterator[WorkLog]:
    """What was done, as far as this machine has a key of the object storage."""
    if context.platform.backups is None:
        yield NoWork("the stack makes no backups, so this machine has no key of the object storage")
        return
    with done_work.opened(context.platform.backups) as store:
        yield StoredWork(store)


def _notifications(context: Context, folder: Path) -> KafkaAccess:
    user, password = context.platform.kafka_users[USER].pair
    file = folder / "password"
    file.touch(mode=0o600)
    file.write_text(password, encoding="utf-8")
    return KafkaAccess(
        bootstrap=context.platform.kafka_bootstrap,
        topic=ALERTS_PROCESSED_TOPIC.name,
        raw_topic=ALERTS_RAW_TOPIC.name,
        ca_file=Path(context.ca_file),
        user=user,
        group=USER,
        password_file=file,
    )


def known(language: str) -> Language:
    """A language of the reports by its name.

    Raises:
        OpsError: There is none of that name.
    """
    for supported in LANGUAGES:
        if supported == language:
            return supported
    raise OpsError(f"language {language!r} is not one of {', '.join(LANGUAGES)}")


def page(finished_report: Report, language: Language) -> bytes:
    """The report as one HTML page that stands alone."""
    return html(finished_report, language).encode()


def paper(finished_report: Report, language: Language) -> bytes:
    """The report as PDF."""
    # Here: it loads libraries of the system, and other commands have to work where these are missing.
    from services.reports.pdf import pdf

    return pdf(finished_report, language)


report_app = typer.Typer(
    help="Daily, weekly and monthly reports: from live data, the stored ones, and a run of a job now.",
    no_args_is_help=True,
)


Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page that stands alone.")]
Pdf = Annotated[Path | None, typer.Option("--pdf", metavar="FILE", help="Write a PDF.")]
LanguageOption = Annotated[Lang | None, typer.Option("--lang", help="Language; else the platform's first one.")]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        formats=["%Y-%m-%d"],
        help="A day of the period, of `reports.time_zone`; else the last one that is over.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print for machines.")]


@report_app.command()
def daily(html: Html = None, pdf: Pdf = None, lang: LanguageOption = None, at: At = None) -> None:
    """Make a daily report from live data; nothing is stored or mailed."""
    _make(Kind.DAILY, html, pdf, lang, at)


@report_app.command()
def weekly(html: Html = None, pdf: Pdf = None, lang: LanguageOption = None, at: At = None) -> None:
    """Make a weekly report from live data; nothing is stored or mailed."""
    _make(Kind.WEEKLY, html, pdf, lang, at)


@report_app.command()
def monthly(html: Html = None, pdf: Pdf = None, lang: LanguageOption = None, at: At = None) -> None:
    """Make a monthly report from live data; nothing is stored or mailed."""
    _make(Kind.MONTHLY, html, pdf, lang, at)


@report_app.command("list")
def list_(
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only these.")] = None, as_json: AsJson = False
) -> None:
    """List the stored reports, and how the last run of each kind ended; exit code 1 when one failed."""
    kinds = [kind.value] if kind else [known_kind.value for known_kind in Kind]
    with _connected() as (context, access):
        listing = ReportClient(context, access).listing()
    if as_json:
        runs = {name: run.model_dump(mode="json") for name, run in listing.runs.items() if name in kinds}
        typer.echo(json.dumps({"reports": rows(listing, kinds), "runs": runs}, indent=2, ensure_ascii=False))
    else:
        _print(listing, kinds, access.zone)
    raise typer.Exit(int(any(run.failed for name, run in listing.runs.items() if name in kinds)))


@report_app.command()
def get(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="daily, weekly or monthly.")],
    period: Annotated[
        str, typer.Argument(metavar="PERIOD", help="Such as 2026-11-25, 2026-W48, 2026-11; or latest.")
    ] = LATEST,
    html: Html = None,
    pdf: Pdf = None,
    lang: LanguageOption = None,
) -> None:
    """Write a stored report to a file."""
    wanted = _wanted(html, pdf)
    with _connected() as (context, access):
        report_server = ReportClient(context, access)
        report = report_server.listing().find(kind.value, period)
        language = lang.value if lang else access.languages[0]
        for suffix, file in wanted.items():
            _write(file, report_server.content(report.file(language, suffix)), f"--{suffix}")
            typer.echo(f"{file}: the {report.kind} report {report.period}, {language}", err=True)


@report_app.command()
def run(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="daily, weekly or monthly.")],
    at: At = None,
    again: Annotated[bool, typer.Option("--again", help="Mail it again where that was done.")] = False,
) -> None:
    """Run a report's job in the cluster now and wait for its end: makes, stores and mails the report."""
    extra = [*(["--at", at.date().isoformat()] if at else []), *(["--again"] if again else [])]
    with _connected() as (context, _), _progress() as progress:
        started = jobs.start(context.kube, f"report-{kind.value}", "does the stack make reports?", extra)
        task = progress.add_task(f"{started.name}: started", total=None)
        lines = jobs.wait(context.kube, started, lambda text: progress.update(task, description=text))
    for line in lines:
        typer.echo(line)


@report_app.command()
def record(
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where `ops maintain` wrote its records.")
    ] = done_work.MAINTENANCE,
) -> None:
    """Store the records of maintenance and drills that are not stored yet; monthly reports list them."""
    with _connected() as (context, _):
        platform = context.platform
        done = [
            *done_work.maintenance(folder, platform.platform, platform.region),
            *done_work.drills(platform_id(context.kube)),
        ]
        with done_work.opened(backup_access(platform)) as store:
            stored = done_work.add(store, done)
    for run in stored:
        typer.echo(f"{run.work} {run.name} of {run.started:%Y-%m-%d %H:%M} UTC: stored")
    typer.echo(f"{len(stored)} of {len(done)} records were new", err=True)


def _make(kind: Kind, html: Path | None, pdf: Path | None, lang: Lang | None, at: datetime | None) -> None:
    wanted = _wanted(html, pdf)
    with _connected() as (context, access), _progress() as progress:
        progress.add_task(f"{kind.value} report: asking the platform", total=None)
        report = build(context, kind, _day(at), access.zone)
        language = known(lang.value if lang else access.languages[0])
        written = {"html": page, "pdf": paper}
        contents = {suffix: written[suffix](report, language) for suffix in wanted}
    for suffix, content in contents.items():
        _write(wanted[suffix], content, f"--{suffix}")
    state = "" if report.complete else ", its period is not over"
    files = ", ".join(str(path) for path in wanted.values())
    typer.echo(f"{files}: the {kind.value} report {report.period}, {language}{state}", err=True)
    for problem in report.problems:
        typer.echo(f"not answered: {problem.of(language)}", err=True)


def _day(at: datetime | None) -> date | None:
    return at.date() if at else None


def _wanted(html: Path | None, pdf: Path | None) -> dict[str, Path]:
    """Suffix -> file.

    Raises:
        OpsError: No file is named.
    """
    files = {suffix: file for suffix, file in (("html", html), ("pdf", pdf)) if file is not None}
    if not files:
        raise OpsError("say what you want: --html FILE for a page, --pdf FILE for paper, or both")
    return files


def _write(file: Path, content: bytes, option: str) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise OpsError(f"{option} {file}: {error.strerror}") from None


@contextmanager
def _connected() -> Iterator[tuple[Context, ReportAccess]]:
    platform = platform_module.load()
    access = report_access(platform)
    with Context(platform, Kube.of(platform)) as context:
        yield context, access


def _print(listing: Listing, kinds: list[str], zone: ZoneInfo) -> None:
    table = Table("kind", "period", f"stored ({zone.key})", "files")
    for stored in listing.reports:
        if stored.kind in kinds:
            files = "  ".join(".".join(file.path.rsplit(".", 2)[1:]) for file in stored.files)
            table.add_row(stored.kind, stored.period, f"{stored.written_at.astimezone(zone):%Y-%m-%d %H:%M}", files)
    console = Console()
    console.print(table)
    for kind in kinds:
        run = listing.runs.get(kind)
        if run is None:
            console.print(Text(f"{kind}: has not run yet", style="dim"))
            continue
        at = f"{run.ended_at.astimezone(zone):%Y-%m-%d %H:%M}"
        if run.failed:
            console.print(Text(f"{kind}: the run of {at} ({run.period}) failed: {run.problem}", style="bold red"))
        else:
            console.print(Text(f"{kind}: the run of {at} ({run.period}) was stored and sent", style="green"))


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    )
