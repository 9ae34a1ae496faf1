"""The program: makes one report, stores it, mails it, writes down how that went.

Runs as ``python3 -m services.reports --config FILE daily|weekly|monthly``.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from services.reports import Language, ReportsSettings, delivery
from services.reports.alert_topics import KafkaAlertLog
from services.reports.build import report
from services.reports.delivery import HTML_TYPE, PDF_TYPE, Mailing, Store, key
from services.reports.metrics import ThanosMetrics
from services.reports.model import Kind, Period, Report, ReportError, chosen
from services.reports.pdf import pdf
from services.reports.records import NoWork, StoredWork
from services.reports.render import html
from services.runtime.serving import operator_log
from services.runtime.settings import SettingsError

_FAILED, _MISTAKE = 1, 2
_POD = re.compile(r"(report-(?:daily|weekly|monthly)-.+)-[a-z0-9]{5}")


@dataclass(frozen=True, kw_only=True)
class Files:
    """A report in each language.

    Attributes:
        pages: HTML.
        pdfs: PDF.
    """

    pages: Mapping[Language, bytes]
    pdfs: Mapping[Language, bytes]


log = operator_log("reports")


def build_report(settings: ReportsSettings, period: Period, now: float) -> Report:
    """The report of a period, from the platform's own data.

    Raises:
        ReportError: Metrics cannot be asked.
    """
    query = settings.query
    metrics = ThanosMetrics(query.url, ca_file=query.ca_file, user=query.user, password=secret(query.password_file))
    try:
        return report(
            period=period,
            platform=settings.name,
            metrics=metrics,
            alerts=KafkaAlertLog(settings.kafka),
            work=StoredWork(Store(settings.storage.place)) if settings.storage else NoWork(),
            now=now,
        )
    finally:
        metrics.close()


def files(finished_report: Report, settings: ReportsSettings) -> Files:
    """The report in all languages."""
    return Files(
        pages={language: html(finished_report, language).encode() for language in settings.languages},
        pdfs={language: pdf(finished_report, language) for language in settings.languages},
    )


def deliver(
    settings: ReportsSettings,
    period: Period,
    finished_report: Report,
    written: Files,
    *,
    again: bool = False,
    job: str = "",
) -> None:
    """Store a report in place of an earlier one of its period, then mail it to who has not got it.

    A report of a period that was not over is mailed as well, and does not keep the whole one from being mailed. Who
    took it is written down after that: who dies in between mails twice, and never not at all.

    Args:
        settings: Where it goes.
        period: Its period.
        finished_report: The report.
        written: Its files.
        again: Whether to mail it again.
        job: The job whose tries mail each recipient once between them; empty: this is the only try.

    Raises:
        ReportError: It cannot be stored, or not be mailed to everybody.
    """
    store = Store(settings.storage.place) if settings.storage else None
    if store:
        _store(store, settings, period, written)
    about = f"{period.kind.value} report {period.name}"
    recipients = settings.mail.recipients.of(period.kind) if settings.mail else ()
    if settings.mail is None or not recipients:
        log(f"{about}: nobody is to be mailed")
        return
    mailing = store.mailing(period) if store else Mailing()
    have = mailing.have(complete=finished_report.complete, again=again, job=job)
    missing = tuple(address for address in dict.fromkeys(recipients) if address not in have)
    if not missing:
        log(f"{about}: all {len(have)} were mailed before; --again mails it once more")
        return
    letter = delivery.message(
        finished_report,
        written.pdfs,
        platform=settings.name,
        sender=settings.mail.sender,
        recipients=recipients,
        link=settings.link or "",
    )
    refused = delivery.send(settings.mail, secret(settings.mail.password_file), letter, missing)
    taken = [address for address in missing if address not in refused]
    if store and taken:
        store.put_mailing(period, mailing.with_taken(taken, complete=finished_report.complete, job=job))
    log(f"{about}: mailed to {len(taken)}")
    if refused:
        reasons = ", ".join(f"{address} ({reason})" for address, reason in refused.items())
        raise ReportError(f"mail server {settings.mail.server} refuses {reasons}; {len(taken)} others took it")


def job_of(host: str) -> str:
    """The Job of a pod of ours, whose name is its host name; empty elsewhere."""
    match = _POD.fullmatch(host)
    return match[1] if match else ""


def secret(file: Path) -> str:
    """A password.

    Raises:
        ReportError: Its file cannot be read, or is empty.
    """
    try:
        content = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ReportError(f"{file}: cannot be read: {error.strerror}") from None
    if not content:
        raise ReportError(f"{file} is empty: it must hold a password")
    return content


def _store(store: Store, settings: ReportsSettings, period: Period, written: Files) -> None:
    for language in settings.languages:
        store.put(key(period, language, "pdf"), written.pdfs[language], PDF_TYPE)
        store.put(key(period, language, "html"), written.pages[language], HTML_TYPE)
    count = delivery.rewrite(store, settings.languages, settings.zone, settings.name)
    log(f"{period.kind.value} report {period.name}: stored, {count} reports in the index")


def run(settings: ReportsSettings, kind: Kind, at: date | None = None, *, again: bool = False) -> Report:
    """Make a report, store it, mail it, and write down how that went.

    Raises:
        ReportError: A step failed; that too is written down where that is possible.
    """
    now = time.time()
    period = chosen(kind, at, now, settings.zone)
    try:
        finished_report = build_report(settings, period, now)
        for unanswered in finished_report.problems:
            log(f"{kind.value} report {period.name}: not answered: {unanswered.en}")
        written = files(finished_report, settings)
        deliver(settings, period, finished_report, written, again=again, job=job_of(socket.gethostname()))
    except Exception as error:
        problem = str(error) if isinstance(error, ReportError) else f"{type(error).__name__}: {error}"
        _record(settings, kind, period.name, problem)
        raise
    _record(settings, kind, period.name, "")
    return finished_report


def _record(settings: ReportsSettings, kind: Kind, period: str, problem: str) -> None:
    if settings.storage is None:
        return
    try:
        Store(settings.storage.place).record(kind, failed=bool(problem), period=period, problem=problem)
    except ReportError as error:
        if not problem:
            raise
        log(f"cannot write down that it failed: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Make one report. Returns 0 when it was made, stored and mailed, 1 when not, 2 for a mistake in the settings."""
    parser = argparse.ArgumentParser(prog="reports", description="Makes, stores and mails one report.")
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    parser.add_argument("kind", type=Kind, choices=list(Kind), metavar="daily|weekly|monthly")
    parser.add_argument(
        "--at",
        type=date.fromisoformat,
        help="a day of the period, in the settings' time_zone; else the last one that is over",
    )
    parser.add_argument("--again", action="store_true", help="mail it again if it was mailed before")
    options = parser.parse_args(arguments)
    try:
        run(ReportsSettings.load(options.config), options.kind, options.at, again=options.again)
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except ReportError as error:
        log(f"{options.kind.value} report: {error}")
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
